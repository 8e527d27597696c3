//! How many prefixes a peer may send, and what comes of more (RFC 4486 §4).

use std::fmt;
use std::time::Duration;

use model::{Family, Time};

use super::Speaker;
use crate::rib::Source;
use crate::session::{Reset, Why};
use crate::wire::Notification;
use crate::wire::capability::AfiSafi;
use crate::wire::notification::cease;

/// The bound of a peer's prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// So many of all families together are allowed, refused ones included.
    pub limit: u32,
    /// From this part of it on, in percent, the peer's reason says so.
    pub warn_at: Option<u8>,
    /// What is done about more.
    pub action: Excess,
}

/// What is done about more prefixes than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It is said, and nothing else.
    Warn,
    /// The session ends (Cease/1), until somebody resets it or changes the bound.
    Drop,
    /// The session ends (Cease/1), and is tried again after this time; after
    /// [`crate::config::Timers::max_prefix_restart`] if none is given.
    Restart(Option<Duration>),
}

/// Ends the session, and tries again after the usual time.
impl From<u32> for MaxPrefixes {
    fn from(limit: u32) -> MaxPrefixes {
        MaxPrefixes { limit, warn_at: None, action: Excess::Restart(None) }
    }
}

/// Where a peer stands against its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Crowding {
    #[default]
    Within,
    /// From the percentage on that warns.
    Near { percent: u8, limit: u32 },
    /// Above, and nothing is done about it.
    Over { limit: u32 },
}

/// For a person; empty while there is nothing to say.
impl fmt::Display for Crowding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crowding::Within => Ok(()),
            Crowding::Near { percent, limit } => {
                write!(f, "at least {percent}% of the allowed {limit} prefixes received")
            }
            Crowding::Over { limit } => write!(f, "more than {limit} prefixes received, which only warns"),
        }
    }
}

impl MaxPrefixes {
    /// Where so many stand. What was said is taken back a tenth below the mark, lest a peer at the mark say it forever.
    fn judge(&self, received: u64, before: Crowding) -> Crowding {
        let limit = u64::from(self.limit);
        let reached = |mark: u64, said: bool| received >= mark || (said && received * 10 >= mark * 9);
        if reached(limit + 1, matches!(before, Crowding::Over { .. })) {
            return Crowding::Over { limit: self.limit };
        }
        let Some(percent) = self.warn_at else { return Crowding::Within };
        let mark = (limit * u64::from(percent)).div_ceil(100);
        match reached(mark, before != Crowding::Within) {
            true => Crowding::Near { percent, limit: self.limit },
            false => Crowding::Within,
        }
    }
}

impl Speaker {
    /// Holds what a peer has sent against its bound, and acts by it.
    pub(super) fn bound_prefixes(&mut self, now: Time, source: Source) {
        let Some(info) = self.shared.source(source) else { return };
        let received: u64 = info.counts.iter().map(|counts| counts.received).sum();
        let Some(peer) = self.peer_mut(source) else { return };
        let Some(bound) = peer.config.max_prefixes.filter(|_| peer.fsm.established().is_some()) else {
            peer.crowding = Crowding::Within;
            return;
        };
        let rest = match bound.action {
            _ if received <= u64::from(bound.limit) => None,
            Excess::Warn => None,
            Excess::Drop => Some(None),
            Excess::Restart(time) => Some(Some(time.unwrap_or(self.local.timers.max_prefix_restart))),
        };
        match rest {
            Some(rest) => self.end_crowded(now, source, bound.limit, rest),
            None => {
                let Some(peer) = self.peer_mut(source) else { return };
                let crowding = bound.judge(received, peer.crowding);
                if std::mem::replace(&mut peer.crowding, crowding) != crowding {
                    self.report(source);
                }
            }
        }
    }

    fn end_crowded(&mut self, now: Time, source: Source, limit: u32, rest: Option<Duration>) {
        let Some(key) = self.shared.source(source).map(|info| info.key) else { return };
        let family = AfiSafi::from(Family::of(key.address));
        let mut data = family.afi.to_be_bytes().to_vec();
        data.push(family.safi);
        data.extend_from_slice(&limit.to_be_bytes());
        let told = Notification::with_data(cease::MAXIMUM_PREFIXES, &data);
        let (why, until) = (Why::TooManyPrefixes { limit, rest }, rest.map(|rest| now + rest));
        self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, Reset::Hard, why, until));
    }

    /// The bound was changed: in force at once, and a session that it has ended may be tried again.
    pub(super) fn bound_changed(&mut self, now: Time, source: Source) {
        let Some(peer) = self.peer(source) else { return };
        if matches!(peer.fsm.why(), Why::TooManyPrefixes { .. }) {
            self.start_peer(now, source);
        }
        self.bound_prefixes(now, source);
    }
}
