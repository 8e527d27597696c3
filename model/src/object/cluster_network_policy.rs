//! `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::label_selector::LabelSelector;
use super::network_policy::{PolicyPort, PortMatch};
use super::parse::{Envelope, Invalid, Warnings};
use super::{Meta, RuleAction, nets};
use crate::selector::Selector;
use crate::{Prefix, Protocol};

/// A policy of the cluster's keepers, before all policies of namespaces or after them.
/// kubernetes-sigs/network-policy-api `apis/v1alpha2/clusternetworkpolicy_types.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNetworkPolicy {
    /// `metadata`.
    pub meta: Meta,
    /// `tier`.
    pub tier: ClusterTier,
    /// `priority`, 0 to 1000: lower ones come first.
    pub priority: u16,
    /// `subject`: which pods it is about.
    pub subject: ClusterPods,
    /// `ingress`: the first rule that matches decides; without a rule it says nothing of ingress.
    pub ingress: Vec<ClusterRule>,
    /// `egress`: the same.
    pub egress: Vec<ClusterRule>,
}

/// `tier` of a ClusterNetworkPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClusterTier {
    /// Before the policies of namespaces.
    Admin,
    /// After them, for pods and directions that none of them is about.
    Baseline,
}

/// Pods by their labels and those of their namespaces. Pods on their host's network are none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPods {
    /// `namespaces` or `namespaceSelector`.
    pub namespaces: Selector,
    /// `podSelector`; all where `namespaces` stands alone.
    pub pods: Selector,
}

