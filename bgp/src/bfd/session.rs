//! One BFD session: the state machine and the timers of RFC 5880 §6, asynchronous mode, active role.
//!
//! Demand mode, echo and authentication are not offered. The peer's wish for demand mode is honoured.

use std::time::Duration;

use model::Time;
use model::api::show::{BfdState, BfdView};
use model::object::GoDuration;

use super::packet::{Diagnostic, Packet};
use super::{Config, Fall};
use crate::session::Jitter;

/// The shortest interval of a session that is not Up (RFC 5880 §6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// One session. Its timers are [`Session::deadline`]s; its packets are asked for by [`Session::due`].
#[derive(Debug)]
pub(super) struct Session {
    config: Config,
    discriminator: u32,
    state: BfdState,
    diagnostic: Diagnostic,
    /// What the peer said last; none before anything is heard, and again after silence.
    remote: Option<Remote>,
    polling: Polling,
    /// The intervals that timers go by: those we say, except that what would hurt the peer waits for its Final.
    in_force: Intervals,
    last_transmit: Option<Time>,
    next_transmit: Option<Time>,
    /// When silence will have lasted for the detection time.
    expiry: Option<Time>,
    /// When a session that was taken away is forgotten.
    forget: Option<Time>,
    up_count: u64,
}

/// What the peer's last packet said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remote {
    discriminator: u32,
    state: BfdState,
    diagnostic: Diagnostic,
    min_tx: Duration,
    min_rx: Duration,
    multiplier: u8,
    demand: bool,
}

/// bfd.DesiredMinTxInterval and bfd.RequiredMinRxInterval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Intervals {
    min_tx: Duration,
    min_rx: Duration,
}

/// The Poll Sequence (RFC 5880 §6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Polling {
    Still,
    UnderWay,
    /// Something changed meanwhile: the Final to come may answer to what we said before.
    ToRepeat,
}

/// What a packet or the time led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// To be sent at once, whatever the timers say.
    pub reply: Option<Packet>,
    /// The session was Up and is no more.
    pub fall: Option<Fall>,
}

impl Session {
    /// A session that is Down and begins to send.
    pub(super) fn new(now: Time, config: Config, discriminator: u32) -> Session {
        let mut session = Session {
            config,
            discriminator,
            state: BfdState::Down,
            diagnostic: Diagnostic::NONE,
            remote: None,
            polling: Polling::Still,
            in_force: Intervals { min_tx: config.min_tx, min_rx: config.min_rx },
            last_transmit: None,
            next_transmit: Some(now),
            expiry: None,
            forget: None,
            up_count: 0,
        };
        session.in_force = session.said();
        session
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }
    pub(super) fn state(&self) -> BfdState {
        self.state
    }
    pub(super) fn discriminator(&self) -> u32 {
        self.discriminator
    }

    /// The earliest of the timers.
    pub(super) fn deadline(&self) -> Option<Time> {
        [self.next_transmit, self.expiry, self.forget].into_iter().flatten().min()
    }

