//! The speaker: sessions and tables as one value that is fed with inputs and asked for outputs.
//!
//! It reads no clock and touches no socket. Its owner calls [`Speaker::handle`] with what happened,
//! [`Speaker::tick`] when [`Speaker::deadline`] has come, and after either [`Speaker::poll`] until it returns `None`.

mod io;
mod view;

use model::Time;

pub use self::io::{Best, CloseReason, ConnId, ConnectError, Dial, Input, NextHop, Output, PeerChange, RouteChange};
pub use self::view::{Counters, PeerStatus, Why};
use crate::config::SpeakerConfig;

/// A BGP speaker without a network. One per node.
#[derive(Debug)]
pub struct Speaker {
    config: SpeakerConfig,
    conns: u64,
}

impl Speaker {
    /// A speaker that begins with this configuration at `now`. `seed` feeds the jitter of timers (RFC 4271 §10): any
    /// number that differs between nodes and starts.
    pub fn new(config: SpeakerConfig, now: Time, seed: u64) -> Speaker {
        let _ = (now, seed);
        Speaker { config, conns: 0 }
    }

    /// A name for a connection that was just accepted, for [`Input::Accepted`].
    pub fn new_conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId(self.conns)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Time, input: Input) {
        let _ = now;
        if let Input::Configure(config) = input {
            self.config = *config;
        }
    }

    /// Time has passed: does what is due by `now`. Cheap when nothing is.
    pub fn tick(&mut self, now: Time) {
        let _ = now;
    }

    /// When [`Speaker::tick`] is to be called next, if nothing else happens.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The next thing to do or to know. Work on routes is done in here, some thousand prefixes at a call, so that an
    /// owner who looks at its inputs now and then between calls is never late with a KEEPALIVE.
    pub fn poll(&mut self, now: Time) -> Option<Output> {
        let _ = now;
        None
    }

    /// What is in force.
    pub fn config(&self) -> &SpeakerConfig {
        &self.config
    }
}
