//! What a speaker is told to be and to do: identity, peers, originated prefixes.
//!
//! A [`SpeakerConfig`] is always the whole wish. The speaker compares it with what it has and does the least:
//! what that is for each field is in the tables of [`crate::change`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use model::api::show::PeerKind;
use model::filter::Filters;
pub use model::object::AddPath;
use model::{Asn, ClusterId, Family, Prefix, RouterId};
use serde::{Deserialize, Serialize};

use crate::bmp::Monitoring;
pub use crate::neighbours::{ListenRange, PeerKey, RemoteAs};
pub use crate::role::RoleCheck;
pub use crate::speaker::{Excess, MaxPrefixes};
pub use crate::wire::capability::Role;

/// The port of BGP (RFC 4271 §8.2.1).
pub const BGP_PORT: u16 = 179;

/// Everything the speaker is asked to be and do.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeakerConfig {
    /// BGP identifier (RFC 6286). A change resets every session.
    pub router_id: RouterId,
    /// Own autonomous system. A change resets every session.
    pub local_as: Asn,
    /// Set when this node reflects routes (RFC 4456). A change re-advertises; it resets nothing.
    pub cluster_id: Option<ClusterId>,
    /// This node's IPv4 address: the next hop of own IPv4 routes on a session over IPv6.
    pub local_ipv4: Option<Ipv4Addr>,
    /// This node's IPv6 address: the next hop of own IPv6 routes on a session over IPv4. Without it such a session
    /// does not offer IPv6.
    pub local_ipv6: Option<Ipv6Addr>,
    /// This node's link-local address on the link of each of its IPv6 subnets: a peer on that link is told it beside the
    /// global one (RFC 2545 §3).
    pub link_locals: BTreeMap<Prefix, Ipv6Addr>,
    /// RFC 4724.
    pub graceful_restart: GracefulRestart,
    /// Whom to peer with.
    pub peers: BTreeMap<PeerKey, PeerConfig>,
    /// From where peers may come that are not among [`SpeakerConfig::peers`]; of several the longest prefix counts.
    pub ranges: BTreeMap<Prefix, ListenRange>,
    /// What this node announces: its own pod CIDRs, and later services.
    pub originate: BTreeMap<Prefix, Origination>,
    /// What is announced while something inside it is in the table (RFC 4271 §9.2.2.2). A change re-announces.
    pub aggregates: BTreeMap<Prefix, Aggregate>,
    /// This node's pod CIDRs, announced or not, for [`ImportPolicy::Safe`].
    pub own: Vec<Prefix>,
    /// Pools of the cluster, for [`ImportPolicy::Safe`]: an external peer may announce blocks of other nodes inside a
    /// pool, but neither what is this node's own (or originated) nor a prefix of a pool that covers it.
    pub pools: Vec<Prefix>,
    /// Where this node's links lead, for rules of filters that ask for a route's interface; may be empty without such.
    pub interfaces: Vec<Interface>,
    /// Set while this node is taken out of service (RFC 8326). A change re-announces, and in the end stops or starts.
    pub drain: Option<Drain>,
    /// How many equal paths a route may use, and which count as equal.
    pub multipath: Multipath,
    /// Who is told of sessions and tables by BMP (RFC 7854). A change concerns the stations alone.
    pub monitoring: Monitoring,
    /// Timers and limits of sessions.
    pub timers: Timers,
}

impl SpeakerConfig {
    /// A speaker with nobody to talk to and nothing to say; everything else at its default.
    pub fn new(router_id: RouterId, local_as: Asn) -> SpeakerConfig {
        SpeakerConfig {
            router_id,
            local_as,
            cluster_id: None,
            local_ipv4: None,
            local_ipv6: None,
            link_locals: BTreeMap::new(),
            graceful_restart: GracefulRestart::default(),
            peers: BTreeMap::new(),
            ranges: BTreeMap::new(),
            originate: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            own: Vec::new(),
            pools: Vec::new(),
            interfaces: Vec::new(),
            drain: None,
            multipath: Multipath::default(),
            monitoring: Monitoring::default(),
            timers: Timers::default(),
        }
    }
}

/// A subnet on a link of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The subnet.
    pub subnet: Prefix,
    /// The interface's name.
    pub name: String,
}

