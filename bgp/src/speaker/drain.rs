//! Going away without losing a packet (RFC 8326): say so, let the peers turn to other paths, and only then end.

use model::Time;

use super::Speaker;
use crate::config::Start;
use crate::rib::{Source, Standing};
use crate::session::{Reset, Why};
use crate::wire::Notification;
use crate::wire::notification::cease;

/// How far this node is on its way out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draining {
    /// It stays.
    No,
    /// Its peers are told, and may turn to others until then.
    Leaving { since: Time, until: Time },
    /// Its sessions have ended and stay down.
    Gone,
}

impl Draining {
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Draining::Leaving { until, .. } => Some(until),
            Draining::No | Draining::Gone => None,
        }
    }

    /// What goes with everything that peers are told.
    pub(super) fn standing(self) -> Standing {
        match self {
            Draining::No => Standing::Staying,
            Draining::Leaving { .. } | Draining::Gone => Standing::Leaving,
        }
    }
}

impl Speaker {
    /// Whether this node is out of service: its sessions have ended and stay down.
    pub fn is_drained(&self) -> bool {
        self.drain == Draining::Gone
    }

    /// Does as the configuration says by now. What is told then, and how, is the update groups' business.
    pub(super) fn follow_drain(&mut self, now: Time) {
        let before = self.drain;
        match (&self.config.drain, before) {
            (None, Draining::No) => {}
            (None, _) => {
                self.drain = Draining::No;
                if before == Draining::Gone {
                    self.all_sources().into_iter().for_each(|source| self.start_peer(now, source));
                }
            }
            // Nobody has a route of a node that was just booted: there is nothing to say.
            (Some(_), Draining::No) if self.is_newborn() && self.config.graceful_restart.start == Start::Fresh => {
                self.leave(now);
            }
            (Some(drain), Draining::No) => self.drain = Draining::Leaving { since: now, until: now + drain.wait },
            (Some(drain), Draining::Leaving { since, .. }) => {
                self.drain = Draining::Leaving { since, until: since + drain.wait };
            }
            (Some(_), Draining::Gone) => {}
        }
    }

    /// Ends every session when the peers have had their time.
    pub(super) fn end_drain_if_due(&mut self, now: Time) {
        if self.drain.deadline().is_some_and(|until| until <= now) {
            self.leave(now);
        }
    }

    /// Lets a peer's session begin, unless this node is out of service.
    pub(super) fn start_peer(&mut self, now: Time, source: Source) {
        if self.drain == Draining::Gone {
            self.stop_drained(now, source);
        } else {
            self.with_peer(now, source, |fsm, env| fsm.start(env));
        }
    }

    fn leave(&mut self, now: Time) {
        self.drain = Draining::Gone;
        self.all_sources().into_iter().for_each(|source| self.stop_drained(now, source));
    }

    fn stop_drained(&mut self, now: Time, source: Source) {
        let message = self.config.drain.as_ref().map_or("", |drain| drain.message.as_str());
        let told = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, message);
        self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, Reset::Hard, Why::Drained, None));
    }

    /// Whether no session has ever been up.
    fn is_newborn(&self) -> bool {
        self.peers.iter().flatten().all(|peer| peer.established_count == 0)
    }

    fn all_sources(&self) -> Vec<Source> {
        self.by_key.values().copied().collect()
    }
}
