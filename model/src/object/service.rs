//! `v1` Service: what margay announces of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Meta;

/// What margay reads of a `v1` Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `metadata`, its name and namespace only.
    pub meta: Meta,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs` (or `spec.clusterIP`) of every family; none for a headless one.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`, where packets to it reach a node as they are (`ipMode` VIP).
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: TrafficPolicy,
}

/// `spec.type` of a Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Only a ClusterIP, and maybe external ones.
    #[default]
    ClusterIP,
    /// A port of every node, too.
    NodePort,
    /// An address of a load balancer, too.
    LoadBalancer,
    /// A name: no addresses.
    ExternalName,
}

/// Which endpoints a node may send to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// All.
    #[default]
    #[serde(alias = "")]
    Cluster,
    /// Those on the node, the client's address staying as it is.
    Local,
}

#[derive(Deserialize)]
pub(super) struct ServiceWire {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "type")]
    kind: ServiceType,
    #[serde(default, rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(default, rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    #[serde(default, rename = "externalIPs")]
    external_ips: Vec<String>,
    #[serde(default)]
    external_traffic_policy: TrafficPolicy,
    #[serde(default)]
    internal_traffic_policy: TrafficPolicy,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    load_balancer: LoadBalancer,
}
#[derive(Deserialize, Default)]
struct LoadBalancer {
    #[serde(default)]
    ingress: Vec<Ingress>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ingress {
    #[serde(default)]
    ip: Option<String>,
    #[serde(default)]
    ip_mode: Option<String>,
}

impl TryFrom<ServiceWire> for Service {
    type Error = (String, String);
    fn try_from(wire: ServiceWire) -> Result<Service, (String, String)> {
        let ServiceWire { metadata, spec, status } = wire;
        let mut cluster = spec.cluster_ips;
        if cluster.is_empty() {
            cluster.extend(spec.cluster_ip);
        }
        cluster.retain(|text| text != "None");
        let ingress = status.load_balancer.ingress.into_iter();
        let vips = ingress.filter(|ingress| ingress.ip_mode.as_deref().unwrap_or("VIP") == "VIP");
        let meta = Meta { name: metadata.name, namespace: metadata.namespace, ..Meta::default() };
        let mut service = Service {
            meta,
            kind: spec.kind,
            cluster_ips: addresses("spec.clusterIPs", cluster)?,
            external_ips: addresses("spec.externalIPs", spec.external_ips)?,
            load_balancer_ips: addresses("status.loadBalancer.ingress", vips.filter_map(|ingress| ingress.ip))?,
            external_traffic_policy: spec.external_traffic_policy,
            internal_traffic_policy: spec.internal_traffic_policy,
        };
        if service.kind != ServiceType::LoadBalancer {
            // Left there when the type has changed.
            service.load_balancer_ips.clear();
        }
        Ok(service)
    }
}

fn addresses(field: &str, texts: impl IntoIterator<Item = String>) -> Result<Vec<IpAddr>, (String, String)> {
    let address = |text: String| text.parse().map_err(|_| (field.to_string(), format!("{text:?} is not an address")));
    texts.into_iter().filter(|text| !text.is_empty()).map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    fn read(more: &str) -> Result<Service, String> {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web, labels: {{a: b}}}}\n{more}");
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) if found.written.is_null() => match found.object {
                Object::Service(service) => Ok(service),
                other => panic!("{other:?}"),
            },
            Some(Document::Bad(_, error)) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_service_is_read_as_a_cluster_holds_it() {
        let service = read(
            "spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10, 'fd00::10'], ports: [{port: 80, targetPort: http}], \
             selector: {app: web}, sessionAffinity: None, type: LoadBalancer, externalTrafficPolicy: Local, \
             internalTrafficPolicy: Cluster}\n\
             status: {loadBalancer: {ingress: [{ip: 198.51.100.1, ipMode: VIP}, {hostname: a.example}]}}",
        )
        .unwrap();
        assert_eq!((service.cluster_ips.len(), service.load_balancer_ips.len()), (2, 1));
        assert_eq!(service.external_traffic_policy, TrafficPolicy::Local);
        assert!(service.meta.labels.is_empty(), "what is not used is not kept");
        let old = read("spec: {clusterIP: 10.96.0.10}").unwrap();
        assert_eq!((old.cluster_ips.len(), old.kind), (1, ServiceType::ClusterIP));
        assert!(read("spec: {clusterIP: None, clusterIPs: [None]}").unwrap().cluster_ips.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = read("spec: {externalIPs: [203.0.113.300]}").unwrap_err();
        assert_eq!(said, "f.yaml: Service/default/web: spec.externalIPs: \"203.0.113.300\" is not an address");
        assert!(read("spec: {externalTrafficPolicy: Near}").unwrap_err().contains("spec.externalTrafficPolicy"));
    }
}
