//! A new configuration against the one in force: the least change that makes it true.

use std::net::IpAddr;
use std::sync::Arc;

use model::filter::Direction;
use model::{Family, Prefix, Time};

use super::act::Tables;
use super::peer::Peer;
use super::{Output, PeerChange, Speaker};
use crate::config::{Origination, PeerConfig, PeerKey, SpeakerConfig, Start};
use crate::filter::Guard;
use crate::rib::{Closing, Counts, Flow, Forget, GroupKey, RibPrefix, RouteAttrs, Shared, Source, SourceInfo, Unicast};
use crate::session::{Established, Forwarding, Local, Restarting, Why, offered};
use crate::wire::attr::Origin;
use crate::wire::notification::cease;
use crate::wire::{Attributes, Community, LargeCommunity, NextHop, Nlri, Notification, Transmit, encode};

/// What sessions need of the configuration, with the bits of OPEN (RFC 4724 §3) that go with the start.
pub(super) fn local(config: &SpeakerConfig, start: Start) -> Local {
    let (restarting, forwarding) = match start {
        Start::Fresh => (Restarting::No, Forwarding::Lost),
        Start::Restarted => (Restarting::JustRestarted, Forwarding::Kept),
    };
    Local {
        router_id: config.router_id,
        local_as: config.local_as,
        ipv4: config.local_ipv4,
        ipv6: config.local_ipv6,
        restart_time: config.graceful_restart.restart_time,
        restarting,
        forwarding,
        timers: config.timers.clone(),
    }
}

/// What a changed field of a peer asks for. Of several the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// Nothing, or only with the next session.
    Hot,
    /// Routes are judged and told anew.
    Soft,
    /// The session must begin again.
    Reset(&'static str),
}

/// Every field of [`PeerConfig`] has its place here: leaving one out does not compile.
fn effect(old: &PeerConfig, new: &PeerConfig) -> Effect {
    let PeerConfig {
        name: _,
        kind: _,
        remote_as,
        local_address,
        hold_time: _,
        keepalive_time: _,
        dial: _,
        next_hop,
        password,
        ttl_security,
        max_restart_time: _,
        max_prefixes: _,
        families: _, // counts by what can be offered
        reflection,
        import,
        export,
        bfd: _,
        filters,
    } = new;
    let resets = [
        (*remote_as != old.remote_as, "the peer's AS"),
        (*local_address != old.local_address, "the source address"),
        (*password != old.password, "the password"),
        (*ttl_security != old.ttl_security, "TTL security"),
    ];
    if let Some((_, what)) = resets.into_iter().find(|(changed, _)| *changed) {
        return Effect::Reset(what);
    }
    let told = (next_hop, reflection, import, export) != (&old.next_hop, &old.reflection, &old.import, &old.export);
    let soft = told || *filters != old.filters;
    if soft { Effect::Soft } else { Effect::Hot }
}

impl Speaker {
    pub(super) fn configure(&mut self, now: Time, config: SpeakerConfig) {
        let old = std::mem::replace(&mut self.config, config);
        let new = self.config.clone();
        let identity = if new.router_id != old.router_id {
            Some("the router id of this node")
        } else if new.local_as != old.local_as {
            Some("the AS of this node")
        } else {
            None
        };
        self.remove_peers(now, &new);
        let Local { restarting, forwarding, .. } = self.local;
        let now_local = Local { restarting, forwarding, ..local(&new, Start::Fresh) };
        let old_local = std::mem::replace(&mut self.local, now_local);
        self.shared.adopt(&new);

        let policy = old.originate.keys().ne(new.originate.keys()) || (&old.own, &old.pools) != (&new.own, &new.pools);
        let reflector = old.cluster_id != new.cluster_id;
        if policy {
            let own = || new.originate.keys().chain(&new.own);
            self.ipv4.guard = Guard::new(Family::Ipv4, own(), &new.pools);
            self.ipv6.guard = Guard::new(Family::Ipv6, own(), &new.pools);
        }
        let interfaces = old.interfaces != new.interfaces;
        let mut soft =
            policy || interfaces || reflector || old.local_ipv4 != new.local_ipv4 || old.local_ipv6 != new.local_ipv6;
        for (key, peer) in &new.peers {
            match self.by_key.get(key).copied() {
                None => self.add_peer(now, *key, peer.clone()),
                Some(source) => {
                    let effect = self.change_peer(now, source, peer.clone(), identity, &old_local);
                    soft |= effect >= Effect::Soft;
                }
            }
        }
        self.originate(&old, &new);
        if soft {
            self.regroup(now);
        }
        if policy || interfaces || reflector || old.multipath != new.multipath {
            self.ipv4.touch_all();
            self.ipv6.touch_all();
        }
        if reflector || interfaces {
            // The cluster id, or what a rule for an interface does, is in what was told: it is told again.
            let sources: Vec<Source> = self.by_key.values().copied().collect();
            for source in sources {
                self.ipv4.tell_again(source);
                self.ipv6.tell_again(source);
            }
        }
        self.end_deferral_if_due(now);
    }