    /// Whether a session that was taken away has told the peer so for long enough.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.forget.is_some_and(|at| at <= now)
    }

    /// New timers (RFC 5880 §6.8.3). The session stays as it is; while Up, the peer is polled.
    pub(super) fn reconfigure(&mut self, now: Time, config: Config, jitter: &mut Jitter) {
        let before = self.said();
        self.config = config;
        self.forget = None;
        if self.state == BfdState::AdminDown {
            self.enter(now, BfdState::Down, Diagnostic::NONE);
        }
        if self.said() != before {
            self.intervals_changed(now, jitter);
        }
    }

    /// The session is taken away: the peer is told AdminDown (RFC 5880 §6.8.16), lest it take the silence for a failure.
    pub(super) fn retire(&mut self, now: Time) {
        let heard_within = self.remote.map_or(Duration::ZERO, |remote| SLOW.max(remote.min_rx));
        self.enter(now, BfdState::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN);
        self.expiry = None;
        self.forget = Some(now + heard_within * u32::from(self.config.multiplier));
    }

    /// A packet that was found to be for this session (RFC 5880 §6.8.6, from "set bfd.RemoteDiscr" on).
    pub(super) fn receive(&mut self, now: Time, packet: &Packet, jitter: &mut Jitter) -> Outcome {
        let before = self.transmit_interval();
        self.remote = Some(Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_tx: Duration::from_micros(packet.min_tx.into()),
            min_rx: Duration::from_micros(packet.min_rx.into()),
            multiplier: packet.multiplier,
            demand: packet.demand,
        });
        if packet.fin {
            self.polled(now);
        }
        if self.state == BfdState::AdminDown {
            return Outcome::default();
        }
        let fall = self.step(now, packet, jitter);
        self.expiry = self.detection_time().map(|time| now + time);
        if self.transmit_interval() != before {
            self.pace(now, jitter);
        }
        let reply = packet.poll.then(|| Packet { poll: false, fin: true, ..self.packet() });
        Outcome { reply, fall }
    }

    /// The state machine (RFC 5880 §6.2, §6.8.6).
    fn step(&mut self, now: Time, packet: &Packet, jitter: &mut Jitter) -> Option<Fall> {
        use BfdState::{AdminDown, Down, Init, Up};
        match (self.state, packet.state) {
            (Down, Down) => self.enter(now, Init, self.diagnostic),
            (Down, Init) | (Init, Init | Up) => {
                self.enter(now, Up, Diagnostic::NONE);
                self.up_count += 1;
                if self.said() != self.in_force {
                    self.intervals_changed(now, jitter);
                }
            }
            (Init, AdminDown) => self.enter(now, Down, Diagnostic::NEIGHBOR_DOWN),
            (Up, Down | AdminDown) => {
                self.enter(now, Down, Diagnostic::NEIGHBOR_DOWN);
                return Some(match packet.state {
                    AdminDown => Fall::AdminDown,
                    _ => Fall::Signaled(packet.diagnostic),
                });
            }
            (AdminDown, _) | (Down, AdminDown | Up) | (Init, Down) | (Up, Init | Up) => {}
        }
        None
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Time) -> Option<Fall> {
        if self.expiry.is_none_or(|expiry| expiry > now) {
            return None;
        }
        let fall = (self.state == BfdState::Up).then(|| Fall::Silence(self.detection_time().unwrap_or_default()));
        if matches!(self.state, BfdState::Init | BfdState::Up) {
            self.enter(now, BfdState::Down, Diagnostic::DETECTION_TIME_EXPIRED);
        }
        // Also bfd.RemoteDiscr (RFC 5880 §6.8.1). All it said goes: it may be another by now, or have been told to wait.
        (self.remote, self.expiry) = (None, None);
        self.next_transmit = Some(self.next_transmit.unwrap_or(now));
        fall
    }

    /// The packet that is to be sent by now, if one is.
    pub(super) fn due(&mut self, now: Time, jitter: &mut Jitter) -> Option<Packet> {
        if self.next_transmit.is_none_or(|at| at > now) {
            return None;
        }
        self.last_transmit = Some(now);
        self.pace(now, jitter);
        Some(self.packet())
    }

    /// What a packet says now.
    fn packet(&self) -> Packet {
        let said = self.said();
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling != Polling::Still,
            fin: false,
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.map_or(0, |remote| remote.discriminator),
            min_tx: micros(said.min_tx),
            min_rx: micros(said.min_rx),
            min_echo_rx: 0,
        }
    }

    /// What we say of our intervals.
    fn said(&self) -> Intervals {
        let Config { min_tx, min_rx, .. } = self.config;
        match self.state {
            BfdState::Up => Intervals { min_tx, min_rx },
            _ => Intervals { min_tx: min_tx.max(SLOW), min_rx },
        }
    }

    fn enter(&mut self, now: Time, state: BfdState, diagnostic: Diagnostic) {
        (self.state, self.diagnostic) = (state, diagnostic);
        if state != BfdState::Up {
            self.polling = Polling::Still;
            self.in_force = self.said();
        }
        // News do not wait for the timer (RFC 5880 §6.8.7).
        self.next_transmit = Some(now);
    }

    /// What we say is new. While Up the peer has to be polled, and must not suffer before it has answered: we send no
    /// more rarely, and expect nothing more often, than it knows (RFC 5880 §6.8.3).
    fn intervals_changed(&mut self, now: Time, jitter: &mut Jitter) {
        let said = self.said();
        if self.state == BfdState::Up {
            self.in_force = Intervals {
                min_tx: self.in_force.min_tx.min(said.min_tx),
                min_rx: self.in_force.min_rx.max(said.min_rx),
            };
            self.polling = match self.polling {
                Polling::Still => Polling::UnderWay,
                Polling::UnderWay | Polling::ToRepeat => Polling::ToRepeat,
            };
        } else {
            self.in_force = said;
        }
        self.pace(now, jitter);
    }

    /// The peer answered the poll.
    fn polled(&mut self, now: Time) {
        match self.polling {
            Polling::Still => {}
            Polling::UnderWay => {
                self.polling = Polling::Still;
                self.in_force = self.said();
            }
            Polling::ToRepeat => {
                self.polling = Polling::UnderWay;
                self.next_transmit = Some(now);
            }
        }
    }

    /// How often to send, before jitter; none if the peer wants nothing periodically (RFC 5880 §6.8.7).
    fn transmit_interval(&self) -> Option<Duration> {
        let Some(remote) = &self.remote else { return Some(self.in_force.min_tx) };
        let demand = remote.demand && (self.state, remote.state) == (BfdState::Up, BfdState::Up);
        let silent = remote.min_rx.is_zero() || (demand && self.polling == Polling::Still);
        (!silent).then(|| self.in_force.min_tx.max(remote.min_rx))
    }

    /// How long the peer may be silent (RFC 5880 §6.8.4).
    fn detection_time(&self) -> Option<Duration> {
        let remote = self.remote?;
        Some(self.in_force.min_rx.max(remote.min_tx).saturating_mul(remote.multiplier.into()))
    }

    /// Sets the transmission timer by the interval now in force. A packet that is due at once stays so.
    fn pace(&mut self, now: Time, jitter: &mut Jitter) {
        let at_once = self.next_transmit.is_some_and(|at| at <= now) && self.last_transmit != Some(now);
        if !at_once {
            let interval = self.transmit_interval();
            let jittered = interval.map(|interval| jittered(interval, self.config.multiplier, jitter));
            self.next_transmit = jittered.map(|interval| (self.last_transmit.unwrap_or(now) + interval).max(now));
        }
    }

    /// What `margayctl` shows.
    pub(super) fn view(&self) -> BfdView {
        let (said, remote) = (self.said(), self.remote.as_ref());
        BfdView {
            state: self.state,
            remote_state: remote.map(|r| r.state),
            diag: self.diagnostic.to_string(),
            remote_diag: remote.map(|r| r.diagnostic.to_string()),
            min_tx_interval: GoDuration(said.min_tx),
            min_rx_interval: GoDuration(said.min_rx),
            multiplier: self.config.multiplier,
            remote_min_tx_interval: remote.map(|r| GoDuration(r.min_tx)),
            remote_min_rx_interval: remote.map(|r| GoDuration(r.min_rx)),
            remote_multiplier: remote.map(|r| r.multiplier),
            tx_interval: self.transmit_interval().map(GoDuration),
            detection_time: self.detection_time().map(GoDuration),
            discriminator: self.discriminator,
            remote_discriminator: remote.map(|r| r.discriminator),
            up_count: self.up_count,
        }
    }
}

/// 75 to 100 per cent of an interval; at most 90 where a single loss counts (RFC 5880 §6.8.7).
pub(super) fn jittered(interval: Duration, multiplier: u8, jitter: &mut Jitter) -> Duration {
    let most = if multiplier == 1 { 90 } else { 100 };
    let percent = 75 + jitter.next() % (most - 75 + 1);
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX / 100);
    Duration::from_micros(micros.saturating_mul(percent) / 100)
}
