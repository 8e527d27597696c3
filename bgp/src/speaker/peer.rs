//! One peer inside the speaker: its session, its timers, and what is between it and the tables.

use std::sync::Arc;
use std::time::Duration;

use model::api::show::SessionState;
use model::{Prefix, Time};

use super::ConnId;
use super::crowding::Crowding;
use super::long_lived::LongLived;
use super::refresh::Refreshes;
use super::view::Counters;
use crate::config::{PeerConfig, PeerKey};
use crate::session::{Fsm, Why};
use crate::wire::{AttrError, FamilySet};

/// A configured peer, or one that came from a listen range.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub key: PeerKey,
    /// Peers of one range share it.
    pub config: Arc<PeerConfig>,
    /// The listen range that it came from.
    pub range: Option<Prefix>,
    pub fsm: Fsm,
    /// State and reason as told to the owner.
    pub reported: (SessionState, String),
    pub counters: Counters,
    pub established_count: u64,
    /// Why the session ended that was up last.
    pub last_error: Option<String>,
    pub last_fault: Option<AttrError>,
    /// Its routes from the session before are kept until then, and are forgotten at the latest.
    pub stale_until: Option<Time>,
    /// What is kept of it after that (RFC 9494).
    pub long_lived: LongLived,
    /// Families whose End-of-RIB is still to come.
    pub incomplete: FamilySet,
    /// How near it is to the bound of its prefixes.
    pub crowding: Crowding,
    /// Routes that it or we are telling again.
    pub refreshes: Refreshes,
    /// When the timer queue will ask it.
    pub armed: Option<Time>,
}

impl Peer {
    pub(super) fn new(key: PeerKey, config: Arc<PeerConfig>, range: Option<Prefix>, now: Time) -> Peer {
        let fsm = Fsm::new(now);
        let reported = (fsm.state(), String::new());
        Peer {
            key,
            config,
            range,
            fsm,
            reported,
            counters: Counters::default(),
            established_count: 0,
            last_error: None,
            last_fault: None,
            stale_until: None,
            long_lived: LongLived::default(),
            incomplete: FamilySet::NONE,
            crowding: Crowding::Within,
            refreshes: Refreshes::default(),
            armed: None,
        }
    }

    /// Whether routes of a session that is over are kept for it.
    pub(super) fn keeps_routes(&self) -> bool {
        self.stale_until.is_some() || self.long_lived.deadline().is_some()
    }

    /// Whether its session ended by its bound of prefixes and does not come back by itself.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self.fsm.why(), Why::TooManyPrefixes { rest: None, .. })
    }

    /// Whether it came from a range, and there is nothing left of it. What bars it is something: it would begin anew.
    pub(super) fn is_spent(&self) -> bool {
        self.range.is_some() && !self.keeps_routes() && !self.is_barred() && self.fsm.is_at_rest()
    }

    /// Why it is not Established; if it is, what is wrong with it all the same.
    pub(super) fn reason(&self) -> String {
        match self.fsm.state() {
            SessionState::Established => self.crowding.to_string(),
            _ => self.fsm.why().to_string(),
        }
    }

    /// The connection that carries its routes.
    pub(super) fn established_conn(&self) -> Option<ConnId> {
        self.fsm.established().map(|established| established.link.conn)
    }
}

/// An open connection or a dial.
#[derive(Debug, Clone)]
pub(super) struct Conn {
    pub source: crate::rib::Source,
    /// Octets handed out and not yet reported as written.
    pub outstanding: usize,
    /// When it last took anything, or began to owe.
    pub progress: Time,
}

impl Conn {
    /// When the peer will have refused to read for too long (RFC 9687).
    pub(super) fn send_hold(&self, time: Duration) -> Option<Time> {
        (self.outstanding > 0).then(|| self.progress + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peers of one range share their configuration: what is left are a session and counters.
    #[test]
    fn a_peer_takes_less_than_a_kilobyte_of_its_own() {
        assert!(size_of::<Peer>() <= 1024, "{} octets", size_of::<Peer>());
    }
}
