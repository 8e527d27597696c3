//! What runs: sets of addresses, chains of steps, and which chains are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use model::object::ObjectKey;
use model::{Family, PodRef, Protocol};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ranges::Ranges;
use crate::rules::Direction;

/// The compiled policies. Sets and chains are shared: by what they are made of, and by what they say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    /// Every set that a chain names, and those that only a rule about ports names that no endpoint here has.
    pub sets: BTreeMap<SetKey, Set>,
    /// Every chain that an endpoint has. A chain never changes: another one takes its place.
    pub chains: BTreeMap<ChainKey, Arc<Chain>>,
    /// The chains of every endpoint that a policy is about. A pod that is not here is open in both directions.
    pub endpoints: BTreeMap<EndpointKey, Chains>,
}

/// Whose traffic: what policies are enforced for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointKey {
    /// A pod's.
    Pod(PodRef),
    /// The node's own, by the name of its HostEndpoint.
    Host(String),
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointKey::Pod(pod) => write!(f, "{}/{}", pod.namespace, pod.name),
            EndpointKey::Host(name) => write!(f, "HostEndpoint/{name}"),
        }
    }
}

/// The chains of an endpoint; None: it is open in that direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains {
    /// For what comes in.
    pub ingress: Option<ChainKey>,
    /// For what goes out.
    pub egress: Option<ChainKey>,
    /// What only a HostEndpoint has.
    pub host: HostChains,
}

/// The further chains of a HostEndpoint; `ingress` and `egress` are for the host's own processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostChains {
    /// What comes in to be forwarded (`applyOnForward`).
    pub forward_ingress: Option<ChainKey>,
    /// What goes out after it was forwarded (`applyOnForward`).
    pub forward_egress: Option<ChainKey>,
    /// What comes in, before connections are tracked (`doNotTrack`).
    pub untracked_ingress: Option<ChainKey>,
    /// What goes out, before connections are tracked (`doNotTrack`).
    pub untracked_egress: Option<ChainKey>,
    /// What comes in, before a Service's address is translated (`preDNAT`).
    pub pre_dnat: Option<ChainKey>,
}

/// Tiers in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The first that decides, decides.
    pub tiers: Vec<TierChain>,
    /// What becomes of a packet that every tier has passed on.
    pub rest: Rest,
}

impl Chain {
    /// The sets that it names, some of them more than once.
    pub fn sets(&self) -> impl Iterator<Item = &SetKey> {
        let items = self.tiers.iter().flat_map(|tier| &tier.items);
        items.flat_map(Item::steps).flat_map(|step| &step.tests).filter_map(Test::set)
    }
}

/// After the last tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rest {
    /// Allowed: a pod, as its namespace has it.
    Allow,
    /// Denied: a host that nobody has opened.
    Deny,
}

/// The policies of one tier that are about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TierChain {
    /// The tier's name.
    pub tier: String,
    /// In the order in which they are asked.
    pub items: Vec<Item>,
    /// What becomes of a packet that none of them decides.
    pub end: End,
}

/// The end of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// Denied: these policies are about the endpoint.
    Deny {
        /// In the order in which they are asked.
        policies: Vec<ObjectKey>,
    },
    /// The next tier decides.
    Pass,
    /// Denied: nobody has told of the pod yet, and there are policies that may be about it.
    Unknown,
}

/// What is asked in a tier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Item {
    /// Decides what matches it.
    Step(Arc<Step>),
    /// Decides nothing: what its steps would decide is counted.
    Staged {
        /// The staged policy.
        policy: ObjectKey,
        /// Its steps; the first that matches would decide.
        steps: Vec<Arc<Step>>,
    },
}

impl Item {
    /// Its steps.
    pub fn steps(&self) -> &[Arc<Step>] {
        match self {
            Item::Step(step) => std::slice::from_ref(step),
            Item::Staged { steps, .. } => steps,
        }
    }
}

/// Does something with what passes all of its tests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// All of them must hold; none: always.
    pub tests: Vec<Test>,
    /// What it does.
    pub action: Action,
    /// Where it comes from. One rule may become several steps.
    pub rule: RuleRef,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// The packet passes, whatever later tiers say.
    Allow,
    /// It does not.
    Deny,
    /// The next tier decides.
    Pass,
    /// It is logged, and asked on.
    Log,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Whether something has to be so, or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sense {
    /// It has to be so.
    Is,
    /// It must not be so.
    Not,
}

impl Sense {
    /// Whether a fact is as it has to be.
    pub fn holds(self, fact: bool) -> bool {
        match self {
            Sense::Is => fact,
            Sense::Not => !fact,
        }
    }
}

/// One question to a packet. Those about ports and ICMP come only after one that settles the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// It is of this family.
    Family(Family),
    /// Its protocol.
    Protocol(Protocol, Sense),
    /// Its source is in a set of addresses or nets.
    Source(SetKey, Sense),
    /// Its destination is in a set of addresses or nets.
    Destination(SetKey, Sense),
    /// Its source port is in any of these.
    SourcePorts(Vec<RangeInclusive<u16>>, Sense),
    /// Its destination port is in any of these.
    DestinationPorts(Vec<RangeInclusive<u16>>, Sense),
    /// Its source address, protocol and source port are together in a set of sockets.
    SourceSocket(SetKey, Sense),
    /// Its destination address, protocol and destination port are together in a set of sockets.
    DestinationSocket(SetKey, Sense),
    /// Its ICMP or ICMPv6 type and code.
    Icmp {
        /// Type.
        kind: u8,
        /// Code; None is any.
        code: Option<u8>,
        /// Whether it has to be so.
        sense: Sense,
    },
}

