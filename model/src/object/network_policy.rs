//! `networking.k8s.io/v1` NetworkPolicy.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::label_selector::LabelSelector;
use super::parse::{Envelope, Invalid, Warnings};
use super::port::CalicoPort;
use super::{Meta, nets};
use crate::selector::Selector;
use crate::{Prefix, Protocol};

/// Who may reach the pods it chooses, and whom they may reach. Kubernetes `networking/v1` `NetworkPolicySpec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// `metadata`.
    pub meta: Meta,
    /// `podSelector`, in the policy's own namespace.
    pub pods: Selector,
    /// `ingress`: what the chosen pods may be sent, besides what other policies allow. None: this policy says nothing of
    /// ingress (`policyTypes`).
    pub ingress: Option<Vec<PolicyRule>>,
    /// `egress`: what the chosen pods may send. None: this policy says nothing of egress.
    pub egress: Option<Vec<PolicyRule>>,
}

impl NetworkPolicy {
    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or("default")
    }
}

/// One of the rules: any of the peers, and any of the ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// `from` or `to`. Empty: everyone.
    pub peers: Vec<PolicyPeer>,
    /// `ports`, on the side that is connected to. Empty: all ports of all protocols.
    pub ports: Vec<PolicyPort>,
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyPeer {
    /// `podSelector`, `namespaceSelector`, or both together.
    Pods {
        /// `namespaceSelector`: in which namespaces. None: in the policy's own.
        namespaces: Option<Selector>,
        /// `podSelector`; all where it is left out.
        pods: Selector,
    },
    /// `ipBlock`.
    Net {
        /// `cidr`.
        cidr: Prefix,
        /// `except`.
        except: Vec<Prefix>,
    },
}

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPort {
    /// `protocol`; TCP where it is left out.
    pub protocol: Protocol,
    /// `port` and `endPort`. None: all ports of the protocol.
    pub port: Option<PortMatch>,
}

