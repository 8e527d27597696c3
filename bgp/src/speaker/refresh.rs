//! Routes told again: ours when a peer asks (RFC 2918), its own when we ask, and the marks round both (RFC 7313).

use std::time::Duration;

use model::{Family, Time};

use super::Speaker;
use super::act::Tables;
use crate::config::PeerKey;
use crate::rib::{Closing, Forget, RibPrefix, Shared, Source, Unicast};
use crate::session::RouteRefreshSupport;
use crate::wire::{RefreshKind, RouteRefresh};

/// How soon to see whether an answer that runs has come to its end.
const RUNNING: Duration = Duration::from_secs(1);

/// What goes on with one peer, by family in AFI order. A new session begins with a new one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refreshes([Refreshing; 2]);

/// In one family.
#[derive(Debug, Clone, Copy, Default)]
struct Refreshing {
    /// No answer to the peer begins before.
    not_before: Option<Time>,
    /// Requests that have come meanwhile: all of them get one answer.
    asked: Asked,
    /// The peer's BoRR came last so long ago that another one counts.
    marks_again: Option<Time>,
    /// BoRR has come and EoRR has not: what was not told again goes then at the latest.
    sweep_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Asked {
    Again,
    #[default]
    No,
}

impl Refreshes {
    fn of(&mut self, family: Family) -> &mut Refreshing {
        let [ipv4, ipv6] = &mut self.0;
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let answer = |one: &Refreshing| one.not_before.filter(|_| one.asked == Asked::Again);
        self.0.iter().flat_map(|one| [answer(one), one.sweep_at]).flatten().min()
    }
}

/// Tells a peer everything again.
struct TellAgain(Source, Closing);
impl Tables for TellAgain {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, _: &mut Shared) {
        tables.tell_again(self.0, self.1);
    }
}

/// Marks what a peer has told in this session as not yet told again.
struct Mark(Source);
impl Tables for Mark {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, _: &mut Shared) {
        tables.mark_unrefreshed(self.0);
    }
}

/// Takes out what a peer has not told again.
struct Sweep(Source);
impl Tables for Sweep {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        tables.forget(shared, self.0, Forget::Unrefreshed);
    }
}

impl Speaker {
    /// A ROUTE-REFRESH of an established session. Families that were not agreed on and unknown subtypes are ignored
    /// (RFC 2918 §4, RFC 7313 §5).
    pub(super) fn refresh_message(&mut self, now: Time, source: Source, message: RouteRefresh) {
        let Some(agreed) = self.peer(source).and_then(|peer| Some(&peer.fsm.established()?.agreed)) else { return };
        let Some(family) = message.family.filter(|family| agreed.families.contains(*family)) else { return };
        let enhanced = agreed.route_refresh == RouteRefreshSupport::Enhanced;
        match message.kind {
            RefreshKind::Request => self.asked_again(now, source, family),
            RefreshKind::Begin if enhanced => self.begin_of_refresh(now, source, family),
            RefreshKind::End if enhanced => self.end_of_refresh(source, family),
            // Marks of a peer that did not announce them mean nothing (RFC 7313 §4).
            RefreshKind::Begin | RefreshKind::End | RefreshKind::Unknown(_) => {}
        }
        self.arm(source);
    }

    /// Answers, or notes that an answer is due: however often a peer asks, its routes are looked for once in
    /// [`crate::config::Timers::refresh_rest`].
    fn asked_again(&mut self, now: Time, source: Source, family: Family) {
        let running = self.closing_of(source, family) == Closing::EndOfRefresh;
        let rest = self.local.timers.refresh_rest;
        let Some(peer) = self.peer_mut(source) else { return };
        let state = peer.refreshes.of(family);
        // What was told already, the peer may have judged by what it no longer goes by: once more, after this answer.
        if running {
            (state.asked, state.not_before) = (Asked::Again, state.not_before.max(Some(now + RUNNING)));
            return;
        }
        if state.not_before.is_some_and(|at| at > now) {
            state.asked = Asked::Again;
            return;
        }
        (state.asked, state.not_before) = (Asked::No, Some(now + rest));
        self.answer(now, source, family);
    }

    pub(super) fn answer(&mut self, now: Time, source: Source, family: Family) {
        let Some(established) = self.peer(source).and_then(|peer| peer.fsm.established()) else { return };
        let marked = established.agreed.route_refresh == RouteRefreshSupport::Enhanced
            // RFC 7313 §4.1: no BoRR before the End-of-RIB of the first exchange, which is then begun anew instead.
            && self.closing_of(source, family) != Closing::EndOfRib;
        if marked {
            let mut octets = Vec::new();
            RouteRefresh { family: Some(family), kind: RefreshKind::Begin }.encode(&mut octets);
            let conn = established.link.conn;
            self.send(now, conn, octets.into(), 1);
        }
        let closing = if marked { Closing::EndOfRefresh } else { Closing::Nothing };
        self.in_tables(family, TellAgain(source, closing));
    }

    /// BoRR: what comes next is everything (RFC 7313 §4.2).
    ///
    /// Marking looks at the whole table. A peer that begins again and again is not followed each time: what it does not
    /// tell again it must withdraw all the same.
    fn begin_of_refresh(&mut self, now: Time, source: Source, family: Family) {
        let (rest, longest) = (self.local.timers.refresh_rest, self.local.timers.refresh_stale);
        let Some(peer) = self.peer_mut(source) else { return };
        let state = peer.refreshes.of(family);
        if state.marks_again.is_some_and(|at| at > now) {
            return;
        }
        (state.marks_again, state.sweep_at) = (Some(now + rest), Some(now + longest));
        self.in_tables(family, Mark(source));
    }

    /// EoRR: what was not told again since BoRR is gone (RFC 7313 §4.2). Without a BoRR it means nothing.
    fn end_of_refresh(&mut self, source: Source, family: Family) {
        let Some(peer) = self.peer_mut(source) else { return };
        if peer.refreshes.of(family).sweep_at.take().is_some() {
            self.in_tables(family, Sweep(source));
        }
    }

    /// Answers that had to wait, and peers that have not said EoRR in time.
    pub(super) fn refresh_if_due(&mut self, now: Time, source: Source) {
        let Some(peer) = self.peer(source) else { return };
        if peer.refreshes.deadline().is_none_or(|due| due > now) {
            return;
        }
        for family in Family::ALL {
            let Some(peer) = self.peer_mut(source) else { return };
            let state = *peer.refreshes.of(family);
            if state.sweep_at.is_some_and(|at| at <= now) {
                self.end_of_refresh(source, family);
            }
            if state.asked == Asked::Again && state.not_before.is_some_and(|at| at <= now) {
                self.asked_again(now, source, family);
            }
        }
    }

    /// Sends a ROUTE-REFRESH for every family of the session (RFC 2918).
    pub(super) fn ask_again(&mut self, now: Time, key: PeerKey) {
        let established = self.by_key.get(&key).and_then(|source| self.peer(*source)?.fsm.established());
        let Some(established) = established else { return };
        if established.agreed.route_refresh == RouteRefreshSupport::Absent {
            return;
        }
        let conn = established.link.conn;
        let (mut octets, mut messages) = (Vec::new(), 0);
        for family in established.agreed.families.iter() {
            RouteRefresh::request(family).encode(&mut octets);
            messages += 1;
        }
        self.send(now, conn, octets.into(), messages);
    }

    fn closing_of(&self, source: Source, family: Family) -> Closing {
        match family {
            Family::Ipv4 => self.ipv4.closing_of(source),
            Family::Ipv6 => self.ipv6.closing_of(source),
        }
    }
}