impl Test {
    /// The set that it names.
    pub fn set(&self) -> Option<&SetKey> {
        match self {
            Test::Source(key, _)
            | Test::Destination(key, _)
            | Test::SourceSocket(key, _)
            | Test::DestinationSocket(key, _) => Some(key),
            _ => None,
        }
    }
}

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// The policy.
    pub policy: ObjectKey,
    /// Of which list.
    pub direction: Direction,
    /// Counted from 0 as in `spec.ingress[0]`.
    pub index: usize,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[{}]", self.policy, self.direction, self.index)
    }
}

/// Which set: a short hash of what it is made of, behind a word for what it holds: `pods-`, `nets-` or `ports-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetKey(Arc<str>);

/// Which chain: a short hash of what it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainKey(Arc<str>);

impl SetKey {
    /// Of a set of members of this kind that is made of what the text tells.
    pub fn of(kind: MembersKind, text: &str) -> SetKey {
        let word = match kind {
            MembersKind::Addresses => "pods",
            MembersKind::Nets => "nets",
            MembersKind::Sockets => "ports",
        };
        SetKey(format!("{word}-{}", digest(&text)).into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ChainKey {
    /// Of a chain.
    pub fn of(chain: &Chain) -> ChainKey {
        ChainKey(digest(chain).into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 20 hexadecimal digits: nobody finds another content with the same.
fn digest(content: &impl Hash) -> String {
    struct Digester(Sha256);
    impl Hasher for Digester {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut digester = Digester(Sha256::new());
    content.hash(&mut digester);
    digester.0.finalize().iter().take(10).map(|octet| format!("{octet:02x}")).collect()
}

/// A set: what it is made of, and what is in it now.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// What it is made of, for people: the selector, the nets, the port's name.
    pub about: Arc<str>,
    /// What is in it.
    pub members: Members,
}

/// What is in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Addresses of pods and hosts: each may come and go.
    Addresses(BTreeSet<IpAddr>),
    /// Nets, as disjoint ranges.
    Nets(Ranges),
    /// Addresses, protocols and ports.
    Sockets(BTreeSet<Socket>),
}

/// An address with a port.
pub type Socket = (IpAddr, Protocol, u16);

/// What kind of members a set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MembersKind {
    /// [`Members::Addresses`].
    Addresses,
    /// [`Members::Nets`].
    Nets,
    /// [`Members::Sockets`].
    Sockets,
}

impl Members {
    /// Of a kind, none yet.
    pub fn none(kind: MembersKind) -> Members {
        match kind {
            MembersKind::Addresses => Members::Addresses(BTreeSet::new()),
            MembersKind::Nets => Members::Nets(Ranges::default()),
            MembersKind::Sockets => Members::Sockets(BTreeSet::new()),
        }
    }

    /// Which kind.
    pub fn kind(&self) -> MembersKind {
        match self {
            Members::Addresses(_) => MembersKind::Addresses,
            Members::Nets(_) => MembersKind::Nets,
            Members::Sockets(_) => MembersKind::Sockets,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Members::Addresses(addresses) => addresses.is_empty(),
            Members::Nets(ranges) => ranges.is_empty(),
            Members::Sockets(sockets) => sockets.is_empty(),
        }
    }

    /// Those that are not another's; of nets, ranges. All if the other is of another kind.
    pub fn less(&self, other: &Members) -> Members {
        match (self, other) {
            (Members::Addresses(these), Members::Addresses(those)) => Members::Addresses(these - those),
            (Members::Sockets(these), Members::Sockets(those)) => Members::Sockets(these - those),
            (Members::Nets(these), Members::Nets(those)) => Members::Nets(these.less(those)),
            _ => self.clone(),
        }
    }

    /// Adds and takes away.
    pub fn change(&mut self, added: &Members, removed: &Members) {
        match (self, added, removed) {
            (Members::Addresses(these), Members::Addresses(added), Members::Addresses(removed)) => {
                these.retain(|address| !removed.contains(address));
                these.extend(added);
            }
            (Members::Sockets(these), Members::Sockets(added), Members::Sockets(removed)) => {
                these.retain(|socket| !removed.contains(socket));
                these.extend(added);
            }
            (Members::Nets(these), Members::Nets(added), Members::Nets(removed)) => these.change(added, removed),
            // A set's members stay of one kind.
            _ => {}
        }
    }

    /// Whether an address is in it; never in a set of sockets.
    pub fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Members::Addresses(addresses) => addresses.contains(&address),
            Members::Nets(ranges) => ranges.contains(address),
            Members::Sockets(_) => false,
        }
    }

    /// Whether a socket is in it; never in a set of addresses or nets.
    pub fn has_socket(&self, socket: &Socket) -> bool {
        matches!(self, Members::Sockets(sockets) if sockets.contains(socket))
    }
}
