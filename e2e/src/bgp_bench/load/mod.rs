//! The load: feeders, receivers and a watch on the kernel's routes in one thread, and so under one clock.

mod kernel;
mod seen;
mod session;
mod table;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) use self::kernel::KernelWatch;
pub(super) use self::session::address;
use self::session::{Session, State};
pub use self::table::Shape;
use self::table::{Feeder, announcements, withdrawals};
use super::scenario::{Scenario, Step, Watch};

/// A session that was refused is dialled again after this time.
const REDIAL: Duration = Duration::from_millis(300);
/// And one that got no answer after this, as routers do with a short ConnectRetryTime.
const UNANSWERED: Duration = Duration::from_secs(5);
/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// From the first octet sent to the last prefix that a receiver counted; none where nobody receives.
    pub received: Option<f64>,
    /// The same to the last route in the kernel; none where it is not watched.
    pub in_kernel: Option<f64>,
    /// Sessions that ended, and not by the load's will.
    pub lost: Vec<String>,
    /// The longest time in which a session heard nothing from the contestant, in seconds.
    pub silence: f64,
}

/// One contestant's load.
#[derive(Debug)]
pub(super) struct Load<'a> {
    scenario: &'a Scenario,
    to: SocketAddr,
    /// Feeders, then receivers.
    sessions: Vec<Session>,
    kernel: Option<KernelWatch>,
    buffer: Vec<u8>,
}

