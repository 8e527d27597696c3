//! Whom to peer with and what to announce: from objects to the speaker's configuration.
//!
//! Peers come from three places, the more particular winning where two name the same address and port: BGPPeers for some
//! nodes, BGPPeers for all, the mesh. A BGPPeer with a `peerSelector` works both ways unless it says otherwise.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bgp::bfd;
use bgp::config::{
    AddPath, BGP_PORT, Dialling, Excess, ExtendedNextHop, GracefulRestart, Interface, ListenRange, MaxPrefixes,
    NextHopMode, Origination, PeerConfig, PeerKey, Reflection, RemoteAs, Role, RoleCheck, Secret, SpeakerConfig, Start,
};
use model::api::show::PeerKind;
use model::filter::Filters;
use model::object::{
    self, BgpConfiguration, BgpFilter, BgpPeer, BgpRole, Community, MaxPrefixesAction, Node, ReversePeering,
    SecretKeyRef, Whom,
};
use model::{Asn, Family, Prefix, RouterId};

use crate::world::{Objects, World};

/// What the speaker is to be and do, and what stood in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct BgpPlan {
    /// None while the objects do not say who this node is.
    pub config: Option<SpeakerConfig>,
    /// The port to listen on.
    pub listen_port: u16,
    /// Where to listen: everywhere if empty.
    pub listen_on: Vec<IpAddr>,
    /// Interfaces on whose links routers are to be found, and told that this node is one (RFC 4861).
    pub solicit: BTreeSet<NonZeroU32>,
    /// What is wanted and can't be, one sentence each.
    pub problems: Vec<String>,
}

/// Plans the speaker. `start` says what it was born into (RFC 4724).
pub fn bgp(world: &World, start: Start) -> BgpPlan {
    let objects = &world.objects;
    let settings = Settings::of(world);
    let mut plan = BgpPlan {
        config: None,
        listen_port: settings.listen_port(objects, world.node.as_str()),
        listen_on: vec![],
        solicit: BTreeSet::new(),
        problems: vec![],
    };
    let Some((node, problems)) = super::own::node(world) else {
        plan.problems.push(format!("there is no Node {}: its addresses and pod CIDRs are not known", world.node));
        return plan;
    };
    plan.problems = problems;
    let node = &node;
    let Some(router_id) = router_id(node) else {
        plan.problems.push(format!("Node {node} has no address: BGP needs one", node = node.name));
        return plan;
    };
    if settings.bind_mode() == object::BindMode::NodeIP {
        plan.listen_on = Family::ALL.iter().filter_map(|f| node.address(*f)).map(|a| a.address).collect();
    }
    let mut config = SpeakerConfig::new(router_id, settings.as_number(node));
    config.cluster_id = node.cluster_id;
    config.local_ipv4 = node.ipv4();
    config.local_ipv6 = node.ipv6();
    config.graceful_restart = GracefulRestart { start, ..GracefulRestart::default() };
    if let Some(time) = settings.default.and_then(|c| c.node_mesh_max_restart_time) {
        config.graceful_restart.restart_time = time.0;
    }
    config.drain = super::drain::drain(world, node).map(|(drain, _)| drain);
    config.monitoring = super::bmp::monitoring(settings.own, settings.default, world.node.as_str());
    config.aggregates = super::aggregates::aggregates(world);
    config.own = node.pod_cidrs.clone();
    // A reflector passes on what its clients say of services, as it does of pods.
    let services = super::services::configured(world).into_iter().flat_map(object::ServiceBlocks::all);
    config.pools = objects.pools().map(|p| &p.cidr).chain(services).copied().collect();
    config.originate = originate(world, &settings);
    let mut peers = Peers {
        world,
        objects,
        settings: &settings,
        node,
        local_as: config.local_as,
        found: BTreeMap::new(),
        ranges: BTreeMap::new(),
        solicit: BTreeSet::new(),
        problems: vec![],
    };
    peers.add_objects();
    peers.add_mesh();
    config.peers = peers.found;
    if config.peers.keys().any(|key| key.address.is_ipv6()) {
        config.link_locals = world.kernel.link_locals();
    }
    config.ranges = peers.ranges;
    plan.solicit = peers.solicit;
    let ranged = config.ranges.values().map(|range| &**range.peer());
    if config.peers.values().chain(ranged).any(|peer| peer.filters.ask_for_interfaces()) {
        let subnets = world.kernel.subnets().into_iter();
        config.interfaces = subnets.map(|(subnet, name)| Interface { subnet, name: name.into() }).collect();
    }
    plan.problems.append(&mut peers.problems);
    plan.config = Some(config);
    plan
}

