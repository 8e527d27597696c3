//! A new configuration against the one in force: the least change that makes it true.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::filter::Direction;
use model::{Family, Prefix, Time};

use super::act::Tables;
use super::dynamic::range_of;
use super::peer::Peer;
use super::rehearse::{Mode, by_tables};
use super::{Output, PeerChange, Speaker};
use crate::change::{Change, Changes, Class, changes, guarded as guarded_prefixes, peer_changes};
use crate::config::{Aggregate, Origination, PeerConfig, PeerKey, SpeakerConfig, Start};
use crate::filter::Guard;
use crate::rib::{
    Closing, Counts, Flow, Forget, Formed, GroupKey, LongLivedSupport, RibPrefix, RouteAttrs, Shared, Source,
    SourceInfo, Unicast,
};
use crate::session::{Established, Forwarding, Local, Reset, Restarting, Why, local_as};
use crate::wire::attr::Origin;
use crate::wire::notification::cease;
use crate::wire::{Attributes, Community, FamilySet, LargeCommunity, NextHop, Notification, PeerKind, Transmit};

/// What sessions need of the configuration, with the bits of OPEN (RFC 4724 §3) that go with the start.
pub(crate) fn local(config: &SpeakerConfig, start: Start) -> Local {
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

impl Speaker {
    pub(super) fn configure(&mut self, now: Time, config: SpeakerConfig) {
        let old = std::mem::replace(&mut self.config, config);
        let new = self.config.clone();
        let changes = changes(&old, &new);
        self.remove_peers(now, &changes, &new);
        let Local { restarting, forwarding, .. } = self.local;
        self.local = Local { restarting, forwarding, ..local(&new, Start::Fresh) };
        self.shared.adopt(&new);

        // What this node originates is told and withdrawn prefix by prefix.
        let (own, whole): (Vec<&Change>, Vec<&Change>) =
            changes.of_speaker().partition(|change| ["originate", "own"].contains(&change.field));
        let mut guarded = own.iter().any(|change| change.class.is_in());
        if guarded || whole.iter().any(|change| change.field == "pools") {
            let prefixes = guarded_prefixes(&new);
            let guard = |family| Guard::new(family, &prefixes, &new.pools);
            let (ipv4, ipv6) = (guard(Family::Ipv4), guard(Family::Ipv6));
            // An address inside a block that is announced comes and goes without a look at what others have said.
            guarded &= (&ipv4, &ipv6) != (&self.ipv4.guard, &self.ipv6.guard);
            (self.ipv4.guard, self.ipv6.guard) = (ipv4, ipv6);
        }
        for key in &changes.added {
            if let Some(peer) = new.peers.get(key)
                && !self.by_key.contains_key(key)
            {
                self.add_peer(now, *key, Arc::new(peer.clone()), None);
            }
        }
        let whole: Class = whole.iter().map(|change| change.class).filter(|class| *class != Class::Reset).collect();
        let mut peers = Vec::new();
        for (key, peer) in &new.peers {
            if let Some(source) = self.by_key.get(key).copied()
                && !changes.added.contains(key)
            {
                let own: Vec<Change> = changes.of_peer(*key).cloned().collect();
                self.change_peer(now, source, (Arc::new(peer.clone()), None), &own);
                peers.push((source, own.iter().map(|change| change.class).fold(whole, Class::and)));
            }
        }
        for (source, config, range) in self.ranged_peers(&new) {
            let Some(peer) = self.peer(source) else { continue };
            let mut own = peer_changes((&old, &peer.config), (&new, &config), peer.key);
            own.extend(changes.of_speaker().filter(|change| change.class == Class::Reset).cloned());
            self.change_peer(now, source, (config, range), &own);
            peers.push((source, own.iter().map(|change| change.class).fold(whole, Class::and)));
        }
        if aggregates(&old).ne(aggregates(&new)) {
            self.aggregate(&new);
        }
        self.originate(&old, &new);
        self.monitor_by(&new.monitoring);
        self.follow_drain(now);
        self.judge_again(&peers, guarded);
        if whole != Class::Hot {
            self.ipv4.touch_all();
            self.ipv6.touch_all();
        }
        self.tell_again(&changes);
        self.end_deferral_if_due(now);
    }

    /// Removes peers that are configured no longer, and those from ranges that are none any more.
    fn remove_peers(&mut self, now: Time, changes: &Changes, new: &SpeakerConfig) {
        let gone = |key: &PeerKey, source: Source| {
            let dynamic = self.peer(source).is_some_and(|peer| peer.range.is_some());
            let outside = dynamic && !new.peers.contains_key(key) && range_of(new, key).is_none();
            outside || changes.removed.contains(key)
        };
        let gone: Vec<Source> =
            self.by_key.iter().filter(|(key, source)| gone(key, **source)).map(|(_, source)| *source).collect();
        for source in gone {
            self.deconfigure(now, source);
        }
    }

    /// Ends what there is with a peer that is none any more.
    pub(super) fn deconfigure(&mut self, now: Time, source: Source) {
        let told = Notification::new(cease::PEER_DECONFIGURED);
        let why = Why::Reconfigured("the peer");
        self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, Reset::Hard, why, None));
        self.forget_peer(source, String::new());
    }

    /// Forgets a peer without connections, and what it said.
    pub(super) fn forget_peer(&mut self, source: Source, reason: String) {
        self.ipv4.forget(&mut self.shared, source, Forget::All);
        self.ipv6.forget(&mut self.shared, source, Forget::All);
        if let Some(place) = self.shared.sources.get_mut(usize::from(source)) {
            *place = None;
        }
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::take) else { return };
        self.by_key.remove(&peer.key);
        if let Some(armed) = peer.armed {
            self.timers.remove(&(armed, source));
        }
        self.count_born(peer.range, None);
        self.outputs.push_back(Output::Peer(PeerChange { peer: peer.key, state: None, reason }));
    }

    pub(super) fn add_peer(
        &mut self,
        now: Time,
        key: PeerKey,
        config: Arc<PeerConfig>,
        range: Option<Prefix>,
    ) -> Option<Source> {
        let free = self.peers.iter().skip(1).position(Option::is_none).map(|place| place + 1);
        let place = free.unwrap_or(self.peers.len());
        let source = Source::try_from(place).ok()?;
        if place == self.peers.len() {
            self.peers.push(None);
        }
        self.shared.sources.resize_with(self.peers.len(), || None);
        if let Some(slot) = self.peers.get_mut(place) {
            *slot = Some(Peer::new(key, config, range, now));
        }
        self.by_key.insert(key, source);
        self.count_born(None, range);
        self.start_peer(now, source);
        Some(source)
    }

    /// Takes over the configuration of a peer, with the range it comes from, and begins anew where it must.
    fn change_peer(
        &mut self,
        now: Time,
        source: Source,
        (config, range): (Arc<PeerConfig>, Option<Prefix>),
        changes: &[Change],
    ) {
        let Some(peer) = self.peer_mut(source) else { return };
        let before = std::mem::replace(&mut peer.config, config);
        let left = std::mem::replace(&mut peer.range, range);
        self.count_born(left, range);
        let resets = || changes.iter().filter(|change| change.class == Class::Reset);
        let other = resets().find(|change| makes_another_peer(change));
        if let Mode::Rehearsal { ranged } = &mut self.mode {
            ranged.extend(changes.iter().filter(|change| range.is_some() && change.peer.is_some()).cloned());
            if resets().next().is_some() {
                self.suppose_back(source, changes, &before);
            }
        } else if let Some(change) = other.or_else(|| resets().next()) {
            let (told, why) = (Notification::new(cease::OTHER_CONFIGURATION_CHANGE), Why::Reconfigured(change.reason));
            // The routes of a session that comes back with another key or capability are as good as before (RFC 8538 §5.1).
            let reset = if other.is_some() { Reset::Hard } else { Reset::Graceful };
            self.with_peer(now, source, |fsm, env| {
                fsm.stop(env, &told, reset, why, None);
            });
            self.start_peer(now, source);
            if reset == Reset::Hard {
                // Nor is kept what another identity said in a session before.
                self.ipv4.forget(&mut self.shared, source, Forget::All);
                self.ipv6.forget(&mut self.shared, source, Forget::All);
            }
        } else if changes.iter().any(|change| change.field == "dial") {
            self.with_peer(now, source, |fsm, env| fsm.dialling_changed(env));
        }
        if changes.iter().any(|change| change.field == "max_prefixes") {
            self.bound_changed(now, source);
        }
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

    fn aggregate(&mut self, new: &SpeakerConfig) {
        for family in Family::ALL {
            let formed = aggregates(new).filter(|(prefix, _)| prefix.family() == family);
            let formed = formed.map(|(prefix, how)| Formed::new(*prefix, how.clone())).collect();
            self.in_tables(family, Aggregated(formed));
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
            local_as: local_as(&self.local, &peer.config),
            allowed_own_as: peer.config.allowed_own_as,
            reflection: peer.config.reflection,
            import: peer.config.import,
            filters: peer.config.filters.clone(),
            relation: established.agreed.relation(),
            flow: Flow::Free,
            add_path: established.agreed.add_path_receive,
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
        let aware = agreed.graceful_restart.as_ref().is_some_and(|restart| restart.long_lived.is_some());
        let ours = established.link.local.ip().to_canonical();
        let key = |family: Family| {
            let add_path = agreed.add_path_send.and(FamilySet::of(family));
            let own_next_hop = self.own_next_hop(family, ours, peer)?;
            let key = GroupKey {
                kind: agreed.kind,
                reflection: peer.config.reflection,
                export: peer.config.export,
                local_as: local_as(&self.local, &peer.config),
                filters: peer.config.filters.chain(Direction::Export, family).clone(),
                next_hop_mode: peer.config.next_hop,
                own_next_hop,
                transmit: Transmit { as_width: agreed.as_width, add_path, max_message: agreed.max_message },
                several: (!add_path.is_empty()).then_some(peer.config.add_path_limit),
                role: agreed.role,
                long_lived: if aware { LongLivedSupport::Announced } else { LongLivedSupport::Absent },
                standing: self.drain.standing(),
            };
            Some((family, key))
        };
        agreed.families.iter().filter_map(key).collect()
    }

    /// Judges anew what these peers have said and what they are told, as far as the class of what has changed asks for
    /// it; what external peers have said also where it is now another prefix that is this node's own.
    fn judge_again(&mut self, peers: &[(Source, Class)], guarded: bool) {
        let mut said = BTreeSet::new();
        for (source, class) in peers.iter().map(|(source, class)| (*source, by_tables(*class))) {
            let Some(peer) = self.peer(source) else { continue };
            let config = peer.config.clone();
            if let Some(info) = self.shared.source_mut(source) {
                let client = info.reflection != config.reflection;
                (info.reflection, info.import) = (config.reflection, config.import);
                info.filters.clone_from(&config.filters);
                info.allowed_own_as = config.allowed_own_as;
                if class.is_in() || guarded && info.kind == PeerKind::External {
                    said.insert(source);
                }
                if client {
                    // Whom its paths are told hangs on it (RFC 4456 §6).
                    self.ipv4.touch_paths_of(source);
                    self.ipv6.touch_paths_of(source);
                }
            }
            // A session that has been reset is not up any more, and joins its groups when it is.
            if class.is_out() {
                self.regroup(source);
            }
        }
        if !said.is_empty() {
            self.ipv4.recheck(&mut self.shared, &said);
            self.ipv6.recheck(&mut self.shared, &said);
        }
    }

    /// Puts a peer whose session is up into the groups that it belongs to by now.
    fn regroup(&mut self, source: Source) {
        let Some(peer) = self.peer(source) else { return };
        let Some(established) = peer.fsm.established() else { return };
        for (family, key) in self.group_keys(peer, established) {
            match family {
                Family::Ipv4 => self.ipv4.regroup(&mut self.shared, source, &key),
                Family::Ipv6 => self.ipv6.regroup(&mut self.shared, source, &key),
            }
        }
    }

    /// The cluster id, and what a rule for an interface does, are in what was told: it is told again.
    fn tell_again(&mut self, changes: &Changes) {
        let changed = |field| changes.of_speaker().any(|c| c.field == field && c.class.is_out());
        let (cluster, interfaces) = (changed("cluster_id"), changed("interfaces"));
        if !cluster && !interfaces {
            return;
        }
        let concerns = |source: &Source| {
            let internal = self.shared.source(*source).is_some_and(|info| info.kind == PeerKind::Internal);
            let asks = self.peer(*source).is_some_and(|peer| peer.config.filters.ask_for_interfaces());
            cluster && internal || interfaces && asks
        };
        let sources: Vec<Source> = self.by_key.values().copied().filter(concerns).collect();
        for source in sources {
            self.ipv4.tell_again(source, Closing::Nothing);
            self.ipv6.tell_again(source, Closing::Nothing);
        }
    }
}

/// Whether one of the two is another speaker from now on, to which nothing applies that was said before.
fn makes_another_peer(change: &Change) -> bool {
    ["router_id", "local_as", "remote_as"].contains(&change.field)
}

/// An aggregate that is originated anyway is none.
fn aggregates(config: &SpeakerConfig) -> impl Iterator<Item = (&Prefix, &Aggregate)> {
    config.aggregates.iter().filter(|(prefix, _)| !config.originate.contains_key(prefix))
}

struct Aggregated(Vec<Formed>);
impl Tables for Aggregated {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        tables.aggregate(shared, self.0);
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