    fn remove_peers(&mut self, now: Time, new: &SpeakerConfig) {
        let gone: Vec<(PeerKey, Source)> =
            self.by_key.iter().filter(|(key, _)| !new.peers.contains_key(key)).map(|(k, s)| (*k, *s)).collect();
        let told = Notification::new(cease::PEER_DECONFIGURED);
        for (key, source) in gone {
            let why = Why::Reconfigured("the peer");
            self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, why, None));
            self.ipv4.forget(&mut self.shared, source, Forget::All);
            self.ipv6.forget(&mut self.shared, source, Forget::All);
            self.by_key.remove(&key);
            if let Some(place) = self.peers.get_mut(usize::from(source))
                && let Some(peer) = place.take()
                && let Some(armed) = peer.armed
            {
                self.timers.remove(&(armed, source));
            }
            if let Some(place) = self.shared.sources.get_mut(usize::from(source)) {
                *place = None;
            }
            self.outputs.push_back(Output::Peer(PeerChange { peer: key, state: None, reason: String::new() }));
        }
    }

    fn add_peer(&mut self, now: Time, key: PeerKey, config: PeerConfig) {
        let free = self.peers.iter().skip(1).position(Option::is_none).map(|place| place + 1);
        let place = free.unwrap_or(self.peers.len());
        let Ok(source) = Source::try_from(place) else { return };
        if place == self.peers.len() {
            self.peers.push(None);
        }
        self.shared.sources.resize_with(self.peers.len(), || None);
        if let Some(slot) = self.peers.get_mut(place) {
            *slot = Some(Peer::new(key, config, now));
        }
        self.by_key.insert(key, source);
        self.with_peer(now, source, |fsm, env| fsm.start(env));
    }

    fn change_peer(
        &mut self,
        now: Time,
        source: Source,
        config: PeerConfig,
        identity: Option<&'static str>,
        old_local: &Local,
    ) -> Effect {
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) else { return Effect::Hot };
        let before = offered(old_local, peer.key, &peer.config);
        let effect = match identity {
            Some(what) => Effect::Reset(what),
            None if offered(&self.local, peer.key, &config) != before => Effect::Reset("the set of address families"),
            None => effect(&peer.config, &config),
        };
        let dialling = peer.config.dial != config.dial;
        peer.config = config;
        if let Effect::Reset(what) = effect {
            let told = Notification::new(cease::OTHER_CONFIGURATION_CHANGE);
            self.with_peer(now, source, |fsm, env| {
                fsm.stop(env, &told, Why::Reconfigured(what), None);
                fsm.start(env);
            });
        } else if dialling {
            self.with_peer(now, source, |fsm, env| fsm.dialling_changed(env));
        }
        effect
    }

    fn originate(&mut self, old: &SpeakerConfig, new: &SpeakerConfig) {
        for prefix in old.originate.keys().filter(|prefix| !new.originate.contains_key(prefix)) {
            self.in_tables(prefix.family(), Cease(*prefix));
        }
        for (prefix, how) in &new.originate {
            if old.originate.get(prefix) != Some(how) {
                self.in_tables(prefix.family(), Originate(*prefix, own_attributes(*prefix, how)));
            }
        }
    }

    /// Makes a peer whose session is up known to the tables.
    pub(super) fn enter_tables(&mut self, source: Source) {
        let Some(peer) = self.peer(source) else { return };
        let Some(established) = peer.fsm.established() else { return };
        let info = SourceInfo {
            key: peer.key,
            kind: established.agreed.kind,
            router_id: established.agreed.peer_id.bits(),
            reflection: peer.config.reflection,
            import: peer.config.import,
            filters: peer.config.filters.clone(),
            flow: Flow::Free,
            counts: self.shared.source(source).map_or([Counts::default(); 2], |info| info.counts),
        };
        let keys = self.group_keys(peer, established);
        if let Some(place) = self.shared.sources.get_mut(usize::from(source)) {
            *place = Some(info);
        }
        for (family, key) in keys {
            match family {
                Family::Ipv4 => self.ipv4.join(&mut self.shared, source, &key, Closing::EndOfRib),
                Family::Ipv6 => self.ipv6.join(&mut self.shared, source, &key, Closing::EndOfRib),
            }
        }
    }

    /// The update group of each family that the session carries.
    fn group_keys(&self, peer: &Peer, established: &Established) -> Vec<(Family, GroupKey)> {
        let agreed = &established.agreed;
        let ours = established.link.local.ip().to_canonical();
        let key = |family: Family| {
            let session = (Family::of(ours) == family).then_some(ours);
            let configured = match family {
                Family::Ipv4 => self.local.ipv4.map(IpAddr::V4),
                Family::Ipv6 => self.local.ipv6.map(IpAddr::V6),
            };
            let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
            let own = session.filter(|a| !link_local(a)).or(configured).or(session)?;
            let key = GroupKey {
                kind: agreed.kind,
                reflection: peer.config.reflection,
                export: peer.config.export,
                filters: peer.config.filters.chain(Direction::Export, family).clone(),
                next_hop_mode: peer.config.next_hop,
                own_next_hop: NextHop::from(own),
                transmit: Transmit { as_width: agreed.as_width, ..Transmit::PLAIN },
            };
            Some((family, key))
        };
        agreed.families.iter().filter_map(key).collect()
    }

    /// Puts every peer whose session is up into the groups that it belongs to by now, and judges all paths anew.
    fn regroup(&mut self, now: Time) {
        let sources: Vec<Source> = self.by_key.values().copied().collect();
        for source in sources {
            let Some(peer) = self.peer(source) else { continue };
            let (reflection, import, filters) =
                (peer.config.reflection, peer.config.import, peer.config.filters.clone());
            if let Some(info) = self.shared.source_mut(source) {
                (info.reflection, info.import, info.filters) = (reflection, import, filters);
            }
            let Some(peer) = self.peer(source) else { continue };
            let Some(established) = peer.fsm.established() else { continue };
            let conn = established.link.conn;
            let keys = self.group_keys(peer, established);
            for (family, key) in keys {
                let octets = match family {
                    Family::Ipv4 => moved(&mut self.ipv4, &mut self.shared, source, &key),
                    Family::Ipv6 => moved(&mut self.ipv6, &mut self.shared, source, &key),
                };
                if !octets.is_empty() {
                    self.send(now, conn, octets.into(), 1);
                }
            }
        }
        self.ipv4.recheck(&mut self.shared);
        self.ipv6.recheck(&mut self.shared);
    }
}

