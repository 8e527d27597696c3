//! Views of the speaker: peers, and routes in its tables.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::BfdView;
use crate::object::PeerAddress;
use crate::{Asn, ClusterId, Family, Prefix, RouterId};

/// One peer and its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// Where the peer is.
    pub peer_address: IpAddr,
    /// The interface on whose link a link-local peer is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interface: Option<String>,
    /// Its TCP port.
    pub peer_port: u16,
    /// The AS number that its objects say it has; where they leave it open, what it says itself once it is connected.
    #[serde(rename = "peerAS")]
    pub peer_as: Option<Asn>,
    /// Ours, towards this peer.
    #[serde(rename = "localAS")]
    pub local_as: Asn,
    /// Our address of the session; none while there is none.
    pub local_address: Option<IpAddr>,
    /// The listen range that the peer came from; none for one that is configured by its address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub range: Option<Prefix>,
    /// What its peering comes from: a BGPPeer's name, or `node-to-node mesh`.
    pub name: String,
    /// Why there is such a peer.
    pub kind: PeerKind,
    /// RFC 4271 §8.2.2.
    pub state: SessionState,
    /// Since when `state` is so.
    pub since: String,
    /// For a session that is not up, what hinders it; for one that is, what is wrong with it all the same.
    pub reason: String,
    /// What was agreed on; while not Established, what will be offered.
    pub families: Vec<Family>,
    /// Routes in Adj-RIB-In, stale ones included.
    pub received: u64,
    /// Those of them that were let in.
    pub accepted: u64,
    /// Routes that were not kept, as the peer has told 128 others of the same prefix (RFC 7911).
    #[serde(default)]
    pub ignored: u64,
    /// Routes in Adj-RIB-Out.
    pub advertised: u64,
    /// Routes kept over the peer's restart, not yet confirmed (RFC 4724).
    pub stale: u64,
    /// Of these, the ones kept beyond the peer's restart time, as the last resort (RFC 9494).
    #[serde(default)]
    pub long_lived_stale: u64,
    /// The peer's identifier, once it has said so.
    pub router_id: Option<RouterId>,
    /// Hold time agreed on, in seconds; 0 is none.
    pub hold_time: Option<u16>,
    /// Keepalive interval in seconds.
    pub keepalive_time: Option<u16>,
    /// Capabilities both sides have, by name.
    pub capabilities: Vec<String>,
    /// How often the session was established.
    pub established_count: u64,
    /// What ended the session last, if any was.
    pub last_error: Option<String>,
    /// How many prefixes it may send, where that is bounded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_prefixes: Option<u32>,
    /// Faulty attributes that were repaired, or whose routes were withdrawn (RFC 7606), since the peer was configured.
    #[serde(default)]
    pub faults: u64,
    /// The last of them and what came of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_fault: Option<String>,
    /// The BFD session with it, where one is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bfd: Option<BfdView>,
}

impl PeerView {
    /// As it is written in objects: the address alone on port 179, a link-local one with its interface.
    pub fn address(&self) -> String {
        let port = Some(self.peer_port).filter(|port| *port != 179);
        PeerAddress { address: self.peer_address, interface: self.interface.clone(), port }.to_string()
    }
}

/// From so many sessions of the mesh on a node is better served by route reflectors: Calico's word, too.
const LARGE_MESH: usize = 100;

/// What there is to say of a node with these peers whose mesh has grown large, with the next step.
pub fn mesh_advice(peers: &[PeerView]) -> Option<String> {
    let count = peers.iter().filter(|peer| peer.kind == PeerKind::Mesh).count();
    let advice = "a label and the annotation projectcalico.org/RouteReflectorClusterID on two or three nodes, a BGPPeer with \
                  nodeSelector all() and a peerSelector for that label, then nodeToNodeMeshEnabled: false in the \
                  BGPConfiguration default";
    (count > LARGE_MESH).then(|| {
        format!("the node-to-node mesh has {count} sessions on this node: use route reflectors from {LARGE_MESH} on: {advice}")
    })
}

/// Where a peering comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerKind {
    /// The node-to-node mesh.
    Mesh,
    /// A BGPPeer for every node.
    Global,
    /// A BGPPeer for some nodes.
    Node,
}

impl PeerKind {
    /// As `calicoctl node status` prints it.
    pub const fn words(self) -> &'static str {
        match self {
            PeerKind::Mesh => "node-to-node mesh",
            PeerKind::Global => "global",
            PeerKind::Node => "node specific",
        }
    }
}

/// The states of RFC 4271 §8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionState {
    /// Not trying.
    Idle,
    /// A connection is being made.
    Connect,
    /// Waiting to try again, or for the peer to come.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// Both OPENs are in.
    OpenConfirm,
    /// Up.
    Established,
}

impl SessionState {
    /// The RFC's word.
    pub const fn name(self) -> &'static str {
        match self {
            SessionState::Idle => "Idle",
            SessionState::Connect => "Connect",
            SessionState::Active => "Active",
            SessionState::OpenSent => "OpenSent",
            SessionState::OpenConfirm => "OpenConfirm",
            SessionState::Established => "Established",
        }
    }
}

/// One step of an AS path: a number, or a set of them in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AsPathItem {
    /// From an AS_SEQUENCE.
    As(Asn),
    /// An AS_SET.
    Set(Vec<Asn>),
}

/// One path in one of the speaker's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// Where to.
    pub prefix: Prefix,
    /// The next hop of the path; none for a route of our own.
    pub next_hop: Option<IpAddr>,
    /// Who sent it, or whom it is sent to; none for a route of our own.
    pub peer: Option<IpAddr>,
    /// AS_PATH, nearest first.
    pub as_path: Vec<AsPathItem>,
    /// ORIGIN: `igp`, `egp`, `incomplete`.
    pub origin: String,
    /// LOCAL_PREF, given or assumed.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// RFC 1997, `64512:100` or a well-known name.
    pub communities: Vec<String>,
    /// RFC 8092, `64512:1:2`.
    pub large_communities: Vec<String>,
    /// RFC 4360, type and value in hexadecimal.
    #[serde(default)]
    pub extended_communities: Vec<String>,
    /// RFC 7911; none without add-path.
    pub path_id: Option<u32>,
    /// The best path of its prefix.
    pub best: bool,
    /// Of equal cost with the best: in the kernel's route too.
    pub multipath: bool,
    /// Kept over its peer's restart, not yet confirmed (RFC 4724).
    pub stale: bool,
    /// Marked as kept beyond its peer's restart time, here or by who told us: the last resort (RFC 9494).
    #[serde(default)]
    pub long_lived_stale: bool,
    /// Why it is best, or not, or was not let in.
    pub reason: String,
    /// RFC 4456.
    pub originator_id: Option<RouterId>,
    /// RFC 4456.
    pub cluster_list: Vec<ClusterId>,
    /// The AS that marked it as for customers only (OTC, RFC 9234).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub only_to_customer: Option<Asn>,
    /// Attributes that are only passed on, `type 33 (5 octets)`.
    pub other_attributes: Vec<String>,
}

/// Some routes, whole prefixes in order, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutePage {
    /// In order of prefix, the best path first.
    pub routes: Vec<RouteView>,
    /// What to ask after next; none at the end.
    pub next: Option<Prefix>,
}
