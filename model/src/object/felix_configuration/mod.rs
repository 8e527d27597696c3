//! `projectcalico.org/v3` FelixConfiguration: settings of the agent in the cluster's own words.

pub mod fields;
mod policy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::fields::{Effect, field};
pub use self::policy::{EndpointToHost, FailsafePort, SourceSpoofing};
use super::parse::{Envelope, Invalid, Warnings, typed};
use super::{Meta, Node};
use crate::selector::Selector;
use crate::{NodeName, Prefix};

/// Settings of the cluster (`default`), of some nodes (`nodeSelector`) or of one (`node.<name>`).
/// Calico `api/pkg/apis/projectcalico/v3/felixconfig.go`; what margay makes of each field is in [`fields`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FelixConfiguration {
    /// `metadata`.
    pub meta: Meta,
    /// Which nodes it is for.
    pub scope: FelixScope,
    /// What it says.
    pub settings: FelixSettings,
}

/// Which nodes a FelixConfiguration is for. What is said of fewer of them wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FelixScope {
    /// All: it is named `default`.
    Cluster,
    /// Those that `nodeSelector` chooses.
    Nodes(Selector),
    /// One: it is named `node.<name>`.
    Node(NodeName),
}

/// The settings that margay honours; none where an object does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FelixSettings {
    /// `ipForwarding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_forwarding: Option<Switch>,
    /// `ipipEnabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipip_enabled: Option<bool>,
    /// `ipipMTU`, in octets of the inner packet.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ipipMTU")]
    pub ipip_mtu: Option<u32>,
    /// `natOutgoingExclusions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_outgoing_exclusions: Option<NatOutgoingExclusions>,
    /// `serviceLoopPrevention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_loop_prevention: Option<ServiceLoopPrevention>,
    /// `defaultEndpointToHostAction`. Accept where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_endpoint_to_host_action: Option<EndpointToHost>,
    /// `failsafeInboundHostPorts`. See [`FelixSettings::failsafe_inbound`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failsafe_inbound_host_ports: Option<Vec<FailsafePort>>,
    /// `failsafeOutboundHostPorts`. See [`FelixSettings::failsafe_outbound`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failsafe_outbound_host_ports: Option<Vec<FailsafePort>>,
    /// `disableConntrackInvalidCheck`. Whether packets that belong to no connection pass to the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_conntrack_invalid_check: Option<bool>,
    /// `workloadSourceSpoofing`. Disabled where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_source_spoofing: Option<SourceSpoofing>,
    /// `allowIPIPPacketsFromWorkloads`. Whether pods may send IPIP.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "allowIPIPPacketsFromWorkloads")]
    pub allow_ipip_packets_from_workloads: Option<bool>,
    /// `externalNodesList`. Who may send IPIP besides the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "policy::nets")]
    pub external_nodes_list: Option<Vec<Prefix>>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// `natOutgoingExclusions`: packets to where keep the pod's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatOutgoingExclusions {
    /// To the pools.
    IPPoolsOnly,
    /// To the pools and to nodes.
    IPPoolsAndHostIPs,
}

/// `serviceLoopPrevention`: what becomes of packets to announced service addresses that no Service has. Written in any
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum ServiceLoopPrevention {
    /// They are dropped.
    Drop,
    /// They are dropped, and their senders told.
    Reject,
    /// They are forwarded.
    Disabled,
}

impl TryFrom<String> for ServiceLoopPrevention {
    type Error = String;
    fn try_from(text: String) -> Result<ServiceLoopPrevention, String> {
        match text.to_lowercase().as_str() {
            "drop" => Ok(ServiceLoopPrevention::Drop),
            "reject" => Ok(ServiceLoopPrevention::Reject),
            "disabled" => Ok(ServiceLoopPrevention::Disabled),
            _ => Err(format!("{text:?} is none of Drop, Reject and Disabled")),
        }
    }
}

impl FelixScope {
    fn covers(&self, node: &Node) -> bool {
        match self {
            FelixScope::Cluster => true,
            FelixScope::Nodes(selector) => selector.chooses(&node.meta.labels),
            FelixScope::Node(name) => *name == node.name,
        }
    }
    /// Higher wins.
    fn rank(&self) -> u8 {
        match self {
            FelixScope::Cluster => 0,
            FelixScope::Nodes(_) => 1,
            FelixScope::Node(_) => 2,
        }
    }
}