/// One peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerConfig {
    /// For people: `Mesh_10_0_0_1`, or the BGPPeer object's name. A change has no effect on the session.
    pub name: String,
    /// Where this peer comes from.
    pub kind: PeerKind,
    /// The AS it must say it is in. The session is internal if this equals the local AS. A change resets.
    pub remote_as: RemoteAs,
    /// The AS that this node is in towards this peer, instead of [`SpeakerConfig::local_as`] (RFC 7705): OPEN says it, and
    /// it alone goes in front of AS_PATH, as BIRD has it. A change resets.
    pub local_as: Option<Asn>,
    /// How often our own AS may be in AS_PATH of what it announces: 0, as a path with it is a loop (RFC 4271 §9.1.2). A
    /// change re-evaluates.
    pub allowed_own_as: u8,
    /// The source address to dial from; the kernel's choice if absent. A change resets.
    pub local_address: Option<IpAddr>,
    /// Hold time to offer (RFC 4271 §4.2): zero, or at least 3 s. Effective with the next session.
    pub hold_time: Duration,
    /// Time between KEEPALIVEs; a third of the negotiated hold time if absent. Never more than that.
    pub keepalive_time: Option<Duration>,
    /// Who dials.
    pub dial: Dialling,
    /// Next hop of what is announced to it. A change re-announces.
    pub next_hop: NextHopMode,
    /// TCP-MD5 (RFC 2385). A change resets.
    pub password: Option<Secret>,
    /// GTSM (RFC 5082): how many hops away the peer may be. A change resets.
    pub ttl_security: Option<u8>,
    /// Longest time to keep its routes while it restarts; its own wish counts if shorter.
    pub max_restart_time: Option<Duration>,
    /// How long routes of one who does not come back in its restart time are kept as the last resort (RFC 9494): what we
    /// ask of the peer for ours, and at most for its own; not at all if absent. Effective with the next session.
    pub long_lived_restart_time: Option<Duration>,
    /// How many prefixes it may send, and what comes of more.
    pub max_prefixes: Option<MaxPrefixes>,
    /// Families to offer. A change resets.
    pub families: Vec<Family>,
    /// Whether IPv4 routes with IPv6 next hops are offered on an IPv6 session, and with them IPv4. A change resets.
    pub extended_next_hop: ExtendedNextHop,
    /// The interface on whose link the peer is, for people: the key has its index. A change has no effect.
    pub interface: Option<String>,
    /// Whether routes are reflected to and from it (RFC 4456). A change re-announces.
    pub reflection: Reflection,
    /// What is believed of what it says. A change re-evaluates.
    pub import: ImportPolicy,
    /// What it is told. A change re-announces.
    pub export: ExportPolicy,
    /// BFD (RFC 5880) with it. A change leaves the BGP session as it is.
    pub bfd: Option<crate::bfd::Config>,
    /// In which directions several paths per prefix may go (RFC 7911). A change resets.
    pub add_path: AddPath,
    /// How many paths of a prefix it is told at most, where it takes several. A change re-announces.
    pub add_path_limit: u8,
    /// What this node is to the peer (RFC 9234), if that is to be agreed on; of no effect with an internal peer. A change
    /// resets.
    pub role: Option<Role>,
    /// Whether the peer must announce its role. Effective with the next session.
    pub role_check: RoleCheck,
    /// What decides before [`PeerConfig::import`] and [`PeerConfig::export`]. A change re-evaluates and re-announces.
    pub filters: Filters,
}

impl PeerConfig {
    /// A peer in this AS, all else at its default.
    pub fn new(name: impl Into<String>, remote_as: impl Into<RemoteAs>) -> PeerConfig {
        PeerConfig {
            name: name.into(),
            kind: PeerKind::Global,
            remote_as: remote_as.into(),
            local_as: None,
            allowed_own_as: 0,
            local_address: None,
            hold_time: Duration::from_secs(90),
            keepalive_time: None,
            dial: Dialling::Active,
            next_hop: NextHopMode::Auto,
            password: None,
            ttl_security: None,
            max_restart_time: None,
            long_lived_restart_time: None,
            max_prefixes: None,
            families: Family::ALL.to_vec(),
            extended_next_hop: ExtendedNextHop::Absent,
            interface: None,
            reflection: Reflection::None,
            import: ImportPolicy::Safe,
            export: ExportPolicy::Originated,
            bfd: None,
            add_path: AddPath::default(),
            add_path_limit: 16,
            role: None,
            role_check: RoleCheck::Lenient,
            filters: Filters::default(),
        }
    }
}

/// Who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialling {
    /// Both sides may; collisions are settled as RFC 4271 §6.8 says.
    #[default]
    Active,
    /// The peer only.
    Passive,
}

/// Whether IPv4 routes may have IPv6 next hops (RFC 8950).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtendedNextHop {
    /// They may not, and an IPv6 session carries no IPv4.
    #[default]
    Absent,
    /// They may where the peer says so too.
    Offered,
}

/// Next hop of announced routes (Calico's `nextHopMode` and `keepOriginalNextHop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NextHopMode {
    /// Own address to external peers; own address for own routes, the learned one for reflected routes, to internal.
    #[default]
    Auto,
    /// Own address always.
    #[serde(rename = "Self")]
    SelfAddress,
    /// The learned next hop, where there is one.
    Keep,
}

/// Whether a peer is a client of this route reflector (RFC 4456 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reflection {
    /// A non-client.
    #[default]
    None,
    /// A client: what it says is told to all internal peers, and it is told all that internal peers say.
    Client,
}

/// What is believed of what a peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportPolicy {
    /// Everything except the default route, martians, and (from an external peer) what is this node's own.
    #[default]
    Safe,
    /// Everything. For routers in tests and benchmarks.
    All,
}

