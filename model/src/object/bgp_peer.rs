//! `projectcalico.org/v3` BGPPeer.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::add_path::{self, AddPath};
use super::bfd::BfdSpec;
use super::max_prefixes::{MaxPrefixes, MaxPrefixesAction, MaxPrefixesSpec};
use super::parse::{Envelope, Invalid, Warnings};
use super::secret::PasswordSource;
use super::whom::{self, SourceAddress, Whom, WhomSpec};
use super::{Bfd, BgpRole, GoDuration, Meta, Node, SecretKeyRef};
use crate::filter::PeerType;
use crate::selector::Selector;
use crate::{Asn, Family, NodeName, Prefix};

/// Whom to peer with, and from which nodes. Calico `api/pkg/apis/projectcalico/v3/bgppeer.go`;
/// what goes beyond it says that it is margay's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpPeer {
    /// `metadata`.
    pub meta: Meta,
    /// `node`: from this node only.
    pub node: Option<NodeName>,
    /// `nodeSelector`: from these nodes. With neither, from all.
    pub node_selector: Option<Selector>,
    /// `peerIP`, `peerSelector`, `listenRange` or `peerInterface`.
    pub whom: Whom,
    /// `asNumber` of the peer; of nodes, where absent, their own.
    pub as_number: Option<Asn>,
    /// `localASNumber`: the AS that this node says it is in (RFC 7705); by default its own.
    #[serde(default)]
    pub local_as_number: Option<Asn>,
    /// `numAllowedLocalASNumbers`: how often our own AS may be in the paths that it announces; 0 by default.
    #[serde(default)]
    pub num_allowed_local_as_numbers: u8,
    /// `peerType`, where the AS number is left open: `eBGP` any but ours, `iBGP` ours. Margay's own.
    pub peer_type: Option<PeerType>,
    /// `reachableBy`: the gateway by which the peer is reached.
    pub reachable_by: Option<IpAddr>,
    /// `extendedNextHop`: offer IPv4 routes with IPv6 next hops (RFC 8950) on an IPv6 session. By default only on the
    /// link-local ones. Margay's own.
    pub extended_next_hop: Option<bool>,
    /// `password`: TCP-MD5 (RFC 2385).
    pub password: Option<SecretKeyRef>,
    /// `sourceAddress`.
    pub source_address: SourceAddress,
    /// `keepOriginalNextHop` and `nextHopMode`, the latter winning.
    pub next_hop_mode: NextHopMode,
    /// `maxRestartTime`; 120 s by default.
    pub max_restart_time: Option<GoDuration>,
    /// `longLivedRestartTime`: routes are kept for so long after the restart time, as the last resort (RFC 9494); the
    /// BGPConfiguration's by default, 0s is not at all. Margay's own.
    #[serde(default)]
    pub long_lived_restart_time: Option<GoDuration>,
    /// `keepaliveTime`; a third of the hold time by default.
    pub keepalive_time: Option<GoDuration>,
    /// `holdTime`; 90 s by default. Margay's own.
    pub hold_time: Option<GoDuration>,
    /// `passive`: wait for the peer to connect. Margay's own.
    pub passive: bool,
    /// `maxPrefixes`, with `maxPrefixesAction`, `maxPrefixesRestartTime` and `maxPrefixesWarning`: how many prefixes the
    /// peer may send. Margay's own.
    pub max_prefixes: Option<MaxPrefixes>,
    /// `bfd`: watch the path to the peer. Margay's own.
    pub bfd: Option<Bfd>,
    /// `addPath`: several paths per prefix (RFC 7911), `Disabled`, `Receive`, `Send` or `Both`; with internal peers
    /// `Both` by default, as Calico's BIRD has it, with external ones `Receive`. Margay's own.
    pub add_path: Option<AddPath>,
    /// `addPathLimit`: how many paths of a prefix it is told, the best ones; 16 by default, at most 128. Margay's own.
    pub add_path_limit: Option<u8>,
    /// `ttlSecurity` in hops (RFC 5082).
    pub ttl_security: Option<u8>,
    /// `role`: what this node is to the peer (RFC 9234). Margay's own.
    #[serde(default)]
    pub role: Option<BgpRole>,
    /// `roleStrict`: a peer that announces no role is refused. Margay's own.
    #[serde(default)]
    pub role_strict: bool,
    /// `reversePeering`.
    pub reverse_peering: ReversePeering,
    /// `filters`: names of BGPFilters, in order.
    #[serde(default)]
    pub filters: Vec<String>,
}

