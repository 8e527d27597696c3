//! What this Node's object should say: whether its network is there, no startup taint, the addresses that others need.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::Family;
use model::object::{IPV4_ADDRESS, IPV4_FOUND, IPV6_ADDRESS, IPV6_FOUND};

use super::{ReportKind, Standing, Voice};
use crate::plan::{encap, own};
use crate::world::World;

/// Key of the taint that a node may start with, as provisioners set it (startup taints).
pub const STARTUP_TAINT: &str = "node.margay.io/agent-not-ready";
/// How long pods can't be attached before the scheduler is told: longer than an agent's start or a change of objects.
pub const GRACE: Duration = Duration::from_secs(60);
/// Annotation that tells others the address of the tunnel device. Calico's.
const TUNNEL_ADDRESS: &str = "projectcalico.org/IPv4IPIPTunnelAddr";
/// How the reasons begin that margay gives.
const OURS: &str = "Margay";
/// The reason of a farewell.
const GONE: &str = "MargayIsGone";
/// The longest message of a condition in octets.
const LONGEST: usize = 1024;

/// What a Node's object should say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeReport {
    /// `metadata.uid`: a node that registers anew starts from nothing.
    pub uid: Option<String>,
    /// Condition `NetworkUnavailable`; none where it stays as it is.
    pub network: Option<Network>,
    /// The taint that should not be there, by its key.
    pub without_taint: Option<String>,
    /// Annotations that were found out, all of them: what we wrote beside them before goes. None where they stay.
    pub annotations: Option<BTreeMap<&'static str, String>>,
}

/// Condition `NetworkUnavailable` of a Node. The node controller keeps the taint of that name by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The condition's status, the other way round.
    pub availability: Availability,
    /// `reason`.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
}

impl Network {
    /// Whether this is to be said where that reason is given, or none. A farewell takes back what margay has said: where
    /// the network is another's, be it from the beginning, it is there.
    pub fn follows(&self, reason: Option<&str>) -> bool {
        self.reason != GONE || reason.is_some_and(|reason| reason.starts_with(OURS))
    }
}

/// Whether pods of a node have a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// NetworkUnavailable is False.
    Available,
    /// NetworkUnavailable is True: no new pods come but those of the host's network.
    Unavailable,
}

pub(super) fn report(world: &World, standing: Standing<'_>, voice: &Voice) -> NodeReport {
    let node = world.objects.node(&world.node);
    let ready = standing.not_ready.is_none();
    let taint = Some(&voice.startup_taint).filter(|key| ready && voice.says(ReportKind::Taint) && !key.is_empty());
    NodeReport {
        uid: node.and_then(|node| node.meta.uid.clone()),
        network: if voice.says(ReportKind::Condition) { network(standing) } else { None },
        without_taint: taint.cloned(),
        annotations: node.filter(|_| ready && voice.says(ReportKind::Annotations)).map(|_| annotations(world)),
    }
}

impl NodeReport {
    /// Whether there is nothing to say.
    pub(super) fn is_silent(&self) -> bool {
        *self == NodeReport { uid: self.uid.clone(), ..NodeReport::default() }
    }
}

/// An agent that starts or stops leaves the condition as it is: pods keep their network meanwhile.
fn network(standing: Standing<'_>) -> Option<Network> {
    match standing.not_ready {
        None => Some(Network {
            availability: Availability::Available,
            reason: "MargayIsUp",
            message: "pods can be attached".into(),
        }),
        Some((_, since)) if since < GRACE => None,
        Some((why, _)) => Some(Network {
            availability: Availability::Unavailable,
            reason: "MargayIsNotReady",
            message: cut(format!("no pod can be attached: {why}")),
        }),
    }
}

/// What the Node should say once margay has been taken off it.
pub fn farewell() -> NodeReport {
    NodeReport {
        network: Some(Network {
            availability: Availability::Unavailable,
            reason: GONE,
            message: "margay was uninstalled from this node".into(),
        }),
        annotations: Some(BTreeMap::new()),
        ..NodeReport::default()
    }
}

/// The node's addresses with the subnets that the kernel has them on, which no Node's status tells and CrossSubnet
/// compares; and the tunnel's address.
fn annotations(world: &World) -> BTreeMap<&'static str, String> {
    let own = own::addresses(world);
    let addresses = [(Family::Ipv4, [IPV4_ADDRESS, IPV4_FOUND]), (Family::Ipv6, [IPV6_ADDRESS, IPV6_FOUND])];
    let mut found: BTreeMap<&'static str, String> = BTreeMap::new();
    for (family, keys) in addresses {
        if let Some(text) = own.annotation(family) {
            found.extend(keys.map(|key| (key, text.clone())));
        }
    }
    if encap::tunnel(world).is_some()
        && let Some(IpAddr::V4(address)) = encap::tunnel_address(world)
    {
        found.insert(TUNNEL_ADDRESS, address.to_string());
    }
    found
}

pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}
