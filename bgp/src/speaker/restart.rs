//! Sessions that come and go, and graceful restart in both roles (RFC 4724).

use model::{Family, Time};

use super::act::Tables;
use super::crowding::Crowding;
use super::refresh::Refreshes;
use super::{Output, Speaker};
use crate::rib::{Forget, Hold, RibPrefix, Shared, Source, Unicast};
use crate::session::{Forwarding, Restarting, Retention, Why};
use crate::wire::FamilySet;

/// Whether the initial exchange of routes is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deferral {
    /// Until then at the latest.
    Waiting { until: Time },
    /// All that there is to wait for has come; the tables are being worked through.
    Settling,
    /// The owner knows.
    Over,
}

impl Deferral {
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Deferral::Waiting { until } => Some(until),
            Deferral::Settling | Deferral::Over => None,
        }
    }
}

/// Forgets paths of a source.
pub(super) struct ForgetPaths(pub Source, pub Forget);
impl Tables for ForgetPaths {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        // A peer that says End-of-RIB again and again costs no look at the table.
        let stale = shared.source_mut(self.0).map_or(0, |info| info.counts(P::FAMILY).stale);
        if [Forget::Stale, Forget::LongLived].contains(&self.1) && stale == 0 {
            return;
        }
        tables.forget(shared, self.0, self.1);
    }
}

/// Marks the paths of a source as kept.
struct GrowStale(Source);
impl Tables for GrowStale {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        // What is stale from the session before that is too old (RFC 4724 §4.2).
        tables.forget(shared, self.0, Forget::Stale);
        tables.grow_stale(shared, self.0);
    }
}

impl Speaker {
    /// The session is Established: tells the peer all, and knows what to expect of it.
    pub(super) fn session_up(&mut self, now: Time, source: Source) {
        let Some(peer) = self.peer_mut(source) else { return };
        let Some(established) = peer.fsm.established() else { return };
        let agreed = established.agreed.clone();
        peer.established_count += 1;
        let restart = agreed.graceful_restart.as_ref();
        // A peer that has restarted itself waits for our End-of-RIB, hence must not be waited for (RFC 4724 §4.1).
        let waited_for = restart.is_none_or(|restart| restart.restarting == Restarting::No);
        peer.incomplete = if waited_for { agreed.families } else { FamilySet::NONE };
        let had_stale = peer.keeps_routes();
        if had_stale {
            let longest = self.config.graceful_restart.restart_time;
            if let Some(peer) = self.peer_mut(source) {
                peer.stale_until = Some(now + longest);
            }
            let kept = restart.map_or(FamilySet::NONE, |restart| restart.forwarding_kept);
            for family in Family::ALL.into_iter().filter(|family| !kept.contains(*family)) {
                self.in_tables(family, ForgetPaths(source, Forget::Stale));
            }
            let long_lived = restart.and_then(|restart| restart.long_lived);
            let kept = long_lived.map_or(FamilySet::NONE, |long_lived| long_lived.forwarding_kept);
            for family in Family::ALL.into_iter().filter(|family| !kept.contains(*family)) {
                self.drop_long_lived(source, family);
            }
        }
        self.tell_up(now, source);
        self.enter_tables(source);
    }

    /// The session that was Established is over.
    pub(super) fn session_down(&mut self, now: Time, source: Source, retention: Retention) {
        self.tell_down(now, source);
        self.ipv4.leave(&mut self.shared, source);
        self.ipv6.leave(&mut self.shared, source);
        let (kept, until) = match &retention {
            Retention::Keep(restart) if !restart.time.is_zero() => (restart.families, Some(now + restart.time)),
            _ => (FamilySet::NONE, None),
        };
        let long_lived = match &retention {
            Retention::Keep(restart) => restart.long_lived.as_ref(),
            Retention::Forget => None,
        };
        if let Some(peer) = self.peer_mut(source) {
            peer.long_lived.take_over(long_lived);
        }
        for family in Family::ALL {
            let for_long = long_lived.is_some_and(|long_lived| !long_lived.time(family).is_zero());
            if kept.contains(family) || for_long {
                self.in_tables(family, GrowStale(source));
            } else {
                self.in_tables(family, ForgetPaths(source, Forget::All));
            }
            // Without a restart time it has passed already (RFC 9494 §4.2).
            if for_long && !kept.contains(family) {
                self.grow_long_lived(now, source, family);
            }
        }
        if let Some(peer) = self.peer_mut(source) {
            peer.incomplete = FamilySet::NONE;
            peer.refreshes = Refreshes::default();
            peer.crowding = Crowding::Within;
            peer.stale_until = until;
            peer.last_error = Some(peer.fsm.why().to_string());
        }
    }

    /// The restart has taken too long, or End-of-RIB did not come.
    pub(super) fn drop_stale_if_due(&mut self, now: Time, source: Source) {
        self.drop_long_lived_if_due(now, source);
        let Some(peer) = self.peer_mut(source) else { return };
        if peer.stale_until.is_none_or(|until| until > now) {
            return;
        }
        peer.stale_until = None;
        let (away, long_lived) = (peer.fsm.established().is_none(), peer.long_lived);
        for family in Family::ALL {
            if away && !long_lived.time(family).is_zero() {
                self.grow_long_lived(now, source, family);
            } else {
                self.in_tables(family, ForgetPaths(source, Forget::Stale));
            }
        }
    }

    /// The peer has told all in a family: what it has not told again is gone.
    pub(super) fn end_of_rib(&mut self, source: Source, family: Family) {
        self.in_tables(family, ForgetPaths(source, Forget::Stale));
        self.drop_long_lived(source, family);
        if let Some(peer) = self.peer_mut(source) {
            peer.incomplete = peer.incomplete.iter().filter(|other| *other != family).collect();
            if peer.incomplete.is_empty() {
                peer.stale_until = None;
            }
        }
    }

    /// Ends the deferral when every peer that can be waited for has told all, or when time is up.
    pub(super) fn end_deferral_if_due(&mut self, now: Time) {
        let Deferral::Waiting { until } = self.deferral else { return };
        let mut peers = self.peers.iter().flatten();
        // After a restart peers from listen ranges still have to come: whether there are any, nobody knows.
        let strangers = self.shared.hold == Hold::Learned && !self.config.ranges.is_empty();
        if now < until && (strangers || peers.any(is_awaited)) {
            return;
        }
        self.deferral = Deferral::Settling;
        self.local.restarting = Restarting::No;
        self.local.forwarding = Forwarding::Kept;
        if self.shared.hold == Hold::Learned {
            self.shared.hold = Hold::Nothing;
            self.ipv4.touch_all();
            self.ipv6.touch_all();
        }
    }

    /// Says once, when the tables are settled, that the initial exchange is over.
    pub(super) fn announce_in_sync(&mut self) -> bool {
        let settled = self.deferral == Deferral::Settling;
        if settled {
            self.deferral = Deferral::Over;
            self.outputs.push_back(Output::InSync);
        }
        settled
    }
}

/// A peer is awaited until its End-of-RIB, or until it proves to be unreachable or unwilling.
fn is_awaited(peer: &super::Peer) -> bool {
    if peer.fsm.established().is_some() {
        return !peer.incomplete.is_empty();
    }
    matches!(peer.fsm.why(), Why::NotYet | Why::AwaitsPeer | Why::Negotiates(_) | Why::Closed(..))
}
