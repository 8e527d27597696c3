//! What a new configuration would do, tried on a copy of the speaker: its judgement, not its connections.
//!
//! The copy is configured as the speaker would be, by the same code. Sessions that would begin again are taken to come
//! back at once and with what the peer said before; new ones to come up with a peer that can all that we can, of whose
//! routes nothing is known. What a peer will really do nobody can plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::api::show::SessionState;
use model::{Asn, Family, Prefix, RouterId, Time};

use super::{Best, Output, Speaker};
use crate::change::{Change, Changes, Class, changes};
use crate::config::{PeerConfig, PeerKey, SpeakerConfig};
use crate::rib::{self, Forget, Source, View};
use crate::session::{Direction, Link, judge, kind, offered, ours};
use crate::wire::PeerKind;

/// The most prefixes that are named for each peer and each kind of difference; all are counted.
pub const NAMED: usize = 100;

/// Whether a speaker acts, or shows what it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// On the network.
    Live,
    /// A copy: what it sends goes nowhere.
    Rehearsal {
        /// What changes for peers from listen ranges, of which no configuration has a list.
        ranged: Vec<Change>,
    },
}

/// What would come of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// Which fields differ, and what each difference does.
    pub changes: Changes,
    /// Every peer that is in the old or in the new configuration, in order.
    pub peers: BTreeMap<PeerKey, Rehearsed>,
    /// Prefixes whose next hops change, with those to come. Where none are to come: nobody has a path that is believed,
    /// or this node originates the prefix.
    pub best: BTreeMap<Prefix, Option<Best>>,
}

/// What would become of one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// Its name, by the new configuration where it is in both.
    pub name: String,
    /// The state of its session now; none if it is new.
    pub state: Option<SessionState>,
    /// How many of its prefixes it has said.
    pub received: u64,
    /// Of these, believed: now, and then.
    pub accepted: (u64, u64),
    /// How many prefixes it is told: now, and then.
    pub advertised: (u64, u64),
    /// Told then and not now.
    pub announced: Named,
    /// Told now and not then.
    pub withdrawn: Named,
    /// Told then with other attributes.
    pub altered: Named,
}

/// Some prefixes: how many, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// All.
    pub count: u64,
    /// The lowest [`NAMED`], in order.
    pub first: BTreeSet<Prefix>,
}

impl Named {
    pub(crate) fn add(&mut self, prefix: Prefix) {
        self.count += 1;
        self.first.insert(prefix);
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }
}

impl Speaker {
    /// How many prefixes the tables hold: what a copy costs.
    pub fn size(&self) -> usize {
        self.ipv4.table.len() + self.ipv6.table.len()
    }

    /// What a configuration would do to sessions, where the tables are too large to be copied: routes are not looked at.
    pub fn rehearse_sessions(&self, config: &SpeakerConfig) -> Rehearsal {
        let changes = changes(&self.config, config);
        let named = |key: &PeerKey| config.peers.get(key).map(|peer| peer.name.clone());
        let mut peers = BTreeMap::new();
        for key in self.by_key.keys().chain(&changes.added) {
            let same = Self::compare(self, self, *key);
            let name = named(key).unwrap_or_else(|| same.name.clone());
            peers.insert(*key, Rehearsed { name, ..same });
        }
        Rehearsal { changes, peers, best: BTreeMap::new() }
    }

    /// What a configuration would do: a pure question, to be asked of a copy of the speaker.
    pub fn rehearse(mut self, now: Time, config: SpeakerConfig) -> Rehearsal {
        self.settle(now);
        let mut after = self.clone();
        after.mode = Mode::Rehearsal { ranged: Vec::new() };
        let mut changes = changes(&self.config, &config);
        after.configure(now, config);
        for key in &changes.added {
            after.suppose_up(now, *key);
        }
        let best = after.settle(now);
        if let Mode::Rehearsal { ranged } = &mut after.mode {
            changes.fields.append(ranged);
        }
        let keys: BTreeSet<PeerKey> = self.by_key.keys().chain(after.by_key.keys()).copied().collect();
        let peers = keys.into_iter().map(|key| (key, Self::compare(&self, &after, key))).collect();
        Rehearsal { changes, peers, best }
    }

    /// Does all work on the tables. Returns what is new of the best paths.
    fn settle(&mut self, now: Time) -> BTreeMap<Prefix, Option<Best>> {
        let mut best = BTreeMap::new();
        while let Some(output) = self.poll(now) {
            if let Output::Route(change) = output {
                best.insert(change.prefix, change.best);
            }
        }
        best
    }