/// The BGPConfigurations that concern one node.
struct Settings<'a> {
    default: Option<&'a BgpConfiguration>,
    own: Option<&'a BgpConfiguration>,
}

impl<'a> Settings<'a> {
    fn of(world: &'a World) -> Settings<'a> {
        let own = world.objects.bgp_configuration(&format!("node.{}", world.node));
        Settings { default: world.objects.bgp_configuration("default"), own }
    }
    /// The node's own word first, then the configuration's for it, then everybody's.
    fn as_number(&self, node: &Node) -> Asn {
        let configured = || self.default.and_then(|c| c.as_number);
        node.asn.or_else(configured).unwrap_or(Asn::CALICO_DEFAULT)
    }
    fn listen_port(&self, objects: &Objects, node: &str) -> u16 {
        let own = objects.bgp_configuration(&format!("node.{node}")).and_then(|c| c.listen_port);
        own.or_else(|| self.default.and_then(|c| c.listen_port)).unwrap_or(BGP_PORT)
    }
    fn bind_mode(&self) -> object::BindMode {
        self.own.or(self.default).map(|c| c.bind_mode).unwrap_or_default()
    }
    /// How long routes of who is away are the last resort (RFC 9494), where its BGPPeer does not say.
    fn long_lived_restart_time(&self) -> Option<Duration> {
        let mut configurations = self.own.into_iter().chain(self.default);
        configurations.find_map(|c| c.long_lived_restart_time).map(|time| time.0)
    }
    /// The node's own of a family, or else everybody's: as Calico has it, the one list replaces the other.
    fn prefix_advertisements(&self, family: Family) -> impl Iterator<Item = &'a object::PrefixAdvertisement> {
        let of_family = move |c: &'a BgpConfiguration| {
            c.prefix_advertisements.iter().filter(move |advertisement| advertisement.cidr.family() == family)
        };
        let own = self.own.filter(|c| of_family(c).next().is_some());
        own.or(self.default).into_iter().flat_map(of_family)
    }
    fn mesh_enabled(&self) -> bool {
        self.default.and_then(|c| c.node_to_node_mesh_enabled).unwrap_or(true)
    }
}

/// The IPv4 address; else, on an IPv6-only node, a hash of its name (as Calico's `hash` router id).
fn router_id(node: &Node) -> Option<RouterId> {
    match node.ipv4() {
        Some(address) => RouterId::from_address(address),
        None => {
            node.ipv6()?;
            // FNV-1a: any hash will do that spreads names and never changes.
            let hash =
                node.name.as_str().bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
            RouterId::new(hash.max(1))
        }
    }
}

/// What is the node's own and what its pods hold beyond it, except in a pool that says otherwise, and service addresses.
fn originate(world: &World, settings: &Settings) -> BTreeMap<Prefix, Origination> {
    let withheld =
        |prefix: &Prefix| world.objects.pools().any(|pool| pool.disable_bgp_export && pool.cidr.covers(prefix));
    let own = world.own_prefixes().into_iter().chain(world.lone_addresses());
    let all = own.filter(|prefix| !withheld(prefix)).chain(super::services::announced(world));
    all.map(|prefix| (prefix, origination(prefix, settings))).collect()
}

/// The communities that go with a prefix.
fn origination(prefix: Prefix, settings: &Settings) -> Origination {
    let advertisements = settings.prefix_advertisements(prefix.family());
    let mut origination = Origination::default();
    for community in advertisements.filter(|a| a.cidr.covers(&prefix)).flat_map(|a| &a.communities) {
        match community {
            Community::Standard(high, low) => {
                origination.communities.push((u32::from(*high) << 16) | u32::from(*low));
            }
            Community::Large(a, b, c) => origination.large_communities.push([*a, *b, *c]),
        }
    }
    origination.communities.sort_unstable();
    origination.communities.dedup();
    origination.large_communities.sort_unstable();
    origination.large_communities.dedup();
    origination
}