/// What a peer is told (RFC 8212: nothing that the configuration does not imply).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExportPolicy {
    /// What this node originates; and, if it reflects, what RFC 4456 §6 says of internal routes to internal peers.
    #[default]
    Originated,
    /// Every best route: full transit. For routers in tests and benchmarks.
    All,
    /// Nothing.
    Nothing,
}

/// One originated prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origination {
    /// Communities (RFC 1997) to attach.
    pub communities: Vec<u32>,
    /// Large communities (RFC 8092) to attach.
    pub large_communities: Vec<[u32; 3]>,
}

/// RFC 4724.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long peers shall keep our routes: up to 4095 s.
    pub restart_time: Duration,
    /// What the speaker is born into.
    pub start: Start,
    /// Longest wait for End-of-RIB before the first best-path run counts as complete.
    pub deferral: Duration,
}

impl Default for GracefulRestart {
    fn default() -> GracefulRestart {
        GracefulRestart {
            restart_time: Duration::from_secs(120),
            start: Start::Fresh,
            deferral: Duration::from_secs(10),
        }
    }
}

/// How an aggregate is announced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aggregate {
    /// What becomes of the more specific routes inside.
    pub specifics: Specifics,
    /// Communities (RFC 1997) to attach.
    pub communities: Vec<u32>,
    /// Large communities (RFC 8092) to attach.
    pub large_communities: Vec<[u32; 3]>,
}

/// What becomes of the routes inside an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Specifics {
    /// They are told as ever.
    #[default]
    Told,
    /// External peers are told of the aggregate instead. Internal ones need them: there every node may have the aggregate.
    Suppressed,
}

/// Going away without losing a packet (RFC 8326): peers are told that all routes of this node go away, have so long to
/// turn to others, and then the sessions end and stay down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// From the announcement to the end of the sessions.
    pub wait: Duration,
    /// The last word to every peer (Cease/2, RFC 9003); cut to 255 octets.
    pub message: String,
}

/// What a speaker is born into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Nothing was forwarded before.
    #[default]
    Fresh,
    /// A predecessor's routes are still in the kernel: the first OPENs carry the R and F bits.
    Restarted,
}

/// How many equal paths a route may use, and which count as equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multipath {
    /// At most this many next hops; 1 turns multipath off.
    pub limit: usize,
    /// What two AS paths of one length must share to be equal.
    pub as_path: AsPathEquality,
}

/// 16 next hops; AS paths need only be of one length (RFC 7938 §6.3), as two top-of-rack routers are often two ASes.
impl Default for Multipath {
    fn default() -> Multipath {
        Multipath { limit: 16, as_path: AsPathEquality::Relaxed }
    }
}

/// What two AS paths of one length must share to be equal for multipath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsPathEquality {
    /// The neighbouring AS.
    NeighborAs,
    /// The length only.
    #[default]
    Relaxed,
}

/// Timers and limits of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timers {
    /// ConnectRetryTime (RFC 4271 §8): from one dial to the next.
    pub connect_retry: Duration,
    /// First IdleHoldTime after a session ended by an error; doubles up to [`Timers::idle_hold_max`].
    pub idle_hold: Duration,
    /// Longest IdleHoldTime.
    pub idle_hold_max: Duration,
    /// Hold time until the OPEN has come on a connection that we dialled (RFC 4271 §8.2.2 suggests 4 minutes).
    pub open_hold: Duration,
    /// The same on a connection that the peer dialled: who calls, speaks.
    pub accepted_hold: Duration,
    /// Shortest send hold time (RFC 9687): how long a peer may refuse to read.
    pub send_hold: Duration,
    /// Rest after too many prefixes.
    pub max_prefix_restart: Duration,
    /// Shortest time from one answer to a peer's ROUTE-REFRESH to the next: requests in between get one answer.
    pub refresh_rest: Duration,
    /// How long after a peer's BoRR its EoRR may come (RFC 7313 §4.2); then what it has not told again goes.
    pub refresh_stale: Duration,
    /// How many octets may wait unsent for one peer before it is served apart from the others.
    pub outstanding: usize,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            connect_retry: Duration::from_secs(5),
            idle_hold: Duration::from_secs(1),
            idle_hold_max: Duration::from_secs(30),
            open_hold: Duration::from_secs(240),
            accepted_hold: Duration::from_secs(10),
            send_hold: Duration::from_secs(480),
            max_prefix_restart: Duration::from_secs(60),
            refresh_rest: Duration::from_secs(5),
            refresh_stale: Duration::from_secs(360),
            outstanding: 1 << 20,
        }
    }
}

/// A password. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes charge of a password.
    pub fn new(password: impl Into<String>) -> Secret {
        Secret(password.into())
    }
    /// The password itself: for the socket option, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_prints() {
        let mut peer = PeerConfig::new("tor", Asn::CALICO_DEFAULT);
        peer.password = Some(Secret::new("hunter2"));
        assert!(!format!("{peer:?}").contains("hunter2"));
    }
}