    /// In a rehearsal a session that begins again is back at once, and knows what it knew.
    pub(super) fn suppose_back(&mut self, source: Source, changes: &[Change], before: &PeerConfig) {
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) else { return };
        let (kind, offered_now) = (kind(&self.local, &peer.config), offered(&self.local, peer.key, &peer.config));
        let Some(agreed) = peer.fsm.agreed_mut() else { return };
        agreed.kind = kind;
        // Who took all that was offered takes all.
        let families = changes.iter().any(|change| change.field == "families");
        let took_all = agreed.families.iter().eq(before.families.iter().copied());
        agreed.families = if families && took_all { offered_now } else { agreed.families.and(offered_now) };
        let kept = agreed.families;
        self.ipv4.leave(&mut self.shared, source);
        self.ipv6.leave(&mut self.shared, source);
        for family in Family::ALL.into_iter().filter(|family| !kept.contains(*family)) {
            match family {
                Family::Ipv4 => self.ipv4.forget(&mut self.shared, source, Forget::All),
                Family::Ipv6 => self.ipv6.forget(&mut self.shared, source, Forget::All),
            }
        }
        self.enter_tables(source);
    }

    /// A new session as it will be with a peer that can all that we can.
    fn suppose_up(&mut self, now: Time, key: PeerKey) {
        let Some(source) = self.by_key.get(&key).copied() else { return };
        let conn = self.new_conn();
        let (v4, v6) = (self.local.ipv4, self.local.ipv6);
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) else { return };
        let by_family = match Family::of(key.address) {
            Family::Ipv4 => IpAddr::V4(v4.unwrap_or(Ipv4Addr::UNSPECIFIED)),
            Family::Ipv6 => IpAddr::V6(v6.unwrap_or(Ipv6Addr::UNSPECIFIED)),
        };
        let local = SocketAddr::new(peer.config.local_address.unwrap_or(by_family), 0);
        let mut theirs = ours(&self.local, key, &peer.config);
        let stranger = match kind(&self.local, &peer.config) {
            PeerKind::Internal => self.local.local_as,
            PeerKind::External => Asn::TRANS,
        };
        theirs.asn = peer.config.remote_as.asn().unwrap_or(stranger);
        let other = u32::MAX - self.local.router_id.bits();
        if let Some(id) = RouterId::new(other) {
            theirs.router_id = id;
        }
        let Ok(agreed) = judge(&self.local, key, &peer.config, &theirs) else { return };
        peer.fsm.suppose_established(Link { conn, direction: Direction::Outgoing, local, since: now }, agreed);
        self.session_up(now, source);
    }

    fn compare(before: &Speaker, after: &Speaker, key: PeerKey) -> Rehearsed {
        let find = |speaker: &Speaker| Some(*speaker.by_key.get(&key)?);
        let (old, new) = (find(before), find(after));
        let peer = |speaker: &'_ Speaker, source: Option<Source>| {
            source.and_then(|source| speaker.peer(source)).map(|peer| (peer.config.name.clone(), peer.fsm.state()))
        };
        let (was, will) = (peer(before, old), peer(after, new));
        let counts = |speaker: &Speaker, source: Option<Source>| {
            let info = source.and_then(|source| speaker.shared.source(source));
            info.map_or((0, 0), |info| {
                (info.counts.iter().map(|c| c.received).sum(), info.counts.iter().map(|c| c.accepted).sum())
            })
        };
        let told = |speaker: &Speaker, source: Option<Source>| source.map_or(0, |source| speaker.advertised(source));
        let ((received, accepted), (_, then)) = (counts(before, old), counts(after, new));
        let advertised = (told(before, old), told(after, new));
        let mut found = rib::Differences::default();
        let (a, b) = (&before.shared, &after.shared);
        let (old, new) = if std::ptr::eq(before, after) { (None, None) } else { (old, new) };
        rib::compare(View::of(a, &before.ipv4, old), View::of(b, &after.ipv4, new), &mut found);
        rib::compare(View::of(a, &before.ipv6, old), View::of(b, &after.ipv6, new), &mut found);
        Rehearsed {
            state: was.as_ref().map(|(_, state)| *state),
            name: will.or(was).map(|(name, _)| name).unwrap_or_default(),
            received,
            accepted: (accepted, then),
            advertised,
            announced: found.announced,
            withdrawn: found.withdrawn,
            altered: found.altered,
        }
    }
}

/// The class that the tables go by: after a reset all is judged anew, what is kept of the session before too.
pub(super) fn by_tables(class: Class) -> Class {
    if class == Class::Reset { Class::SoftBoth } else { class }
}