/// Which ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortMatch {
    /// From the first to the last.
    Numbers(RangeInclusive<u16>),
    /// The one that the pod connected to calls so.
    Name(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NetworkPolicySpec {
    /// Which pods of the namespace the policy is about; empty: all.
    #[serde(default)]
    pod_selector: LabelSelector,
    /// What the pods may be sent, besides what other policies allow.
    #[serde(default)]
    ingress: Option<Vec<IngressRule>>,
    /// What the pods may send, besides what other policies allow.
    #[serde(default)]
    egress: Option<Vec<EgressRule>>,
    /// Which ways the policy looks. Default: Ingress, and Egress if there are egress rules.
    #[serde(default)]
    policy_types: Option<Vec<PolicyType>>,
}
#[derive(Deserialize, JsonSchema, PartialEq, Eq)]
enum PolicyType {
    Ingress,
    Egress,
}
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IngressRule {
    /// Any of these; none: anyone.
    #[serde(default)]
    from: Option<Vec<PeerWire>>,
    /// Any of these; none: all.
    #[serde(default)]
    ports: Option<Vec<PortWire>>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EgressRule {
    /// Any of these; none: anyone.
    #[serde(default)]
    to: Option<Vec<PeerWire>>,
    /// Any of these; none: all.
    #[serde(default)]
    ports: Option<Vec<PortWire>>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PeerWire {
    /// Pods with such labels.
    #[serde(default)]
    pod_selector: Option<LabelSelector>,
    /// In namespaces with such labels. Default: in the policy's own.
    #[serde(default)]
    namespace_selector: Option<LabelSelector>,
    /// Addresses.
    #[serde(default)]
    ip_block: Option<IpBlock>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IpBlock {
    /// The prefix.
    cidr: String,
    /// Prefixes inside it that are not meant.
    #[serde(default)]
    except: Option<Vec<String>>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortWire {
    /// TCP, UDP or SCTP. Default: TCP.
    #[serde(default)]
    protocol: Option<Protocol>,
    /// A number, or a name that the pod gives to one of its ports. Default: all.
    #[schemars(with = "Option<CalicoPort>")]
    #[serde(default)]
    port: Option<Value>,
    /// The last of a range that begins with port.
    #[schemars(with = "Option<u16>")]
    #[serde(default)]
    end_port: Option<Value>,
}

impl Envelope<NetworkPolicySpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<NetworkPolicy, Invalid> {
        let NetworkPolicySpec { pod_selector, ingress, egress, policy_types } = self.spec;
        let ingress = ingress.unwrap_or_default().into_iter().map(|rule| (rule.from, rule.ports));
        let egress = egress.unwrap_or_default().into_iter().map(|rule| (rule.to, rule.ports));
        let ingress = rules(ingress, "spec.ingress", "from", warnings)?;
        let egress = rules(egress, "spec.egress", "to", warnings)?;
        // As the API server defaults it: ingress always, egress where there is a rule for it.
        let types = policy_types.filter(|types| !types.is_empty());
        let (is_ingress, is_egress) = match &types {
            Some(types) => (types.contains(&PolicyType::Ingress), types.contains(&PolicyType::Egress)),
            None => (true, !egress.is_empty()),
        };
        for (says, rules, name) in [(is_ingress, &ingress, "Ingress"), (is_egress, &egress, "Egress")] {
            if !says && !rules.is_empty() {
                let field = format!("spec.{}", name.to_lowercase());
                warnings.add(field, format!("has no effect: policyTypes does not name {name}"));
            }
        }
        Ok(NetworkPolicy {
            pods: pod_selector.selector("spec.podSelector")?,
            ingress: is_ingress.then_some(ingress),
            egress: is_egress.then_some(egress),
            meta: self.metadata,
        })
    }
}

type Sides = (Option<Vec<PeerWire>>, Option<Vec<PortWire>>);

fn rules(
    wires: impl Iterator<Item = Sides>,
    list: &str,
    side: &str,
    warnings: &mut Warnings,
) -> Result<Vec<PolicyRule>, Invalid> {
    let rule = |(index, (peers, ports)): (usize, Sides)| {
        let peers = peers.unwrap_or_default().into_iter().enumerate();
        let peers = peers.map(|(n, peer)| peer.check(&format!("{list}[{index}].{side}[{n}]"), warnings));
        let peers = peers.collect::<Result<_, _>>()?;
        let ports = ports.unwrap_or_default().into_iter().enumerate();
        let ports = ports.map(|(n, port)| port.check(&format!("{list}[{index}].ports[{n}]")));
        Ok(PolicyRule { peers, ports: ports.collect::<Result<_, _>>()? })
    };
    wires.enumerate().map(rule).collect()
}

impl PeerWire {
    fn check(self, field: &str, warnings: &mut Warnings) -> Result<PolicyPeer, Invalid> {
        let PeerWire { pod_selector, namespace_selector, ip_block } = self;
        if let Some(block) = ip_block {
            if pod_selector.is_some() || namespace_selector.is_some() {
                return Err(Invalid::field(format!("{field}.ipBlock"), "must stand alone: no selector beside it"));
            }
            return block.check(&format!("{field}.ipBlock"), warnings);
        }
        if pod_selector.is_none() && namespace_selector.is_none() {
            return Err(Invalid::field(field, "names no peer: podSelector, namespaceSelector or ipBlock"));
        }
        let namespaces = namespace_selector.map(|s| s.selector(&format!("{field}.namespaceSelector"))).transpose()?;
        let pods = pod_selector.unwrap_or_default().selector(&format!("{field}.podSelector"))?;
        Ok(PolicyPeer::Pods { namespaces, pods })
    }
}

impl IpBlock {
    fn check(self, field: &str, warnings: &mut Warnings) -> Result<PolicyPeer, Invalid> {
        let cidr = nets::masked(&self.cidr, &format!("{field}.cidr"), warnings)?;
        let mut except = Vec::new();
        for (index, text) in self.except.unwrap_or_default().iter().enumerate() {
            let field = format!("{field}.except[{index}]");
            let prefix = nets::masked(text, &field, warnings)?;
            if !cidr.covers(&prefix) {
                return Err(Invalid::field(field, format!("{prefix} is not inside {cidr}")));
            }
            except.push(prefix);
        }
        Ok(PolicyPeer::Net { cidr, except })
    }
}

impl PortWire {
    fn check(self, field: &str) -> Result<PolicyPort, Invalid> {
        let protocol = self.protocol.unwrap_or(Protocol::TCP);
        if ![Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&protocol) {
            return Err(Invalid::field(format!("{field}.protocol"), "must be TCP, UDP or SCTP"));
        }
        let port = match self.port {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if !name.bytes().any(|octet| octet.is_ascii_alphabetic()) => {
                let message = format!("{name:?} is no name, it has no letter: a number is written without quotes");
                return Err(Invalid::field(format!("{field}.port"), message));
            }
            Some(Value::String(name)) => Some(PortMatch::Name(name)),
            Some(number) => Some(PortMatch::Numbers(port_number(&number, &format!("{field}.port"))?.into_range())),
        };
        let end = self.end_port.filter(|end| !end.is_null());
        let port = match (port, end) {
            (port, None) => port,
            (Some(PortMatch::Numbers(first)), Some(end)) => {
                let field = format!("{field}.endPort");
                let PortNumber(end) = port_number(&end, &field)?;
                let first = *first.start();
                if end < first {
                    return Err(Invalid::field(field, format!("must not be less than port {first}")));
                }
                Some(PortMatch::Numbers(first..=end))
            }
            (_, Some(_)) => return Err(Invalid::field(format!("{field}.endPort"), "needs a number as port")),
        };
        Ok(PolicyPort { protocol, port })
    }
}

struct PortNumber(u16);
impl PortNumber {
    fn into_range(self) -> RangeInclusive<u16> {
        self.0..=self.0
    }
}

fn port_number(value: &Value, field: &str) -> Result<PortNumber, Invalid> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    number.map(PortNumber).ok_or_else(|| Invalid::field(field, format!("{value} is not a port from 1 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    fn ports(text: &str) -> Result<Vec<PolicyPort>, String> {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\n\
             spec: {{podSelector: {{}}, ingress: [{{ports: [{text}]}}]}}\n"
        );
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::NetworkPolicy(policy) => Ok(policy.ingress.expect("rules").remove(0).ports),
                other => panic!("{other:?}"),
            },
            Some(Document::Bad(_, error)) => Err(format!("{}: {}", error.field, error.message)),
            None => panic!("nothing is read"),
        }
    }

    #[test]
    fn a_port_is_a_number_a_range_or_a_name() {
        let numbers = |range| Some(PortMatch::Numbers(range));
        for (text, protocol, port) in [
            ("{}", Protocol::TCP, None),
            ("{protocol: UDP, port: 53}", Protocol::UDP, numbers(53..=53)),
            ("{protocol: SCTP, port: 1, endPort: 65535}", Protocol::SCTP, numbers(1..=65535)),
            ("{port: 80a}", Protocol::TCP, Some(PortMatch::Name("80a".into()))),
        ] {
            assert_eq!(ports(text), Ok(vec![PolicyPort { protocol, port }]), "{text}");
        }
    }

    #[test]
    fn a_number_in_quotes_is_no_name_that_no_pod_has() {
        for (text, expected) in [
            ("{port: '80'}", "spec.ingress[0].ports[0].port: \"80\" is no name, it has no letter"),
            ("{port: ''}", "spec.ingress[0].ports[0].port: \"\" is no name, it has no letter"),
            ("{port: 80, endPort: '90'}", "spec.ingress[0].ports[0].endPort: \"90\" is not a port"),
            ("{port: 0}", "spec.ingress[0].ports[0].port: 0 is not a port"),
            ("{port: http, endPort: 90}", "spec.ingress[0].ports[0].endPort: needs a number as port"),
        ] {
            let error = ports(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