impl FelixSettings {
    /// What holds for a node: each field from the object that says it of the fewest nodes; of two whose selectors choose
    /// the node the first by name counts, and the other not at all.
    pub fn of_node<'a>(objects: impl Iterator<Item = &'a FelixConfiguration>, node: &Node) -> FelixSettings {
        let mut by_rank: BTreeMap<u8, &FelixConfiguration> = BTreeMap::new();
        for object in objects.filter(|object| object.scope.covers(node)) {
            let place = by_rank.entry(object.scope.rank()).or_insert(object);
            if object.meta.name < place.meta.name {
                *place = object;
            }
        }
        by_rank.values().fold(FelixSettings::default(), |broad, narrow| narrow.settings.over(broad))
    }

    fn over(&self, broad: FelixSettings) -> FelixSettings {
        FelixSettings {
            ip_forwarding: self.ip_forwarding.or(broad.ip_forwarding),
            ipip_enabled: self.ipip_enabled.or(broad.ipip_enabled),
            ipip_mtu: self.ipip_mtu.or(broad.ipip_mtu),
            nat_outgoing_exclusions: self.nat_outgoing_exclusions.or(broad.nat_outgoing_exclusions),
            service_loop_prevention: self.service_loop_prevention.or(broad.service_loop_prevention),
            default_endpoint_to_host_action: self
                .default_endpoint_to_host_action
                .or(broad.default_endpoint_to_host_action),
            failsafe_inbound_host_ports: self.failsafe_inbound_host_ports.clone().or(broad.failsafe_inbound_host_ports),
            failsafe_outbound_host_ports: self
                .failsafe_outbound_host_ports
                .clone()
                .or(broad.failsafe_outbound_host_ports),
            disable_conntrack_invalid_check: self
                .disable_conntrack_invalid_check
                .or(broad.disable_conntrack_invalid_check),
            workload_source_spoofing: self.workload_source_spoofing.or(broad.workload_source_spoofing),
            allow_ipip_packets_from_workloads: self
                .allow_ipip_packets_from_workloads
                .or(broad.allow_ipip_packets_from_workloads),
            external_nodes_list: self.external_nodes_list.clone().or(broad.external_nodes_list),
        }
    }
}

/// The fields as they are written: which of them mean something is looked up.
pub(super) type FelixConfigurationSpec = Map<String, Value>;

impl Envelope<FelixConfigurationSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<FelixConfiguration, Invalid> {
        let mut honoured = Map::new();
        let mut node_selector = None;
        for (name, value) in self.spec {
            let path = format!("spec.{name}");
            match field(&name).map(|field| field.effect) {
                None => return Err(Invalid::field(path, "is no field of a FelixConfiguration")),
                Some(_) if value.is_null() || value == "" => {}
                Some(Effect::Honoured(_)) if name == "nodeSelector" => {
                    node_selector = Some(typed::<Selector>(value).map_err(|invalid| invalid.within(&path))?);
                }
                Some(Effect::Honoured(_)) => {
                    honoured.insert(name, value);
                }
                Some(Effect::NoneWhenOn(_)) if is_off(&value) => {}
                Some(Effect::NoneWhenOn(why) | Effect::None(why)) => {
                    warnings.add(path, format!("has no effect: {why}"));
                }
            }
        }
        let mut settings: FelixSettings =
            typed(Value::Object(honoured)).map_err(|invalid: Invalid| invalid.within("spec"))?;
        settings.ipip_mtu = settings.ipip_mtu.filter(|mtu| *mtu != 0);
        if settings.ipip_mtu.is_some_and(|mtu| !(68..=65515).contains(&mtu)) {
            return Err(Invalid::field(
                "spec.ipipMTU",
                "must be 68 to 65515 (RFC 791 §3.2), or 0 for the uplink's less 20",
            ));
        }
        let scope = scope(&self.metadata.name, node_selector)?;
        Ok(FelixConfiguration { meta: self.metadata, scope, settings })
    }
}

