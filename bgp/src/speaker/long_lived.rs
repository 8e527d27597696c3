//! Long-lived graceful restart (RFC 9494): routes of a peer that is away for longer than a restart takes.
//!
//! When the restart time is over, what was kept of the peer becomes the least preferred of all and is marked LLGR_STALE,
//! for a time of its own by family. That time runs on when the peer comes and goes, until it has told all again.

use std::time::Duration;

use model::{Family, Time};

use super::Speaker;
use super::act::Tables;
use super::restart::ForgetPaths;
use crate::rib::{Forget, RibPrefix, Shared, Source, Unicast};
use crate::session::PeerLongLived;

/// Of one peer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LongLived {
    ipv4: Span,
    ipv6: Span,
}

/// Of one peer in one family.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// How long routes will be kept after the restart time: of the session before.
    time: Duration,
    /// Long-lived stale routes are kept until then.
    until: Option<Time>,
}

impl LongLived {
    fn of(&mut self, family: Family) -> &mut Span {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }

    /// When the first family's time is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        [self.ipv4.until, self.ipv6.until].into_iter().flatten().min()
    }

    /// How long a family's routes are kept after the restart time.
    pub(super) fn time(&self, family: Family) -> Duration {
        match family {
            Family::Ipv4 => self.ipv4.time,
            Family::Ipv6 => self.ipv6.time,
        }
    }

    /// The session is over: its agreement counts from now on. A time that runs is left alone (RFC 9494 §4.2).
    pub(super) fn take_over(&mut self, agreed: Option<&PeerLongLived>) {
        for family in Family::ALL {
            let span = self.of(family);
            span.time = agreed.map_or(Duration::ZERO, |agreed| agreed.time(family));
            span.until = span.until.filter(|_| !span.time.is_zero());
        }
    }

    /// Nothing is kept of a family any more.
    pub(super) fn end(&mut self, family: Family) {
        self.of(family).until = None;
    }
}

/// Makes stale paths of a source long-lived.
struct GrowLongLived(Source);
impl Tables for GrowLongLived {
    fn on<P: RibPrefix>(self, tables: &mut Unicast<P>, shared: &mut Shared) {
        tables.grow_long_lived(shared, self.0);
    }
}

impl Speaker {
    /// The restart time of a peer is over, or it has none (RFC 9494 §4.2).
    pub(super) fn grow_long_lived(&mut self, now: Time, source: Source, family: Family) {
        self.in_tables(family, GrowLongLived(source));
        let Some(peer) = self.peer_mut(source) else { return };
        let time = peer.long_lived.time(family);
        peer.long_lived.of(family).until.get_or_insert(now + time);
    }

    /// Forgets long-lived stale routes whose time is over.
    pub(super) fn drop_long_lived_if_due(&mut self, now: Time, source: Source) {
        for family in Family::ALL {
            let Some(peer) = self.peer_mut(source) else { return };
            if peer.long_lived.of(family).until.is_some_and(|until| until <= now) {
                self.drop_long_lived(source, family);
            }
        }
    }

    /// Forgets the long-lived stale routes of a family.
    pub(super) fn drop_long_lived(&mut self, source: Source, family: Family) {
        self.in_tables(family, ForgetPaths(source, Forget::LongLived));
        if let Some(peer) = self.peer_mut(source) {
            peer.long_lived.end(family);
        }
    }
}
