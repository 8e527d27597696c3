//! The BFD thread: receives, looks at the clock, sends; then waits for a socket or the next timer.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bgp::bfd::{Arrival, Distance, Output, Sessions};
use model::api::show::{BfdState, BfdView};
use model::{Family, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;
use tracing::{debug, info, warn};

use super::Peering;
use super::board::{Board, News};
use super::kernel::{self, Receiver};

/// Datagrams taken from one socket before the timers have their turn, which a flood must not keep from them.
const BURST: usize = 256;
/// How often what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How soon news are posted that somebody was just reading.
const SOON: Duration = Duration::from_millis(1);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The sessions to have from now on.
    Want(BTreeMap<IpAddr, Peering>),
    /// Tell the peers AdminDown, and end.
    End,
}

pub(super) struct Thread {
    orders: mpsc::Receiver<Order>,
    bell: UnixStream,
    board: Arc<Board>,
    news: News,
    sessions: Sessions,
    peerings: BTreeMap<IpAddr, Peering>,
    /// One for each session; opened when it first sends.
    senders: BTreeMap<IpAddr, Socket>,
    /// Of the families and kinds that sessions need.
    receivers: BTreeMap<(Family, Distance), Receiver>,
    /// Where receiving failed, and why.
    problems: BTreeMap<(Family, Distance), String>,
    /// When to look at those again.
    retry_at: Instant,
    /// As was last logged.
    states: BTreeMap<IpAddr, BfdState>,
    start: Instant,
}

/// Whether to go on.
enum Next {
    Wait,
    End,
}

