//! Policies in one common form: tiers of policies of rules. The first rule that matches decides.
//!
//! Order of verdicts as Calico has it: tiers by order; in a tier policies by order and name; a pod that a policy of a tier
//! chooses is at the tier's end refused what no rule allowed.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use model::object::{Kind, NetworkPolicy, ObjectKey, PolicyPeer, PolicyPort, PolicyRule, PortMatch};
use model::selector::Selector;
use model::{Prefix, Protocol};
use serde::{Deserialize, Serialize};

use crate::scene::{Endpoint, Scene};

/// Which way a connection goes, seen from an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}

/// Policies that are asked together.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// In the order in which they are asked.
    pub policies: Vec<Policy>,
}

/// A policy: for whom, and its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The object it comes from.
    pub key: ObjectKey,
    /// The pods that it is about.
    pub subject: Pods,
    /// Rules for what comes in; None if it says nothing of that.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for what goes out; None if it says nothing of that.
    pub egress: Option<Vec<Rule>>,
}

/// A rule: what of peer and port it allows. All of it has to match.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The other side: any of these; None is everyone.
    pub peers: Option<Vec<Peer>>,
    /// The port connected to: any of these; None is every port of every protocol.
    pub ports: Option<Vec<Ports>>,
}

/// Pods by namespace and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// In which namespaces.
    pub namespaces: Namespaces,
    /// By the pods' labels.
    pub labels: Selector,
}

/// Which namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// This one.
    Named(String),
    /// Those that it chooses by their labels.
    Chosen(Selector),
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods.
    Pods(Pods),
    /// Addresses, whoever has them.
    Net {
        /// These,
        cidr: Prefix,
        /// but not those.
        except: Vec<Prefix>,
    },
}

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Which protocol.
    pub protocol: Protocol,
    /// Which of its ports; None is all.
    pub which: Option<PortMatch>,
}

impl Tier {
    /// The policies of Kubernetes' own kind make one tier; None without any.
    pub fn of_network_policies<'a>(policies: impl IntoIterator<Item = &'a NetworkPolicy>) -> Option<Tier> {
        let mut policies: Vec<Policy> = policies.into_iter().map(Policy::of_network_policy).collect();
        policies.sort_by(|a, b| a.key.cmp(&b.key));
        (!policies.is_empty()).then(|| Tier { name: "default".into(), policies })
    }
}

impl Policy {
    fn of_network_policy(policy: &NetworkPolicy) -> Policy {
        let namespace = policy.namespace().to_string();
        let rules = |rules: &Option<Vec<PolicyRule>>| {
            rules.as_ref().map(|rules| rules.iter().map(|rule| Rule::of_network_policy(rule, &namespace)).collect())
        };
        Policy {
            key: ObjectKey {
                kind: Kind::NetworkPolicy,
                namespace: Some(namespace.clone()),
                name: policy.meta.name.clone(),
            },
            ingress: rules(&policy.ingress),
            egress: rules(&policy.egress),
            subject: Pods { namespaces: Namespaces::Named(namespace.clone()), labels: policy.pods.clone() },
        }
    }

    /// Its rules of a direction; None if it says nothing of that.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl Rule {
    fn of_network_policy(rule: &PolicyRule, namespace: &str) -> Rule {
        let peer = |peer: &PolicyPeer| match peer {
            PolicyPeer::Net { cidr, except } => Peer::Net { cidr: *cidr, except: except.clone() },
            PolicyPeer::Pods { namespaces, pods } => {
                let own = || Namespaces::Named(namespace.to_string());
                let namespaces = namespaces.clone().map_or_else(own, Namespaces::Chosen);
                Peer::Pods(Pods { namespaces, labels: pods.clone() })
            }
        };
        let ports = |port: &PolicyPort| Ports { protocol: port.protocol, which: port.port.clone() };
        let peers = (!rule.peers.is_empty()).then(|| rule.peers.iter().map(peer).collect());
        Rule { peers, ports: (!rule.ports.is_empty()).then(|| rule.ports.iter().map(ports).collect()) }
    }
}

impl Pods {
    /// Whether a pod is one of them. In a namespace that nobody has told of, only the namespace's name can choose.
    pub fn choose(&self, endpoint: &Endpoint, scene: &Scene) -> bool {
        let namespace = &endpoint.pod.namespace;
        let in_namespace = match &self.namespaces {
            Namespaces::Named(name) => name == namespace,
            Namespaces::Chosen(selector) => scene.namespace(namespace).is_some_and(|labels| selector.chooses(labels)),
        };
        in_namespace && self.labels.chooses(&endpoint.labels)
    }
}

impl Peer {
    /// Whether an address is one of theirs.
    pub fn has(&self, address: IpAddr, scene: &Scene) -> bool {
        match self {
            Peer::Net { cidr, except } => {
                cidr.contains(address) && !except.iter().any(|prefix| prefix.contains(address))
            }
            Peer::Pods(pods) => {
                scene.endpoints().any(|pod| pod.addresses.contains(&address) && pods.choose(pod, scene))
            }
        }
    }
}

/// A range of ports: all of them.
pub const EVERY_PORT: RangeInclusive<u16> = 0..=u16::MAX;

impl fmt::Display for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespaces {
            Namespaces::Named(name) => write!(f, "namespace {name:?}")?,
            Namespaces::Chosen(selector) => write!(f, "namespaces {selector}")?,
        }
        write!(f, " pods {}", self.labels)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Pods(pods) => pods.fmt(f),
            Peer::Net { cidr, except } => {
                write!(f, "net {cidr}")?;
                except.iter().try_for_each(|prefix| write!(f, " except {prefix}"))
            }
        }
    }
}
