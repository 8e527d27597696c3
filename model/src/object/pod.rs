//! `v1` Pod and Namespace.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::parse::Warnings;
use super::{Meta, nets};
use crate::{NodeName, PodRef, Prefix, Protocol};

/// What margay reads of a `v1` Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.nodeName`.
    pub node: Option<NodeName>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `status.podIPs` (or `status.podIP`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// `spec.containers[].ports[]` that have a name, and those of `spec.initContainers[]` that run beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// `spec.serviceAccountName`; `default` where nothing is written.
    #[serde(default = "default_account")]
    pub service_account: String,
    /// [`ALLOWED_SOURCES`]: what it may send from besides its own addresses, where the node's settings let it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_sources: Vec<Prefix>,
    /// `status.phase` is Succeeded or Failed: its addresses may be another's already.
    #[serde(default)]
    pub ended: bool,
}

/// A port that a pod has given a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPort {
    /// `name`.
    pub name: String,
    /// `protocol`; TCP where it is left out.
    pub protocol: Protocol,
    /// `containerPort`.
    pub port: u16,
}

/// What margay reads of a `v1` Namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `metadata`.
    pub meta: Meta,
}

/// Annotation that asks for addresses: a JSON list, at most one per family.
pub const IP_ADDRS: &str = "cni.projectcalico.org/ipAddrs";
/// Annotation that chooses IPv4 pools: a JSON list of names or CIDRs.
pub const IPV4_POOLS: &str = "cni.projectcalico.org/ipv4pools";
/// Annotation that chooses IPv6 pools: a JSON list of names or CIDRs.
pub const IPV6_POOLS: &str = "cni.projectcalico.org/ipv6pools";
/// Annotation of a pod whose address is to stay with its name: `true`, or how long it stays when the pod is gone, such as
/// `72h`.
pub const KEEP_ADDRESS: &str = "margay.projectcalico.org/keep-address";

/// Annotation that allows further source addresses: a JSON list of prefixes.
pub const ALLOWED_SOURCES: &str = "cni.projectcalico.org/allowedSourcePrefixes";

fn default_account() -> String {
    "default".into()
}

impl Pod {
    /// Namespace and name.
    pub fn reference(&self) -> PodRef {
        let namespace = self.meta.namespace.clone().unwrap_or_else(|| "default".into());
        PodRef { namespace, name: self.meta.name.clone() }
    }