fn scope(name: &str, selector: Option<Selector>) -> Result<FelixScope, Invalid> {
    let of_name = match (name, name.strip_prefix("node.")) {
        ("default", _) => Some(FelixScope::Cluster),
        (_, Some(node)) => {
            let node = node.parse().map_err(|_| Invalid::field("metadata.name", "names no node after node."))?;
            Some(FelixScope::Node(node))
        }
        _ => None,
    };
    match (of_name, selector) {
        (Some(scope), None) => Ok(scope),
        (None, Some(selector)) => Ok(FelixScope::Nodes(selector)),
        (Some(_), Some(_)) => Err(Invalid::field("spec.nodeSelector", format!("is not for an object named {name}"))),
        (None, None) => Err(Invalid::field(
            "metadata.name",
            format!("must be default or node.<name>, or spec.nodeSelector given, not {name:?}"),
        )),
    }
}

/// Whether a value switches off what it is about, or leaves it as it is: of logs, at what the agent logs anyway.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => ["", "0", "0s", "auto", "disabled", "donothing", "info", "none", "off"]
            .contains(&text.to_lowercase().as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    fn read(name: &str, spec: &str) -> Result<(FelixConfiguration, Vec<String>), String> {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: {name}}}\nspec: {spec}"
        );
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::FelixConfiguration(felix) => {
                    Ok((*felix, found.warnings.iter().map(ToString::to_string).collect()))
                }
                other => Err(format!("{other:?}")),
            },
            Some(Document::Bad(_, error)) => Err(error.to_string()),
            None => Err("nothing".into()),
        }
    }

    fn node(labels: &str) -> Node {
        let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: n1, labels: {labels}}}");
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::Node(node) => node,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_said_of_fewer_nodes_wins_field_by_field() -> Result<(), String> {
        let objects = [
            read("default", "{ipipMTU: 1400, ipForwarding: Disabled}")?.0,
            read("gpus", "{nodeSelector: has(gpu), ipipMTU: 8980}")?.0,
            read("more-gpus", "{nodeSelector: has(gpu), ipForwarding: Enabled}")?.0,
            read("node.n1", "{natOutgoingExclusions: IPPoolsAndHostIPs}")?.0,
            read("node.n2", "{ipipMTU: 1300}")?.0,
        ];
        let settings = FelixSettings::of_node(objects.iter(), &node("{gpu: a}"));
        assert_eq!((settings.ipip_mtu, settings.ip_forwarding), (Some(8980), Some(Switch::Disabled)));
        assert_eq!(settings.nat_outgoing_exclusions, Some(NatOutgoingExclusions::IPPoolsAndHostIPs));
        assert_eq!(FelixSettings::of_node(objects.iter(), &node("{}")).ipip_mtu, Some(1400));
        Ok(())
    }

    #[test]
    fn a_field_without_effect_is_named_unless_it_asks_for_nothing() -> Result<(), String> {
        let (felix, warnings) = read(
            "default",
            "{bpfEnabled: false, wireguardEnabled: true, reportingInterval: 0s, floatingIPs: Disabled, ipipMTU: 0, \
              ipv6Support: false, logFilePath: None, logSeverityScreen: Info}",
        )?;
        assert_eq!(felix.settings, FelixSettings::default());
        assert_eq!(
            warnings,
            [
                "f.yaml: FelixConfiguration/default: spec.ipv6Support: has no effect: \
                 a node speaks IPv6 if it has pod CIDRs of IPv6",
                "f.yaml: FelixConfiguration/default: spec.wireguardEnabled: has no effect: margay has no WireGuard",
            ]
        );
        Ok(())
    }

    #[test]
    fn what_no_felix_knows_or_cannot_be_is_an_error_that_names_the_field() {
        for (name, spec, field) in [
            ("default", "{ipipMtu: 1400}", "spec.ipipMtu"),
            ("default", "{ipipMTU: 20}", "spec.ipipMTU"),
            ("default", "{ipipMTU: big}", "spec.ipipMTU"),
            ("default", "{ipForwarding: true}", "spec.ipForwarding"),
            ("default", "{serviceLoopPrevention: Maybe}", "spec.serviceLoopPrevention"),
            ("default", "{nodeSelector: all()}", "spec.nodeSelector"),
            ("gpus", "{nodeSelector: 'gpu ='}", "spec.nodeSelector"),
            ("gpus", "{}", "metadata.name"),
            ("node.", "{}", "metadata.name"),
        ] {
            let error = read(name, spec).unwrap_err();
            assert!(error.starts_with(&format!("f.yaml: FelixConfiguration/{name}: {field}: ")), "{spec}: {error}");
        }
    }

    #[test]
    fn no_field_is_in_the_table_twice() {
        let mut names: Vec<&str> = fields::all().map(|field| field.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