/// A rule: any of the peers, and any of the ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRule {
    /// `name`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `action`, of which Accept is [`RuleAction::Allow`].
    pub action: RuleAction,
    /// `from` or `to`. Empty: nobody.
    pub peers: Vec<ClusterPeer>,
    /// `protocols`. Empty: all ports of all protocols.
    pub ports: Vec<PolicyPort>,
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClusterPeer {
    /// `namespaces` or `pods`.
    Pods(ClusterPods),
    /// `nodes`, by their labels: any of their addresses.
    Nodes(Selector),
    /// `networks`.
    Nets(Vec<Prefix>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterNetworkPolicySpec {
    tier: ClusterTier,
    priority: u16,
    subject: PodsWire,
    #[serde(default)]
    ingress: Option<Vec<IngressWire>>,
    #[serde(default)]
    egress: Option<Vec<EgressWire>>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PodsWire {
    #[serde(default)]
    namespaces: Option<LabelSelector>,
    #[serde(default)]
    pods: Option<NamespacedPod>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamespacedPod {
    #[serde(default)]
    namespace_selector: LabelSelector,
    #[serde(default)]
    pod_selector: LabelSelector,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressWire {
    #[serde(default)]
    name: Option<String>,
    action: ActionWire,
    from: Vec<PeerWire>,
    #[serde(default)]
    protocols: Option<Vec<ProtocolWire>>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EgressWire {
    #[serde(default)]
    name: Option<String>,
    action: ActionWire,
    to: Vec<PeerWire>,
    #[serde(default)]
    protocols: Option<Vec<ProtocolWire>>,
}
#[derive(Deserialize, Clone, Copy)]
enum ActionWire {
    Accept,
    Deny,
    Pass,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerWire {
    #[serde(default)]
    namespaces: Option<LabelSelector>,
    #[serde(default)]
    pods: Option<NamespacedPod>,
    #[serde(default)]
    nodes: Option<LabelSelector>,
    #[serde(default)]
    networks: Option<Vec<String>>,
    #[serde(default)]
    domain_names: Option<Vec<String>>,
    /// What a later version of the kind may have.
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProtocolWire {
    #[serde(default)]
    tcp: Option<PortsWire>,
    #[serde(default)]
    udp: Option<PortsWire>,
    #[serde(default)]
    sctp: Option<PortsWire>,
    #[serde(default)]
    destination_named_port: Option<String>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortsWire {
    #[serde(default)]
    destination_port: Option<PortWire>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortWire {
    #[serde(default)]
    number: Option<u16>,
    #[serde(default)]
    range: Option<RangeWire>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeWire {
    start: u16,
    end: u16,
}

/// A rule whichever way it looks.
struct RuleWire {
    name: Option<String>,
    action: ActionWire,
    peers: Vec<PeerWire>,
    protocols: Option<Vec<ProtocolWire>>,
}

impl Envelope<ClusterNetworkPolicySpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<ClusterNetworkPolicy, Invalid> {
        let ClusterNetworkPolicySpec { tier, priority, subject, ingress, egress } = self.spec;
        if priority > 1000 {
            return Err(Invalid::field("spec.priority", "must be 0 to 1000"));
        }
        let ingress = ingress.unwrap_or_default().into_iter().enumerate();
        let ingress = ingress.map(|(n, IngressWire { name, action, from, protocols })| {
            let rule = RuleWire { name, action, peers: from, protocols };
            rule.check(&format!("spec.ingress[{n}]"), Side::From, warnings)
        });
        let ingress = ingress.collect::<Result<_, _>>()?;
        let egress = egress.unwrap_or_default().into_iter().enumerate();
        let egress = egress.map(|(n, EgressWire { name, action, to, protocols })| {
            let rule = RuleWire { name, action, peers: to, protocols };
            rule.check(&format!("spec.egress[{n}]"), Side::To, warnings)
        });
        let egress = egress.collect::<Result<_, _>>()?;
        let subject = pods(subject.namespaces, subject.pods, "spec.subject")?
            .ok_or_else(|| Invalid::field("spec.subject", "must be one of namespaces and pods"))?;
        Ok(ClusterNetworkPolicy { meta: self.metadata, tier, priority, subject, ingress, egress })
    }
}

/// Which list of peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    To,
}

impl RuleWire {
    fn check(self, place: &str, side: Side, warnings: &mut Warnings) -> Result<ClusterRule, Invalid> {
        let action = match self.action {
            ActionWire::Accept => RuleAction::Allow,
            ActionWire::Deny => RuleAction::Deny,
            ActionWire::Pass => RuleAction::Pass,
        };
        let list = match side {
            Side::From => "from",
            Side::To => "to",
        };
        if self.peers.is_empty() {
            return Err(Invalid::field(format!("{place}.{list}"), "must name at least one peer"));
        }
        let name = self.name.unwrap_or_default();
        if let Some(n) = self.peers.iter().position(|peer| !peer.is_known(side)) {
            let (rule, effect) = closed(name, action);
            warnings.add(format!("{place}.{list}[{n}]"), format!("is no peer that margay knows: the rule {effect}"));
            return Ok(rule);
        }
        let mut peers = Vec::new();
        for (n, peer) in self.peers.into_iter().enumerate() {
            peers.extend(peer.check(&format!("{place}.{list}[{n}]"), action, warnings)?);
        }
        let mut ports = Vec::new();
        for (n, protocol) in self.protocols.unwrap_or_default().into_iter().enumerate() {
            ports.extend(protocol.check(&format!("{place}.protocols[{n}]"))?);
        }
        Ok(ClusterRule { name, action, peers, ports })
    }
}

/// A rule that fails closed, as v1alpha2 wants it of one with a peer that is not known, and what it does then.
fn closed(name: String, action: RuleAction) -> (ClusterRule, &'static str) {
    if action == RuleAction::Allow {
        return (ClusterRule { name, action, peers: Vec::new(), ports: Vec::new() }, "accepts nothing");
    }
    let families = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let everybody = families.into_iter().filter_map(|address| Prefix::masked(address, 0).ok()).collect();
    let peers = vec![ClusterPeer::Nets(everybody)];
    (ClusterRule { name, action: RuleAction::Deny, peers, ports: Vec::new() }, "denies everything")
}

impl PeerWire {
    /// Whether it has a field that is known on its side, and none that is not known.
    fn is_known(&self, side: Side) -> bool {
        let PeerWire { namespaces, pods, nodes, networks, domain_names, unknown } = self;
        let of_egress = nodes.is_some() || networks.is_some() || domain_names.is_some();
        unknown.is_empty() && (namespaces.is_some() || pods.is_some() || (side == Side::To && of_egress))
    }

    /// None: nobody, as far as margay can tell.
    fn check(self, place: &str, action: RuleAction, warnings: &mut Warnings) -> Result<Option<ClusterPeer>, Invalid> {
        let PeerWire { namespaces, pods: of_pods, nodes, networks, domain_names, unknown: _ } = self;
        let given =
            [of_pods.is_some(), namespaces.is_some(), nodes.is_some(), networks.is_some(), domain_names.is_some()];
        let given = given.into_iter().filter(|given| *given).count();
        if given != 1 {
            return Err(Invalid::field(place, "must be exactly one of namespaces, pods, nodes, networks, domainNames"));
        }
        if let Some(selector) = nodes {
            return Ok(Some(ClusterPeer::Nodes(selector.selector(&format!("{place}.nodes"))?)));
        }
        if let Some(texts) = networks {
            let texts = texts.iter().enumerate();
            let nets = texts.map(|(n, text)| nets::masked(text, &format!("{place}.networks[{n}]"), warnings));
            return Ok(Some(ClusterPeer::Nets(nets.collect::<Result<_, _>>()?)));
        }
        if domain_names.is_some() {
            let field = format!("{place}.domainNames");
            if action != RuleAction::Allow {
                return Err(Invalid::field(field, "is for action Accept only"));
            }
            warnings.add(field, "is nobody: margay looks no names up, and the rule accepts nothing to them");
            return Ok(None);
        }
        Ok(pods(namespaces, of_pods, place)?.map(ClusterPeer::Pods))
    }
}

fn pods(
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPod>,
    place: &str,
) -> Result<Option<ClusterPods>, Invalid> {
    Ok(match (namespaces, pods) {
        (Some(namespaces), None) => Some(ClusterPods {
            namespaces: namespaces.selector(&format!("{place}.namespaces"))?,
            pods: Selector::all(),
        }),
        (None, Some(NamespacedPod { namespace_selector, pod_selector })) => Some(ClusterPods {
            namespaces: namespace_selector.selector(&format!("{place}.pods.namespaceSelector"))?,
            pods: pod_selector.selector(&format!("{place}.pods.podSelector"))?,
        }),
        _ => None,
    })
}

impl ProtocolWire {
    fn check(self, place: &str) -> Result<Vec<PolicyPort>, Invalid> {
        let ProtocolWire { tcp, udp, sctp, destination_named_port } = self;
        let of = [(Protocol::TCP, tcp, "tcp"), (Protocol::UDP, udp, "udp"), (Protocol::SCTP, sctp, "sctp")];
        let mut ports = Vec::new();
        let mut given = usize::from(destination_named_port.is_some());
        for (protocol, wire, name) in of {
            let Some(wire) = wire else { continue };
            given += 1;
            let port = wire.destination_port.map(|port| port.check(&format!("{place}.{name}.destinationPort")));
            ports.push(PolicyPort { protocol, port: port.transpose()? });
        }
        if given != 1 {
            return Err(Invalid::field(place, "must be exactly one of tcp, udp, sctp, destinationNamedPort"));
        }
        // Of whatever protocol the pod's port is.
        if let Some(name) = destination_named_port {
            let named = |protocol| PolicyPort { protocol, port: Some(PortMatch::Name(name.clone())) };
            ports.extend([Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(named));
        }
        Ok(ports)
    }
}

impl PortWire {
    fn check(self, place: &str) -> Result<PortMatch, Invalid> {
        match (self.number, self.range) {
            (Some(0), None) => Err(Invalid::field(format!("{place}.number"), "must be 1 to 65535")),
            (Some(number), None) => Ok(PortMatch::Numbers(number..=number)),
            (None, Some(RangeWire { start, end })) if start > 0 && start <= end => Ok(PortMatch::Numbers(start..=end)),
            (None, Some(_)) => Err(Invalid::field(format!("{place}.range"), "must be 1 to 65535, start before end")),
            _ => Err(Invalid::field(place, "must be one of number and range")),
        }
    }
}