struct Cease(Prefix);
impl Tables for Cease {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        if let Ok(prefix) = P::try_from(self.0) {
            tables.cease(shared, prefix);
        }
    }
}

struct Originate(Prefix, Attributes);
impl Tables for Originate {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        if let Ok(prefix) = P::try_from(self.0) {
            let attrs = shared.attrs.intern(RouteAttrs::new(Arc::new(self.1)));
            tables.originate(shared, prefix, attrs);
            shared.attrs.release(attrs);
        }
    }
}

/// Moves a peer to another group; the octets withdraw what it is not told any more.
fn moved<P: RibPrefix>(tables: &mut Unicast<P>, shared: &mut Shared, source: Source, key: &GroupKey) -> Vec<u8> {
    let gone = tables.regroup(shared, source, key);
    let mut octets = Vec::new();
    encode::withdrawals(P::FAMILY, gone.into_iter().map(Nlri::plain), &key.transmit, &mut octets);
    octets
}

/// The attributes of an own route. Its next hop is filled in when it is told.
fn own_attributes(prefix: Prefix, how: &Origination) -> Attributes {
    let unspecified = Prefix::default_route(prefix.family()).address();
    let mut draft = Attributes::new(Origin::Igp, NextHop::from(unspecified)).edit();
    draft.set_communities(how.communities.iter().map(|community| Community(*community)));
    draft.set_large_communities(how.large_communities.iter().map(|&[global, first, second]| LargeCommunity {
        global,
        first,
        second,
    }));
    draft.build()
}