impl<'a> Load<'a> {
    /// Dials nobody yet. To be made and used in the namespace of the load.
    pub fn new(scenario: &'a Scenario, to: SocketAddr, kernel: Option<KernelWatch>) -> Load<'a> {
        let feeders = scenario.feeders.len() as u32;
        let share = |number: u32| (u64::from(scenario.prefixes) * u64::from(number) / u64::from(feeders)) as u32;
        let room = scenario.prefixes as usize;
        let feeder = |peer: &super::scenario::Peer| Feeder {
            address: peer.address,
            asn: peer.asn,
            peer_as: super::scenario::LOCAL_AS,
        };
        let feeding = scenario
            .feeders
            .iter()
            .zip(0..)
            .map(|(peer, number)| Session::new(feeder(peer), share(number)..share(number + 1), 0, scenario.hold));
        let receiving = scenario.receivers.iter().map(|peer| Session::new(feeder(peer), 0..0, room, scenario.hold));
        Load { scenario, to, sessions: feeding.chain(receiving).collect(), kernel, buffer: Vec::new() }
    }

    /// All sessions at once, until all are established: seconds.
    pub fn connect(&mut self, within: Duration) -> Result<f64> {
        let start = Instant::now();
        for session in &mut self.sessions {
            session.dial(self.to)?;
        }
        let mut dialled = start;
        loop {
            self.turn(Duration::from_millis(20))?;
            let opening = self.sessions.iter().filter(|session| !session.is_established()).count();
            if opening == 0 {
                return Ok(start.elapsed().as_secs_f64());
            }
            if start.elapsed() > within {
                let why = self.sessions.iter().find_map(|session| match &session.state {
                    State::Lost(why) => Some(why.clone()),
                    _ => None,
                });
                bail!("{opening} sessions are not established: {}", why.unwrap_or_else(|| "no answer".into()));
            }
            if dialled.elapsed() > REDIAL {
                dialled = Instant::now();
                for session in self.sessions.iter_mut().filter(|session| session.is_to_be_dialled(UNANSWERED)) {
                    session.dial(self.to)?;
                }
            }
        }
    }

    /// Keeps the sessions up, and nothing more.
    pub fn idle(&mut self, period: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < period {
            self.turn(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// One step, until its end is seen everywhere or `within` is over, which is an error.
    pub fn step(&mut self, step: Step, within: Duration) -> Result<Outcome> {
        let (feeders, shape) = (self.scenario.feeders.len(), self.scenario.shape);
        let mut wanted = self.scenario.prefixes as usize;
        let feeding = self.sessions.iter().take(feeders);
        let mut words: Vec<Vec<u8>> = Vec::new();
        match step {
            Step::Announce => words = feeding.map(|s| announcements(shape, s.feeder, s.slice.clone())).collect(),
            Step::Withdraw => {
                words = feeding.map(|s| withdrawals(shape, s.slice.clone())).collect();
                wanted = 0;
            }
            Step::LoseOne => wanted -= self.sessions.first().map_or(0, |session| session.slice.len()),
            Step::LoseAll => wanted = 0,
            Step::Idle { .. } => bail!("an idle step has no end to see"),
        }
        let start = Instant::now();
        for session in &mut self.sessions {
            session.count_silence_from_now();
            session.seen.expect(wanted, start);
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.seen.expect(wanted, start);
        }
        for (session, words) in self.sessions.iter_mut().zip(words) {
            session.say(words);
        }
        let closing = match step {
            Step::LoseOne => 1,
            Step::LoseAll => feeders,
            _ => 0,
        };
        self.sessions.iter_mut().take(closing).for_each(Session::close);
        while !self.is_complete() {
            self.turn(Duration::from_millis(20))?;
            if start.elapsed() > within {
                bail!("{step} was not over after {} s: {}", within.as_secs(), self.missing(wanted));
            }
        }
        let since = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(start).as_secs_f64());
        let receivers = self.sessions.iter().skip(feeders);
        let now = Instant::now();
        let silences = self.sessions.iter().filter(|s| s.is_established()).map(|s| s.longest_silence(now));
        Ok(Outcome {
            received: since(receivers.filter_map(|session| session.seen.complete()).max()),
            in_kernel: since(self.kernel.as_ref().and_then(|kernel| kernel.seen.complete())),
            lost: self.lost(),
            silence: silences.max().unwrap_or_default().as_secs_f64(),
        })
    }

    fn is_complete(&self) -> bool {
        let receivers = self.sessions.iter().skip(self.scenario.feeders.len());
        let received = self.scenario.watch == Watch::Kernel || receivers.clone().all(|s| s.seen.complete().is_some());
        received && self.kernel.as_ref().is_none_or(|kernel| kernel.seen.complete().is_some())
    }

    fn missing(&self, wanted: usize) -> String {
        let receivers = self.sessions.iter().skip(self.scenario.feeders.len());
        let counts = receivers.map(|session| session.seen.count());
        let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
        let kernel = self.kernel.as_ref().map_or(String::new(), |k| format!(", {} in the kernel", k.seen.count()));
        let lost = self.lost();
        format!("{least} to {most} of {wanted} prefixes at the receivers{kernel}; sessions lost: {lost:?}")
    }

    fn lost(&self) -> Vec<String> {
        let why = |session: &Session| match &session.state {
            State::Lost(why) => Some(format!("{}: {why}", session.feeder.address)),
            _ => None,
        };
        self.sessions.iter().filter_map(why).collect()
    }

    /// Whether the kernel dropped announcements of its routes.
    pub fn is_void(&self) -> bool {
        self.kernel.as_ref().is_some_and(|kernel| kernel.overrun)
    }

    /// Waits for any socket, at most so long, and does what is ready.
    fn turn(&mut self, at_most: Duration) -> Result<()> {
        let now = Instant::now();
        self.sessions.iter_mut().for_each(|session| session.keep_alive(now));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
        let (ready, kernel_is_ready) = {
            let open: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].poll().is_some()).collect();
            let mut polled: Vec<PollFd<'_>> = open.iter().filter_map(|at| self.sessions[*at].poll()).collect();
            if let Some(kernel) = &self.kernel {
                polled.push(PollFd::from_borrowed_fd(kernel.as_fd(), PollFlags::IN));
            }
            poll(&mut polled, Some(&timeout))?;
            let ready: Vec<(usize, PollFlags)> =
                open.iter().zip(&polled).map(|(at, polled)| (*at, polled.revents())).collect();
            let kernel = polled.get(open.len()).is_some_and(|polled| !polled.revents().is_empty());
            (ready, kernel)
        };
        for (at, flags) in ready.into_iter().filter(|(_, flags)| !flags.is_empty()) {
            self.sessions[at].go_on(flags, self.scenario.shape, &mut self.buffer);
        }
        match &mut self.kernel {
            Some(kernel) if kernel_is_ready => kernel.read(self.scenario.shape),
            _ => Ok(()),
        }
    }
}
