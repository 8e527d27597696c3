//! The speaker: sessions and tables as one value that is fed with inputs and asked for outputs.
//!
//! It reads no clock and touches no socket. Its owner calls [`Speaker::handle`] with what happened,
//! [`Speaker::tick`] when [`Speaker::deadline`] has come, and after either [`Speaker::poll`] until it returns `None`.

mod act;
mod configure;
mod crowding;
mod drain;
mod dump;
mod dynamic;
mod filter_test;
mod io;
mod learn;
mod long_lived;
mod monitor;
mod own_next_hop;
mod peer;
mod refresh;
mod rehearse;
mod reset;
mod restart;
mod routes;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hashbrown::HashMap;
use model::{Prefix, Time};

pub(crate) use self::configure::local;
pub use self::crowding::{Excess, MaxPrefixes};
use self::drain::Draining;
pub use self::dump::{DumpPiece, PeersChanged};
pub use self::dynamic::Refused;
pub use self::io::{
    Best, CloseReason, ConnId, ConnectError, Dial, Input, NextHop, NextHops, Output, PeerChange, RouteChange,
};
use self::monitor::Monitor;
pub use self::monitor::{StationEnd, StationInput, StationOutput, StationState, StationStatus};
use self::peer::{Conn, Peer};
use self::rehearse::Mode;
pub use self::rehearse::{Named, Rehearsal, Rehearsed};
pub use self::reset::ResetError;
use self::restart::Deferral;
pub use self::view::{Counters, PeerStatus, Why};
use crate::config::{PeerKey, SpeakerConfig, Start};
use crate::rib::{Emit, Hold, Shared, Source, Unicast};
use crate::session::{Jitter, Local};
use crate::wire::{Prefix4, Prefix6};

/// A tick so late says that the owner could not run.
const STALL: Duration = Duration::from_secs(1);

/// A BGP speaker without a network. One per node.
#[derive(Debug, Clone)]
pub struct Speaker {
    config: SpeakerConfig,
    local: Local,
    /// By number; numbers are used again. The first place is this node's and always empty.
    peers: Vec<Option<Peer>>,
    by_key: BTreeMap<PeerKey, Source>,
    by_conn: HashMap<ConnId, Conn>,
    /// The number of the connection named last.
    conns: u64,
    shared: Shared,
    ipv4: Unicast<Prefix4>,
    ipv6: Unicast<Prefix6>,
    /// When to look at which peer. May be too early, never too late.
    timers: BTreeSet<(Time, Source)>,
    deferral: Deferral,
    drain: Draining,
    jitter: Jitter,
    /// How many peers each listen range has.
    born: BTreeMap<Prefix, usize>,
    /// Peers from listen ranges of which nothing may be left.
    fading: Vec<Source>,
    monitor: Monitor,
    outputs: VecDeque<Output>,
    /// Empty but for its room, which the next part of the work uses again.
    emits: Vec<Emit>,
    mode: Mode,
}

impl Speaker {
    /// A speaker that begins with this configuration at `now`. `seed` feeds the jitter of timers (RFC 4271 §10): any
    /// number that differs between nodes and starts.
    pub fn new(config: SpeakerConfig, now: Time, seed: u64) -> Speaker {
        let until = now + config.graceful_restart.deferral;
        let start = config.graceful_restart.start;
        let hold = match start {
            Start::Fresh => Hold::Nothing,
            Start::Restarted => Hold::Learned,
        };
        let empty = SpeakerConfig::new(config.router_id, config.local_as);
        let mut speaker = Speaker {
            local: configure::local(&config, start),
            peers: vec![None],
            by_key: BTreeMap::new(),
            by_conn: HashMap::new(),
            conns: 0,
            shared: Shared::new(&config, hold),
            ipv4: Unicast::default(),
            ipv6: Unicast::default(),
            timers: BTreeSet::new(),
            deferral: Deferral::Waiting { until },
            drain: Draining::No,
            jitter: Jitter::new(seed),
            born: BTreeMap::new(),
            fading: Vec::new(),
            monitor: Monitor::default(),
            outputs: VecDeque::new(),
            emits: Vec::new(),
            mode: Mode::Live,
            config: empty,
        };
        speaker.configure(now, config);
        speaker
    }

    /// A name for a connection that was just accepted, for [`Input::Accepted`].
    pub fn new_conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId(self.conns)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Configure(config) => self.configure(now, *config),
            Input::Connected { conn, local, remote } => {
                self.trace_opened(conn, remote);
                self.with_conn(now, conn, |fsm, env| fsm.connected(env, conn, local));
            }
            Input::ConnectFailed { conn, reason } => {
                self.with_conn(now, conn, |fsm, env| fsm.connect_failed(env, conn, reason));
                self.by_conn.remove(&conn);
            }
            Input::Accepted { conn, local, remote } => {
                self.trace_opened(conn, remote);
                self.accepted(now, conn, local, remote);
            }
            Input::Message { conn, message } => self.message(now, conn, message),
            Input::DecodeError { conn, notification } => {
                self.with_conn(now, conn, |fsm, env| fsm.undecodable(env, conn, &notification));
            }
            Input::Closed { conn, reason } => {
                self.with_conn(now, conn, |fsm, env| fsm.closed(env, conn, reason));
                self.by_conn.remove(&conn);
            }
            Input::Drained { conn, octets } => self.drained(now, conn, octets),
            Input::BfdFell { address, fall } => self.bfd_fell(now, address, fall),
            Input::Station { station, input } => self.station(now, station, input),
            Input::Refresh { peer } => self.ask_again(now, peer),
            Input::Shutdown { message } => self.shut_down(now, &message),
        }
        self.bury();
        self.end_deferral_if_due(now);
    }

    /// Time has passed: does what is due by `now`. Cheap when nothing is.
    ///
    /// A tick that comes much too late (the process was stopped, the machine asleep) does not blame the peers: their
    /// hold timers wait as much longer, for what they have sent is still unread.
    pub fn tick(&mut self, now: Time) {
        let late = self.timers.first().map_or(Duration::ZERO, |(due, _)| now.since(*due));
        if late >= STALL {
            self.peers.iter_mut().flatten().for_each(|peer| peer.fsm.excuse(late));
        }
        while let Some(&(due, source)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            if let Some(peer) = self.peer_mut(source) {
                peer.armed = None;
            }
            self.tick_peer(now, source);
        }
        self.report_statistics_if_due(now);
        self.end_drain_if_due(now);
        self.bury();
        self.end_deferral_if_due(now);
    }

    /// When [`Speaker::tick`] is to be called next, if nothing else happens.
    pub fn deadline(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(due, _)| *due);
        [timer, self.deferral.deadline(), self.drain.deadline(), self.monitor.deadline()].into_iter().flatten().min()
    }

    /// The next thing to do or to know. Work on routes is done in here, some thousand prefixes at a call, so that an
    /// owner who looks at its inputs now and then between calls is never late with a KEEPALIVE.
    pub fn poll(&mut self, now: Time) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            self.tell_sight(now);
            if self.outputs.is_empty() && !self.work(now) && !self.dump_some(now) {
                // Not before: the next part of the work would only have to make room again.
                self.outputs.shrink_to(64);
                self.emits.shrink_to(64);
                return None;
            }
        }
    }

    /// What is in force.
    pub fn config(&self) -> &SpeakerConfig {
        &self.config
    }
}