/// `nextHopMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum NextHopMode {
    /// Self to external peers, unchanged to internal ones.
    #[default]
    #[serde(alias = "")]
    Auto,
    /// The session's own address.
    #[serde(rename = "Self")]
    Own,
    /// As received.
    Keep,
}

/// `reversePeering`: whether nodes chosen by `peerSelector` peer back on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ReversePeering {
    /// They do.
    #[default]
    #[serde(alias = "")]
    Auto,
    /// Another BGPPeer says so.
    Manual,
}

impl BgpPeer {
    /// As the nodes have it that it chooses and that peer back: what is said of this side is said of the other.
    pub fn reversed(&self) -> BgpPeer {
        BgpPeer { role: self.role.map(BgpRole::of_the_peer), ..self.clone() }
    }
    /// Whether it is for this node.
    pub fn is_for(&self, node: &Node) -> bool {
        match (&self.node, &self.node_selector) {
            (Some(name), _) => *name == node.name,
            (None, Some(selector)) => selector.chooses(&node.meta.labels),
            (None, None) => true,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BgpPeerSpec {
    /// The one node that has this peering. With neither node nor nodeSelector all nodes have it.
    node: Option<String>,
    /// The nodes that have this peering. Excludes node.
    node_selector: Option<String>,
    /// The router to peer with: an address, IPv4:port or [IPv6]:port; a link-local address as fe80::1%eth0.
    #[serde(rename = "peerIP")]
    peer_ip: Option<String>,
    /// The nodes to peer with, instead of a router; those also peer back, unless reversePeering is Manual.
    peer_selector: Option<String>,
    /// Whoever connects from inside this prefix is a peer (margay's own).
    listen_range: Option<Prefix>,
    /// How many peers of listenRange there may be at a time: 1000 by default (margay's own).
    max_dynamic_peers: Option<u32>,
    /// The router on the link of this interface, by its link-local address (margay's own).
    peer_interface: Option<String>,
    /// Instead of asNumber: eBGP takes any AS but ours, iBGP ours (margay's own).
    #[schemars(extend("enum" = ["eBGP", "iBGP"]))]
    peer_type: Option<String>,
    /// Offer IPv4 routes with IPv6 next hops (RFC 8950). By default on link-local sessions only (margay's own).
    extended_next_hop: Option<bool>,
    /// The peer's AS number, plain or dotted.
    as_number: Option<Asn>,
    /// The password of the sessions (TCP-MD5, RFC 2385).
    password: Option<PasswordSource>,
    /// The sessions' own address: UseNodeIP (the default), None (what the kernel chooses), or an address of the node
    /// (margay's own).
    #[serde(default)]
    source_address: SourceAddress,
    /// Deprecated by Calico: nextHopMode, which wins over it.
    keep_original_next_hop: Option<bool>,
    /// What next hop the peer is told.
    next_hop_mode: Option<NextHopMode>,
    /// How long routes are kept for a peer that restarts (RFC 4724): 120s by default.
    max_restart_time: Option<GoDuration>,
    /// For how long after that they are kept as the last resort (RFC 9494). By default the BGPConfiguration's; 0s is
    /// not at all (margay's own).
    long_lived_restart_time: Option<GoDuration>,
    /// The time between KEEPALIVEs: a third of the hold time by default.
    keepalive_time: Option<GoDuration>,
    /// After how much silence the peer is taken to be gone: 90s by default (margay's own).
    hold_time: Option<GoDuration>,
    /// Wait for the peer to connect (margay's own).
    #[serde(default)]
    passive: bool,
    /// How many prefixes the peer may send (margay's own).
    max_prefixes: Option<u32>,
    /// What comes of more (margay's own).
    max_prefixes_action: Option<MaxPrefixesAction>,
    /// How long a session that has sent too many stays down: a minute by default (margay's own).
    max_prefixes_restart_time: Option<GoDuration>,
    /// From how many percent of maxPrefixes on a warning is given (margay's own).
    max_prefixes_warning: Option<u16>,
    /// Watch the path to the peer with BFD (RFC 5880; margay's own).
    bfd: Option<BfdSpec>,
    /// Several paths per prefix (RFC 7911). By default Both with internal peers, Receive with external ones (margay's
    /// own).
    add_path: Option<AddPath>,
    /// How many paths of a prefix the peer is told at most: 16 by default (margay's own).
    add_path_limit: Option<u16>,
    /// How many hops away the peer is at most (RFC 5082); packets from farther away are not heard.
    ttl_security: Option<u8>,
    /// What this node is to the peer (RFC 9234; margay's own).
    role: Option<BgpRole>,
    /// Refuse a peer that announces no role (margay's own).
    #[serde(default)]
    role_strict: bool,
    /// Whether nodes chosen by peerSelector peer back on their own.
    #[serde(default)]
    reverse_peering: ReversePeering,
    /// The AS that this node says it is in to this peer (RFC 7705): its own by default.
    #[serde(rename = "localASNumber")]
    local_as_number: Option<Asn>,
    /// How often our own AS may be in paths that the peer announces: 0 by default.
    #[serde(rename = "numAllowedLocalASNumbers")]
    num_allowed_local_as_numbers: Option<i32>,
    /// The gateway by which the peer is reached.
    reachable_by: Option<String>,
    /// Names of BGPFilters, asked in this order.
    filters: Option<Vec<String>>,
    /// Calico's peering with pods, which margay does not have yet: such a peer is not used, and an error says so.
    local_workload_selector: Option<String>,
}

impl Envelope<BgpPeerSpec> {
    pub(super) fn check(self, _warnings: &mut Warnings) -> Result<BgpPeer, Invalid> {
        let spec = self.spec;
        // To ignore one of these would change what is sent or believed: better no change than a wrong one.
        let unsupported =
            [("localWorkloadSelector", spec.local_workload_selector.as_ref().is_some_and(|s| !s.is_empty()))];
        if let Some((field, _)) = unsupported.iter().find(|(_, given)| *given) {
            return Err(Invalid::field(
                format!("spec.{field}"),
                "is a field of Calico's that margay does not support yet",
            ));
        }
        let node = non_empty(spec.node).map(|n| n.parse().map_err(|_| Invalid::field("spec.node", "is empty")));
        let node = node.transpose()?;
        let node_selector = selector("spec.nodeSelector", non_empty(spec.node_selector))?;
        let peer_selector = selector("spec.peerSelector", non_empty(spec.peer_selector))?;
        if node.is_some() && node_selector.is_some() {
            return Err(Invalid::field("spec.nodeSelector", "excludes spec.node"));
        }
        let whom = WhomSpec {
            peer_ip: non_empty(spec.peer_ip),
            peer_selector,
            listen_range: spec.listen_range,
            max_dynamic_peers: spec.max_dynamic_peers,
            peer_interface: non_empty(spec.peer_interface),
        };
        let whom = whom.check()?;
        let peer_type = whom::peer_type(spec.peer_type.as_deref())?;
        match (&whom, spec.as_number.is_some(), peer_type.is_some()) {
            (Whom::Nodes(_), true, _) => {
                return Err(Invalid::field("spec.asNumber", "excludes spec.peerSelector: nodes have their own"));
            }
            (Whom::Nodes(_), _, true) => {
                return Err(Invalid::field("spec.peerType", "excludes spec.peerSelector: nodes have their own AS"));
            }
            (_, true, true) => return Err(Invalid::field("spec.peerType", "excludes spec.asNumber")),
            (Whom::Address(_) | Whom::Range { .. } | Whom::Interface(_), false, false) => {
                return Err(Invalid::field("spec.asNumber", "is missing (or spec.peerType)"));
            }
            _ => {}
        }
        if let (SourceAddress::Address(source), Some(family)) = (spec.source_address, whom.family())
            && Family::of(source) != family
        {
            return Err(Invalid::field("spec.sourceAddress", format!("is not {family}, as the peer is")));
        }
        let reachable_by = address("spec.reachableBy", non_empty(spec.reachable_by))?;
        if let Some(gateway) = reachable_by {
            let same = |address: IpAddr| address.is_ipv4() == gateway.is_ipv4();
            match &whom {
                Whom::Nodes(_) => {}
                Whom::Address(peer) if peer.interface.is_none() && same(peer.address) => {}
                Whom::Address(_) => {
                    return Err(Invalid::field(
                        "spec.reachableBy",
                        "must be of the family of spec.peerIP, not on a link",
                    ));
                }
                _ => return Err(Invalid::field("spec.reachableBy", "is for a spec.peerIP or spec.peerSelector only")),
            }
        }
        if spec.max_restart_time.is_some_and(|t| t.0.as_secs() > 4095) {
            return Err(Invalid::field("spec.maxRestartTime", "must be at most 4095s (RFC 4724 §3)"));
        }
        let long_lived_restart_time = long_lived(spec.long_lived_restart_time)?;
        let hold = spec.hold_time.map(|t| t.0.as_secs());
        if hold.is_some_and(|s| (s != 0 && s < 3) || s > 65535) {
            return Err(Invalid::field("spec.holdTime", "must be 0s, or 3s to 65535s (RFC 4271 §4.2)"));
        }
        if let Some(keepalive) = spec.keepalive_time
            && (keepalive.0.as_secs() == 0 || keepalive.0.as_secs() > hold.unwrap_or(90).max(3))
        {
            return Err(Invalid::field("spec.keepaliveTime", "must be at least 1s and at most the hold time"));
        }
        if spec.ttl_security == Some(0) {
            return Err(Invalid::field("spec.ttlSecurity", "must be 1 to 255 hops"));
        }
        if spec.role_strict && spec.role.is_none() {
            return Err(Invalid::field("spec.roleStrict", "needs spec.role"));
        }
        let allowed = u8::try_from(spec.num_allowed_local_as_numbers.unwrap_or(0))
            .map_err(|_| Invalid::field("spec.numAllowedLocalASNumbers", "must be 0 to 255"))?;
        let kept = if spec.keep_original_next_hop == Some(true) { NextHopMode::Keep } else { NextHopMode::Auto };
        let max_prefixes = MaxPrefixesSpec {
            limit: spec.max_prefixes,
            action: spec.max_prefixes_action,
            restart_time: spec.max_prefixes_restart_time,
            warning: spec.max_prefixes_warning,
        };
        let max_prefixes = max_prefixes.check()?;
        Ok(BgpPeer {
            meta: self.metadata,
            node,
            node_selector,
            whom,
            as_number: spec.as_number,
            local_as_number: spec.local_as_number,
            num_allowed_local_as_numbers: allowed,
            peer_type,
            reachable_by,
            extended_next_hop: spec.extended_next_hop,
            password: spec.password.map(|p| p.secret_key_ref),
            source_address: spec.source_address,
            next_hop_mode: spec.next_hop_mode.unwrap_or(kept),
            max_restart_time: spec.max_restart_time,
            long_lived_restart_time,
            keepalive_time: spec.keepalive_time,
            hold_time: spec.hold_time,
            passive: spec.passive,
            max_prefixes,
            bfd: spec.bfd.map(BfdSpec::check).transpose()?,
            add_path: spec.add_path,
            add_path_limit: add_path::check_limit(spec.add_path_limit)?,
            ttl_security: spec.ttl_security,
            role: spec.role,
            role_strict: spec.role_strict,
            reverse_peering: spec.reverse_peering,
            filters: spec.filters.unwrap_or_default(),
        })
    }
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

fn address(field: &str, text: Option<String>) -> Result<Option<IpAddr>, Invalid> {
    text.map(|t| t.parse().map_err(|_| Invalid::field(field, format!("{t:?} is not an address")))).transpose()
}

fn selector(field: &str, text: Option<String>) -> Result<Option<Selector>, Invalid> {
    text.map(|t| t.parse().map_err(|e: crate::selector::SelectorError| Invalid::field(field, e.to_string())))
        .transpose()
}

/// `longLivedRestartTime`, which OPEN has 24 bits for.
pub(super) fn long_lived(time: Option<GoDuration>) -> Result<Option<GoDuration>, Invalid> {
    if time.is_some_and(|time| time.0.as_secs() > 0xff_ffff) {
        return Err(Invalid::field("spec.longLivedRestartTime", "must be at most 16777215s (RFC 9494 §3.1)"));
    }
    Ok(time)
}