impl Thread {
    pub(super) fn new(orders: mpsc::Receiver<Order>, bell: UnixStream, board: Arc<Board>) -> Thread {
        Thread {
            orders,
            bell,
            board,
            news: News::default(),
            sessions: Sessions::new(seed()),
            peerings: BTreeMap::new(),
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            problems: BTreeMap::new(),
            retry_at: Instant::now(),
            states: BTreeMap::new(),
            start: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        debug!(priority = kernel::hurry(), "BFD starts");
        while let Next::Wait = self.obey() {
            // What has come is heard before anybody is found silent: this thread, too, may have been kept waiting.
            self.receive();
            let now = self.now();
            self.sessions.tick(now);
            self.outputs();
            let posted = self.board.post(&mut self.news);
            let deadline = self.sessions.deadline().map(|at| at.since(self.now()));
            let retry = (!self.problems.is_empty()).then(|| self.retry_at.saturating_duration_since(Instant::now()));
            let soon = posted.is_err().then_some(SOON);
            self.wait([deadline, retry, soon].into_iter().flatten().min());
        }
        let now = self.now();
        self.sessions.retire(now);
        self.outputs();
    }

    fn now(&self) -> Time {
        Time::START + self.start.elapsed()
    }

    fn obey(&mut self) -> Next {
        // Rung for each order; all are taken.
        while matches!(self.bell.read(&mut [0; 64]), Ok(1..)) {}
        loop {
            match self.orders.try_recv() {
                Ok(Order::Want(wanted)) => self.want(wanted),
                Ok(Order::End) | Err(mpsc::TryRecvError::Disconnected) => return Next::End,
                Err(mpsc::TryRecvError::Empty) => break,
            }
        }
        if !self.problems.is_empty() && self.retry_at <= Instant::now() {
            self.retry_at = Instant::now() + RETRY;
            self.problems.keys().copied().collect::<Vec<_>>().into_iter().for_each(|place| self.open(place));
            self.tell_problems();
        }
        Next::Wait
    }

    fn want(&mut self, wanted: BTreeMap<IpAddr, Peering>) {
        for (peer, peering) in &wanted {
            if self.peerings.get(peer).is_some_and(|old| old.local != peering.local) {
                self.senders.remove(peer);
            }
        }
        let configs = wanted.iter().map(|(peer, peering)| (*peer, peering.config)).collect();
        let places: BTreeSet<(Family, Distance)> =
            wanted.iter().map(|(peer, peering)| (Family::of(*peer), peering.config.distance)).collect();
        self.receivers.retain(|place, _| places.contains(place));
        self.problems.retain(|place, _| places.contains(place));
        places.into_iter().for_each(|place| self.open(place));
        self.retry_at = Instant::now() + RETRY;
        self.tell_problems();
        // A session that goes still speaks from the address it had.
        self.peerings.extend(wanted);
        let now = self.now();
        self.sessions.configure(now, &configs);
        self.peerings.retain(|peer, _| configs.contains_key(peer) || self.senders.contains_key(peer));
        self.outputs();
    }

    fn tell_problems(&mut self) {
        self.news.problems = Some(self.problems.values().cloned().collect());
    }

    fn open(&mut self, place: (Family, Distance)) {
        if self.receivers.contains_key(&place) {
            return;
        }
        match Receiver::open(place.0, place.1) {
            Ok(receiver) => {
                self.receivers.insert(place, receiver);
                self.problems.remove(&place);
            }
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse => ": another BFD daemon runs on this node",
                    _ => "",
                };
                let problem = format!("cannot receive BFD on UDP port {}: {error}{hint}", place.1.port());
                if self.problems.insert(place, problem.clone()).as_ref() != Some(&problem) {
                    warn!("{problem}");
                }
            }
        }
    }

    fn receive(&mut self) {
        let now = Time::START + self.start.elapsed();
        for ((_, distance), receiver) in &self.receivers {
            for _ in 0..BURST {
                let datagram = match receiver.next() {
                    Ok(Some(datagram)) => datagram,
                    Ok(None) => break,
                    Err(error) => {
                        debug!(%error, "cannot receive");
                        break;
                    }
                };
                let arrival = Arrival { from: datagram.from, distance: *distance, ttl: datagram.ttl };
                if let Err(reason) = self.sessions.receive(now, arrival, datagram.payload()) {
                    debug!(from = %datagram.from, %reason, "BFD packet discarded");
                }
            }
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.sessions.poll() {
            match output {
                Output::Transmit { to, distance, octets } => {
                    // The path is what is being watched: a packet that cannot be sent is a packet lost.
                    if let Err(error) = self.transmit(to, distance, &octets) {
                        debug!(peer = %to, %error, "BFD packet not sent");
                    }
                }
                Output::Changed { peer, view } => {
                    self.log(peer, &view);
                    self.news.views.insert(peer, Some(*view));
                }
                Output::Fell { peer, fall } => {
                    info!(%peer, reason = %fall, "BFD session fell");
                    self.news.falls.fell(peer, fall);
                }
                Output::Gone { peer } => {
                    self.senders.remove(&peer);
                    self.states.remove(&peer);
                    self.news.views.insert(peer, None);
                }
            }
        }
    }

    fn transmit(&mut self, to: IpAddr, distance: Distance, octets: &[u8]) -> io::Result<()> {
        if !self.senders.contains_key(&to) {
            let local = self.peerings.get(&to).and_then(|peering| peering.local);
            self.senders.insert(to, kernel::sender(Family::of(to), local)?);
        }
        let Some(socket) = self.senders.get(&to) else { return Ok(()) };
        socket.send_to(octets, &SocketAddr::new(to, distance.port()).into()).map(|_| ())
    }

    fn log(&mut self, peer: IpAddr, view: &BfdView) {
        if self.states.insert(peer, view.state) == Some(view.state) {
            return;
        }
        match view.state {
            BfdState::Up => info!(%peer, "BFD session is up"),
            state => debug!(%peer, state = state.name(), diag = view.diag, "BFD session is not up"),
        }
    }

    fn wait(&self, timeout: Option<Duration>) {
        let mut descriptors = vec![PollFd::new(&self.bell, PollFlags::IN)];
        descriptors.extend(self.receivers.values().map(|receiver| PollFd::new(receiver, PollFlags::IN)));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                warn!(%error, "BFD cannot wait for its sockets");
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// Differs between nodes and starts.
fn seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