    /// Forgets all but its name, its node and its addresses.
    pub fn keep_only_whereabouts(&mut self) {
        let meta = std::mem::take(&mut self.meta);
        self.meta = Meta { name: meta.name, namespace: meta.namespace, ..Meta::default() };
        self.ports = Vec::new();
        self.service_account = String::new();
        self.allowed_sources = Vec::new();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodWire {
    metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: Option<NodeName>,
    #[serde(default)]
    host_network: Option<bool>,
    #[serde(default)]
    service_account_name: Option<String>,
    #[serde(default)]
    containers: Option<Vec<ContainerWire>>,
    #[serde(default)]
    init_containers: Option<Vec<ContainerWire>>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerWire {
    /// `Always` of an init container that the pod keeps beside the others (a sidecar).
    #[serde(default)]
    restart_policy: Option<String>,
    #[serde(default)]
    ports: Option<Vec<ContainerPortWire>>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPortWire {
    #[serde(default)]
    name: Option<String>,
    container_port: u16,
    #[serde(default)]
    protocol: Option<Protocol>,
}
#[derive(Deserialize, Default)]
struct PodStatus {
    #[serde(default)]
    phase: Option<String>,
    #[serde(default, rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(default, rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}
#[derive(Deserialize)]
struct PodIp {
    ip: String,
}

impl PodWire {
    pub(super) fn check(self, warnings: &mut Warnings) -> Pod {
        let wire = self;
        let PodWire { metadata, spec, status } = wire;
        let several = status.pod_ips.into_iter().flatten().map(|pod_ip| pod_ip.ip).enumerate();
        let several = several.filter_map(|(n, text)| address(&text, &format!("status.podIPs[{n}].ip"), warnings));
        let mut addresses: Vec<IpAddr> = several.collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.and_then(|text| address(&text, "status.podIP", warnings)));
        }
        let sidecars = spec.init_containers.into_iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers = spec.containers.into_iter().flatten().chain(sidecars);
        let ports = containers.flat_map(|container| container.ports.unwrap_or_default());
        let named = |port: ContainerPortWire| {
            let protocol = port.protocol.unwrap_or(Protocol::TCP);
            port.name.map(|name| ContainerPort { name, protocol, port: port.container_port })
        };
        let account = spec.service_account_name.filter(|name| !name.is_empty());
        let allowed_sources = allowed_sources(&metadata, warnings);
        Pod {
            meta: metadata,
            service_account: account.unwrap_or_else(default_account),
            allowed_sources,
            node: spec.node_name,
            host_network: spec.host_network.unwrap_or(false),
            addresses,
            ports: ports.filter_map(named).collect(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        }
    }
}

/// A pod's address, where one is written.
fn address(text: &str, field: &str, warnings: &mut Warnings) -> Option<IpAddr> {
    let address = text.parse().ok();
    if address.is_none() && !text.is_empty() {
        warnings.add(field, format!("has no effect: {text:?} is not an address"));
    }
    address
}

/// A pod runs whatever its annotations say; one that can't be read allows nothing.
fn allowed_sources(meta: &Meta, warnings: &mut Warnings) -> Vec<Prefix> {
    let Some(text) = meta.annotations.get(ALLOWED_SOURCES) else { return Vec::new() };
    let field = format!("metadata.annotations[{ALLOWED_SOURCES}]");
    let Ok(texts) = serde_json::from_str::<Vec<String>>(text) else {
        warnings.add(field, "allows nothing: it is no JSON list of prefixes");
        return Vec::new();
    };
    let mut prefixes = Vec::new();
    for text in texts {
        match nets::prefix(&text, &field, warnings) {
            Ok(prefix) => prefixes.push(prefix),
            Err(_) => warnings.add(field.clone(), format!("allows nothing by {text:?}: it is no prefix")),
        }
    }
    prefixes
}

#[derive(Deserialize)]
pub(super) struct NamespaceWire {
    metadata: Meta,
}
impl From<NamespaceWire> for Namespace {
    fn from(wire: NamespaceWire) -> Namespace {
        Namespace { meta: wire.metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    fn read(annotation: &str, spec: &str) -> (Pod, Vec<String>) {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, annotations: {{{ALLOWED_SOURCES}: '{annotation}'}}}}\n\
             spec: {spec}"
        );
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::Pod(pod) => (pod, found.warnings.iter().map(ToString::to_string).collect()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pod_runs_as_the_default_account_unless_it_says_otherwise() {
        assert_eq!(read("[]", "{}").0.service_account, "default");
        assert_eq!(read("[]", "{serviceAccountName: ''}").0.service_account, "default");
        assert_eq!(read("[]", "{serviceAccountName: cashier}").0.service_account, "cashier");
    }

    #[test]
    fn init_containers_that_stay_name_ports_and_those_that_end_name_none() {
        let (pod, _) = read(
            "[]",
            "{containers: [{ports: [{name: web, containerPort: 80}]}], initContainers: [\
             {restartPolicy: Always, ports: [{name: mesh, containerPort: 81}]}, \
             {restartPolicy: OnFailure, ports: [{name: never, containerPort: 82}]}, \
             {ports: [{name: once, containerPort: 83}]}]}",
        );
        let ports: Vec<_> = pod.ports.iter().map(|port| (port.name.as_str(), port.port)).collect();
        assert_eq!(ports, [("web", 80), ("mesh", 81)]);
    }

    #[test]
    fn what_is_no_address_of_a_pod_is_said() {
        for (status, addresses, warned) in [
            ("{podIP: ''}", 0, None),
            ("{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}", 2, None),
            ("{podIP: 10.0.0.1/32}", 0, Some("status.podIP: has no effect: \"10.0.0.1/32\" is not an address")),
            (
                "{podIPs: [{ip: 10.0.0.1}, {ip: x}]}",
                1,
                Some("status.podIPs[1].ip: has no effect: \"x\" is not an address"),
            ),
        ] {
            let (pod, warnings) = read("[]", &format!("{{}}\nstatus: {status}"));
            assert_eq!(pod.addresses.len(), addresses, "{status}");
            let warned: Vec<String> = warned.map(|text| format!("f.yaml: Pod/default/p: {text}")).into_iter().collect();
            assert_eq!(warnings, warned, "{status}");
        }
    }

    #[test]
    fn further_sources_are_prefixes_and_addresses_and_what_is_neither_allows_nothing() {
        let (pod, warnings) = read(r#"["10.0.0.0/8", "fd00::1"]"#, "{}");
        assert_eq!(
            pod.allowed_sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "fd00::1/128"]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        for (annotation, allowed) in [("10.0.0.0/8", 0), (r#"["here", "10.0.0.1"]"#, 1), ("[1]", 0)] {
            let (pod, warnings) = read(annotation, "{}");
            assert_eq!((pod.allowed_sources.len(), warnings.len()), (allowed, 1), "{annotation}: {warnings:?}");
        }
    }
}