/// Peers as they are found, the more particular first.
pub(super) struct Peers<'a> {
    pub(super) world: &'a World,
    objects: &'a Objects,
    settings: &'a Settings<'a>,
    pub(super) node: &'a Node,
    pub(super) local_as: Asn,
    found: BTreeMap<PeerKey, PeerConfig>,
    pub(super) ranges: BTreeMap<Prefix, ListenRange>,
    pub(super) solicit: BTreeSet<NonZeroU32>,
    pub(super) problems: Vec<String>,
}

impl Peers<'_> {
    fn add_objects(&mut self) {
        let objects = self.objects;
        let particular = |peer: &&BgpPeer| peer.node.is_some() || peer.node_selector.is_some();
        let (for_some, for_all): (Vec<&BgpPeer>, Vec<&BgpPeer>) = objects.bgp_peers().partition(particular);
        for (kind, peers) in [(PeerKind::Node, for_some), (PeerKind::Global, for_all)] {
            for peer in peers {
                self.add_object(peer, kind);
            }
        }
    }

    fn add_object(&mut self, peer: &BgpPeer, kind: PeerKind) {
        if peer.is_for(self.node) {
            self.add_whom(peer, kind);
            if let Whom::Nodes(selector) = &peer.whom {
                self.nodes(peer, kind, |other| selector.chooses(&other.meta.labels));
            }
        }
        // The other direction: nodes that peer with this one by selector expect it to peer back.
        let chosen = matches!(&peer.whom, Whom::Nodes(selector) if selector.chooses(&self.node.meta.labels));
        if chosen && peer.reverse_peering == ReversePeering::Auto {
            self.nodes(&peer.reversed(), kind, |other| peer.is_for(other));
        }
    }

    fn nodes(&mut self, peer: &BgpPeer, kind: PeerKind, chosen: impl Fn(&Node) -> bool) {
        for other in self.objects.nodes().filter(|other| other.name != self.node.name && chosen(other)) {
            for family in Family::ALL {
                let Some(key) = self.node_key(other, family) else { continue };
                let asn = self.settings.as_number(other);
                let mut config = self.by_object(peer, kind, key.address, asn.into());
                config.families = vec![family];
                config.reflection = self.reflection(&config, Some(other));
                self.add(key, config, Some(peer));
            }
        }
    }

    /// Every other node, unless one of the two reflects: reflectors are peered with by BGPPeers.
    fn add_mesh(&mut self) {
        if !self.settings.mesh_enabled() || self.node.cluster_id.is_some() {
            return;
        }
        let default = self.settings.default;
        for other in self.objects.nodes().filter(|n| n.name != self.node.name && n.cluster_id.is_none()) {
            for family in Family::ALL {
                let Some(key) = self.node_key(other, family) else { continue };
                let mut config = PeerConfig::new(format!("mesh {}", other.name), self.settings.as_number(other));
                config.kind = PeerKind::Mesh;
                config.add_path = self.add_path(&config);
                config.local_address = self.node.address(family).map(|a| a.address);
                config.families = vec![family];
                config.long_lived_restart_time = self.settings.long_lived_restart_time();
                config.max_restart_time = default.and_then(|c| c.node_mesh_max_restart_time).map(|t| t.0);
                if let Some(reference) = default.and_then(|c| c.node_mesh_password.as_ref()) {
                    match self.password(reference) {
                        Ok(secret) => config.password = Some(secret),
                        Err(problem) => {
                            self.problems
                                .push(format!("BGPConfiguration/default: spec.nodeMeshPassword: {problem}: no mesh"));
                            return;
                        }
                    }
                }
                self.add(key, config, None);
            }
        }
    }

    /// Where another node listens, if both have an address of the family.
    fn node_key(&self, other: &Node, family: Family) -> Option<PeerKey> {
        self.node.address(family)?;
        let address = other.address(family)?.address;
        Some(PeerKey::new(address).on_port(self.settings.listen_port(self.objects, other.name.as_str())))
    }

    pub(super) fn by_object(&self, peer: &BgpPeer, kind: PeerKind, address: IpAddr, remote: RemoteAs) -> PeerConfig {
        let family = Family::of(address);
        let mut config = PeerConfig::new(peer.meta.name.clone(), remote);
        config.kind = kind;
        config.local_address = self.source(peer, address);
        if let Some(hold) = peer.hold_time {
            config.hold_time = whole_seconds(hold.0);
        }
        config.keepalive_time = peer.keepalive_time.map(|t| whole_seconds(t.0));
        config.dial = if peer.passive { Dialling::Passive } else { Dialling::Active };
        config.next_hop = match peer.next_hop_mode {
            object::NextHopMode::Auto => NextHopMode::Auto,
            object::NextHopMode::Own => NextHopMode::SelfAddress,
            object::NextHopMode::Keep => NextHopMode::Keep,
        };
        config.local_as = peer.local_as_number;
        config.allowed_own_as = peer.num_allowed_local_as_numbers;
        config.ttl_security = peer.ttl_security;
        config.max_restart_time = peer.max_restart_time.map(|t| t.0);
        let long_lived = peer.long_lived_restart_time.map(|time| time.0);
        config.long_lived_restart_time = long_lived.or(self.settings.long_lived_restart_time());
        config.max_prefixes = peer.max_prefixes.map(max_prefixes);
        config.add_path = peer.add_path.unwrap_or_else(|| self.add_path(&config));
        config.add_path_limit = peer.add_path_limit.unwrap_or(config.add_path_limit);
        config.role = peer.role.map(role);
        config.role_check = if peer.role_strict { RoleCheck::Strict } else { RoleCheck::Lenient };
        config.filters = Filters::new(self.filters(peer));
        config.bfd = peer.bfd.map(|bfd| bfd::Config {
            min_tx: bfd.min_tx_interval.0,
            min_rx: bfd.min_rx_interval.0,
            multiplier: bfd.multiplier,
            distance: if bfd.multihop { bfd::Distance::Multihop } else { bfd::Distance::SingleHop },
        });
        // The other family too, where we have a next hop for it: the peer decides whether it wants it.
        config.families = Family::ALL.into_iter().filter(|f| *f == family || self.node.address(*f).is_some()).collect();
        let on_link = self.is_on_link(address);
        if peer.extended_next_hop.unwrap_or(on_link) {
            config.extended_next_hop = ExtendedNextHop::Offered;
        }
        if on_link {
            // Nobody has to have an address of a family for routes of it (RFC 8950).
            config.families = Family::ALL.to_vec();
        }
        let peer_node = self.objects.nodes().find(|n| n.address(family).is_some_and(|a| a.address == address));
        config.reflection = self.reflection(&config, peer_node);
        config
    }

    /// Where an object says nothing: behind a reflector of nodes several paths are what makes multipath (Calico's BIRD
    /// has `add paths on`). An external peer has nothing to hear but what is our own, in one path.
    fn add_path(&self, peer: &PeerConfig) -> AddPath {
        let internal = peer.remote_as == peer.local_as.unwrap_or(self.local_as).into();
        if internal { AddPath::Both } else { AddPath::Receive }
    }

    /// A reflector reflects to internal peers that are not in its own cluster's reflecting set.
    fn reflection(&self, peer: &PeerConfig, node: Option<&Node>) -> Reflection {
        let Some(cluster) = self.node.cluster_id else { return Reflection::None };
        let same_cluster = node.is_some_and(|n| n.cluster_id == Some(cluster));
        let internal = peer.remote_as == peer.local_as.unwrap_or(self.local_as).into();
        if internal && !same_cluster { Reflection::Client } else { Reflection::None }
    }

    /// The filters that a BGPPeer names, in its order; without an object where there is none.
    fn filters<'a>(&'a self, peer: &'a BgpPeer) -> impl Iterator<Item = (&'a str, Option<&'a BgpFilter>)> + Clone {
        peer.filters.iter().map(|name| (name.as_str(), self.objects.bgp_filter(name)))
    }

    fn password(&self, reference: &SecretKeyRef) -> Result<Secret, String> {
        let of_agent = self.world.api_server.as_ref().map(|server| server.namespace.as_str());
        let place = of_agent.filter(|namespace| !namespace.is_empty());
        let place = place.map(|namespace| format!(" (in {namespace}, the agent's namespace)")).unwrap_or_default();
        let password = self.objects.password(reference).map_err(|why| why + &place)?;
        let text =
            std::str::from_utf8(password.expose()).map_err(|_| format!("Secret {} is not text", reference.name))?;
        match text.len() {
            0 => Err(format!("Secret {} is empty", reference.name)),
            // TCP_MD5SIG_MAXKEYLEN, linux/tcp.h.
            1..=80 => Ok(Secret::new(text)),
            _ => Err(format!("Secret {} is longer than 80 octets, the most TCP-MD5 takes", reference.name)),
        }
    }

    /// A peer with its password, and with a word on filters that are not there. Without its password a peer is left
    /// out: a session that was to be authenticated must not come up without.
    pub(super) fn complete(
        &mut self,
        mut config: PeerConfig,
        object: Option<&BgpPeer>,
        whom: &str,
    ) -> Option<PeerConfig> {
        if let Some(reference) = object.and_then(|o| o.password.as_ref()) {
            match self.password(reference) {
                Ok(secret) => config.password = Some(secret),
                Err(problem) => {
                    self.problems
                        .push(format!("BGPPeer/{}: spec.password: {problem}: no session with {whom}", config.name));
                    return None;
                }
            }
        }
        if config.role.is_some() && config.remote_as.kind(self.local_as) == bgp::wire::PeerKind::Internal {
            self.problems.push(format!(
                "BGPPeer/{}: spec.role: is for peers in another AS (RFC 9234 §4.1): not used with {whom}",
                config.name
            ));
        }
        let missing = object.into_iter().flat_map(|peer| self.filters(peer)).filter(|(_, filter)| filter.is_none());
        let missing: Vec<String> = missing.map(|(name, _)| format!("BGPFilter/{name}")).collect();
        if !missing.is_empty() {
            self.problems.push(format!(
                "BGPPeer/{}: spec.filters: {} does not exist: nothing is accepted from {whom} or told to it until it does",
                config.name,
                missing.join(", ")
            ));
        }
        Some(config)
    }

    /// Adds a peer unless a more particular one has its address and port.
    pub(super) fn add(&mut self, key: PeerKey, config: PeerConfig, object: Option<&BgpPeer>) {
        let own = Family::ALL.iter().filter_map(|f| self.node.address(*f)).any(|a| a.address == key.address);
        if own {
            return;
        }
        // Of a peer that is not used, only that is to be said.
        let known = self.problems.len();
        let Some(config) = self.complete(config, object, &key.to_string()) else { return };
        if self.found.contains_key(&key) {
            self.problems.truncate(known);
        }
        match self.found.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(config);
            }
            Entry::Occupied(first) => {
                // The mesh giving way to a BGPPeer is as intended, and so is a reverse peering that says the same.
                let same = first.get().name == config.name;
                if config.kind != PeerKind::Mesh && !same {
                    let (name, first) = (&config.name, &first.get().name);
                    self.problems
                        .push(format!("BGPPeer/{name}: {key} is peered with by BGPPeer/{first} already: not used"));
                }
            }
        }
    }
}

fn max_prefixes(bound: object::MaxPrefixes) -> MaxPrefixes {
    let action = match bound.action {
        MaxPrefixesAction::Warn => Excess::Warn,
        MaxPrefixesAction::Drop => Excess::Drop,
        MaxPrefixesAction::Restart => Excess::Restart(bound.restart_time.map(|time| time.0)),
    };
    MaxPrefixes { limit: bound.limit, warn_at: bound.warning, action }
}

fn role(role: BgpRole) -> Role {
    match role {
        BgpRole::Provider => Role::Provider,
        BgpRole::Customer => Role::Customer,
        BgpRole::Peer => Role::Peer,
        BgpRole::RouteServer => Role::RouteServer,
        BgpRole::RouteServerClient => Role::RouteServerClient,
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
