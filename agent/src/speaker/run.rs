//! The loop that owns the speaker. It awaits nothing but its inboxes and its timer.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bgp::bfd::Fall;
use bgp::speaker::{
    CloseReason, ConnId, ConnectError, Dial, DumpPiece, Input, Output, PeerChange, ResetError, StationInput,
};
use bgp::wire::{Context, Message, Notification, PeerKind};
use bgp::{PeerConfig, PeerKey, Speaker, SpeakerConfig};
use bytes::Bytes;
use model::api::show::{PeerView, SessionState};
use model::{Asn, Family, Prefix, Time};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::changes::Changes;
use super::connection::Connection;
use super::listen::Listeners;
use super::refused::Refused;
use super::stations::Stations;
use super::{COPIED, Command, Copied, Wanted, dial, sockopt};
use crate::bfd::Bfd;

/// How long to take events in, or to do what the speaker wants, before the other has its turn and the clock is looked
/// at. Far below the shortest keepalive interval, one second.
const TURN: Duration = Duration::from_millis(20);
/// Connections of one peer at a time: one each way, and some that are being closed.
const PER_PEER: usize = 8;
/// How often what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Without anything to wait for.
const NEVER: Duration = Duration::from_secs(3600);
/// How long the last NOTIFICATIONs may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the tasks round the speaker tell it.
pub(super) enum Event {
    /// Somebody connected.
    Accepted { stream: TcpStream, remote: SocketAddr },
    /// A dial came to its end.
    Dialled { conn: ConnId, result: Result<TcpStream, ConnectError> },
    /// Decoded messages, in order.
    Messages { conn: ConnId, messages: Vec<Message> },
    /// What came cannot be decoded.
    Broken { conn: ConnId, notification: Notification },
    /// The kernel took so many octets.
    Drained { conn: ConnId, octets: usize },
    /// The connection is gone.
    Closed { conn: ConnId, reason: CloseReason },
}

/// A connection as the loop sees it. Dropping it gives the connection up.
enum Conn {
    Dialling(AbortHandle),
    Open { remote: SocketAddr, orders: mpsc::UnboundedSender<Bytes>, context: watch::Sender<Context> },
}

pub(super) struct Loop {
    /// None until the first configuration.
    speaker: Option<Speaker>,
    start: Instant,
    conns: HashMap<ConnId, Conn>,
    /// Every task of a dial or a connection: they end with the loop.
    tasks: JoinSet<()>,
    listeners: Listeners,
    bfd: Bfd,
    stations: Stations,
    retry_at: Instant,
    inbox: mpsc::Receiver<Event>,
    /// For the tasks to come.
    sender: mpsc::Sender<Event>,
    changes: Arc<Changes>,
    refused: Arc<Refused>,
    /// What was last logged of each peer.
    said: HashMap<PeerKey, String>,
}

impl Loop {
    pub(super) fn new(changes: Arc<Changes>, refused: Arc<Refused>) -> Loop {
        let (sender, inbox) = mpsc::channel(64);
        let now = Instant::now();
        Loop {
            speaker: None,
            start: now,
            conns: HashMap::new(),
            tasks: JoinSet::new(),
            listeners: Listeners::new(sender.clone()),
            bfd: Bfd::default(),
            stations: Stations::new(),
            retry_at: now + RETRY,
            inbox,
            sender,
            changes,
            refused,
            said: HashMap::new(),
        }
    }

    /// Runs until all handles are gone or one says to shut down.
    pub(super) async fn run(mut self, mut wanted: watch::Receiver<Wanted>, mut commands: mpsc::Receiver<Command>) {
        let mut more = false;
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let wish = wanted.borrow_and_update().clone();
                        self.configure(wish);
                    }
                    Err(_) => return,
                },
                command = commands.recv() => match command {
                    Some(Command::Shutdown { message, done }) => {
                        self.shut_down(message).await;
                        // An error only means that nobody waits any more.
                        return done.send(()).unwrap_or_default();
                    }
                    Some(command) => {
                        // What was wanted before the question was asked counts in its answer.
                        if wanted.has_changed().unwrap_or_default() {
                            let wish = wanted.borrow_and_update().clone();
                            self.configure(wish);
                        }
                        self.answer(command);
                        // However much is asked, the peers are heard in between.
                        let event = self.inbox.try_recv().ok();
                        self.events(event);
                    }
                    None => return,
                },
                falls = self.bfd.falls() => self.fallen(falls),
                (station, input) = self.stations.next() => {
                    self.station(station, input);
                    // However fast a station takes what it is told, the peers are heard in between.
                    let event = self.inbox.try_recv().ok();
                    self.events(event);
                }
                event = self.inbox.recv() => self.events(event),
                () = sleep_until(deadline), if !more => {}
                // Work is left over from the last round: go on with it, after everybody else had a turn.
                () = tokio::task::yield_now(), if more => {}
            }
            self.tick();
            more = self.outputs();
            self.changes.flush();
            while self.tasks.try_join_next().is_some() {}
        }
    }

    fn now(&self) -> Time {
        Time::START + self.start.elapsed()
    }

    fn deadline(&self) -> Instant {
        let speaker = self.speaker.as_ref().and_then(Speaker::deadline);
        let speaker = speaker.map(|time| self.start + Duration::from_micros(time.micros()));
        // Who has nothing to do sleeps: no look at what has not failed.
        let waits = self.listeners.has_problems() || self.refused.is_holding_back() || self.bfd.is_broken();
        let retry = waits.then_some(self.retry_at);
        speaker.into_iter().chain(retry).min().unwrap_or_else(|| Instant::now() + NEVER)
    }

    fn tick(&mut self) {
        let now = self.now();
        if let Some(speaker) = &mut self.speaker {
            speaker.tick(now);
        }
        if Instant::now() >= self.retry_at {
            self.retry_at = Instant::now() + RETRY;
            self.listeners.retry();
            self.bfd.retry();
            self.refused.report();
        }
    }

    fn configure(&mut self, wanted: Wanted) {
        let now = self.now();
        let Some(config) = wanted.config else {
            // Without an identity there is nobody to speak as: whoever was peered with hears a Cease.
            if let Some(speaker) = &mut self.speaker {
                let config = silent(speaker.config());
                speaker.handle(now, Input::Configure(Box::new(config)));
            }
            self.watch_paths();
            return;
        };
        self.listeners.apply(&wanted.listen, &config);
        self.stations.want(&config.monitoring);
        match &mut self.speaker {
            Some(speaker) => speaker.handle(now, Input::Configure(Box::new(config))),
            none => *none = Some(Speaker::new(config, now, seed())),
        }
        self.watch_paths();
    }

    /// Paths to peers are down: what stands on them ends.
    fn fallen(&mut self, falls: Vec<(IpAddr, Fall)>) {
        let now = self.now();
        if let Some(speaker) = &mut self.speaker {
            falls.into_iter().for_each(|(address, fall)| speaker.handle(now, Input::BfdFell { address, fall }));
        }
    }

    fn station(&mut self, station: SocketAddr, input: StationInput) {
        let now = self.now();
        if let Some(speaker) = &mut self.speaker {
            speaker.handle(now, Input::Station { station, input });
        }
    }

    /// This event and some more of those that wait.
    fn events(&mut self, first: Option<Event>) {
        let end = Instant::now() + TURN;
        let mut next = first;
        while let Some(event) = next {
            self.event(event);
            // What is taken out of the inbox is dealt with.
            next = if Instant::now() < end { self.inbox.try_recv().ok() } else { None };
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        let input = match event {
            Event::Accepted { stream, remote } => return self.accepted(stream, remote),
            Event::Dialled { conn, result } => match self.dialled(conn, result) {
                Some(input) => input,
                None => return,
            },
            Event::Messages { conn, messages } => {
                let Some(speaker) = &mut self.speaker else { return };
                for message in messages {
                    speaker.handle(now, Input::Message { conn, message });
                }
                return;
            }
            Event::Broken { conn, notification } => Input::DecodeError { conn, notification },
            Event::Drained { conn, octets } => Input::Drained { conn, octets },
            Event::Closed { conn, reason } => {
                self.conns.remove(&conn);
                Input::Closed { conn, reason }
            }
        };
        if let Some(speaker) = &mut self.speaker {
            speaker.handle(now, input);
        }
    }

    /// Lets a peer in, or closes the connection of a stranger before a single octet of it is read.
    fn accepted(&mut self, stream: TcpStream, remote: SocketAddr) {
        let now = self.now();
        let Some(speaker) = &mut self.speaker else { return };
        // Gone already.
        let Ok(local) = stream.local_addr() else { return };
        let peer = match speaker.admits(local, remote) {
            Ok(peer) => peer,
            Err(why) => return self.refused.count(remote.ip(), &why.to_string()),
        };
        let of_peer = |conn: &&Conn| matches!(conn, Conn::Open { remote: r, .. } if r.ip() == remote.ip());
        if self.conns.values().filter(of_peer).count() >= PER_PEER {
            return self.refused.count(remote.ip(), "too many connections of one peer");
        }
        if let Err(error) = admit(&stream, remote, peer) {
            // It cannot be protected as its configuration wants.
            debug!(%remote, %error, "connection not admitted");
            return self.refused.count(remote.ip(), "its options could not be set");
        }
        let conn = speaker.new_conn();
        speaker.handle(now, Input::Accepted { conn, local, remote });
        self.open(conn, stream, remote);
    }

    fn dialled(&mut self, conn: ConnId, result: Result<TcpStream, ConnectError>) -> Option<Input> {
        // Abandoned meanwhile: the stream is dropped.
        self.conns.remove(&conn)?;
        let ends = |stream: TcpStream| {
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            Ok::<_, io::Error>((stream, local, remote))
        };
        let result = result.and_then(|stream| ends(stream).map_err(|_| ConnectError::Reset));
        Some(match result {
            Ok((stream, local, remote)) => {
                self.open(conn, stream, remote);
                Input::Connected { conn, local, remote }
            }
            Err(reason) => Input::ConnectFailed { conn, reason },
        })
    }

    fn open(&mut self, conn: ConnId, stream: TcpStream, remote: SocketAddr) {
        // Until the OPENs are exchanged only messages come that look alike under any context.
        let (context, latest) = watch::channel(Context::new(PeerKind::External, Asn::TRANS));
        let (orders, queue) = mpsc::unbounded_channel();
        let connection = Connection { conn, context: latest, orders: queue, inbox: self.sender.clone() };
        self.tasks.spawn(connection.serve(stream));
        self.conns.insert(conn, Conn::Open { remote, orders, context });
    }

    /// Does what the speaker wants. True if there may be more to do.
    fn outputs(&mut self) -> bool {
        let begun = Instant::now();
        let mut at = begun;
        while at < begun + TURN {
            let now = Time::START + at.duration_since(self.start);
            let Some(output) = self.speaker.as_mut().and_then(|speaker| speaker.poll(now)) else { return false };
            self.output(output);
            at = Instant::now();
        }
        true
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Connect(dial) => self.connect(dial),
            Output::Close { conn } => {
                if let Some(Conn::Dialling(task)) = self.conns.remove(&conn) {
                    task.abort();
                }
            }
            Output::Send { conn, bytes } => {
                if let Some(Conn::Open { orders, .. }) = self.conns.get(&conn) {
                    // The task may have ended: its last event, that says so, is on its way.
                    drop(orders.send(bytes));
                }
            }
            Output::SetContext { conn, context: new } => {
                if let Some(Conn::Open { context, .. }) = self.conns.get(&conn) {
                    context.send_replace(new);
                }
            }
            Output::Route(change) => self.changes.route(change),
            Output::Station { station, output } => self.stations.order(station, output),
            Output::Peer(change) => {
                self.log_peer(&change);
                self.follow_path(&change);
                self.changes.peer(change);
            }
            Output::InSync => {
                info!("the first routes are complete");
                self.changes.in_sync();
            }
        }
    }

    /// A peer from a listen range has BFD while it is there.
    fn follow_path(&mut self, change: &PeerChange) {
        let Some(speaker) = &self.speaker else { return };
        let came_or_went = matches!(change.state, Some(SessionState::Established) | None);
        let ranged = !speaker.config().peers.contains_key(&change.peer);
        if came_or_went && ranged && speaker.config().ranges.values().any(|range| range.peer().bfd.is_some()) {
            self.watch_paths();
        }
    }

    fn watch_paths(&mut self) {
        if let Some(speaker) = &self.speaker {
            self.bfd.want(speaker.with_configs());
        }
    }

    /// Says what is new: a peer that is away for a night is dialled every few seconds, and said to be away once.
    fn log_peer(&mut self, change: &PeerChange) {
        use model::api::show::SessionState::{Active, Established, Idle};
        let PeerChange { peer, state, reason } = change;
        let said = match state {
            Some(Established) => "up".to_string(),
            Some(_) => format!("down: {reason}"),
            None => "no longer a peer".to_string(),
        };
        let new = self.said.get(peer) != Some(&said);
        // The states in between are on the way to one of these.
        let rests = matches!(state, Some(Idle | Active));
        match state {
            Some(Established) if reason.is_empty() => info!(%peer, "session is up"),
            Some(Established) => warn!(%peer, reason, "session is up"),
            Some(state) if new && rests => info!(%peer, state = state.name(), reason, "session is not up"),
            Some(state) => debug!(%peer, state = state.name(), reason, "session is not up"),
            None => info!(%peer, "no longer a peer"),
        }
        match state {
            Some(Established) => drop(self.said.insert(*peer, said)),
            Some(_) if rests => drop(self.said.insert(*peer, said)),
            Some(_) => {}
            None => drop(self.said.remove(peer)),
        }
    }

    fn connect(&mut self, dial: Dial) {
        let (conn, inbox) = (dial.conn, self.sender.clone());
        let task = self.tasks.spawn(async move {
            let result = dial::dial(dial).await;
            // The receiver is gone only when everything ends.
            drop(inbox.send(Event::Dialled { conn, result }).await);
        });
        self.conns.insert(conn, Conn::Dialling(task));
    }

    /// Answers are not awaited: who asked may be gone.
    fn answer(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Peers { answer } => drop(answer.send(self.peers(now))),
            Command::Routes { question, answer } => {
                let page = self.speaker.as_ref().map(|s| s.routes(&question));
                drop(answer.send(page.unwrap_or_default()));
            }
            Command::FilterTest { question, answer } => {
                let views = self.speaker.as_ref().map(|speaker| speaker.filter_test(&question));
                drop(answer.send(views.unwrap_or_default()));
            }
            Command::Why { prefix, answer } => {
                let why = self.speaker.as_ref().and_then(|speaker| {
                    let exact = speaker.why(prefix).map(|why| (prefix, why));
                    exact.or_else(|| {
                        let covering = speaker.covering(prefix)?;
                        Some((covering, speaker.why(covering)?))
                    })
                });
                drop(answer.send(why));
            }
            Command::Dump { after, answer } => {
                let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let time = u32::try_from(today.as_secs()).unwrap_or(u32::MAX);
                let nothing = || Ok(DumpPiece { octets: Vec::new(), next: None });
                drop(answer.send(self.speaker.as_ref().map_or_else(nothing, |s| s.dump(after.as_ref(), time))));
            }
            Command::Stations { answer } => {
                let statuses = self.speaker.as_ref().map(Speaker::stations).unwrap_or_default();
                drop(answer.send(self.stations.views(statuses, rfc3339)));
            }
            Command::Problems { answer } => {
                drop(answer.send([self.listeners.problems(), self.bfd.problems()].concat()));
            }
            Command::Drained { answer } => drop(answer.send(self.speaker.as_ref().is_some_and(Speaker::is_drained))),
            Command::Refresh { peer } => {
                if let Some(speaker) = &mut self.speaker {
                    speaker.handle(now, Input::Refresh { peer });
                }
            }
            // Who asked may be gone.
            Command::Rehearse { config, answer } => drop(answer.send(self.copied(config, now))),
            Command::Reset { reset, answer } => {
                let none = || Err(ResetError::NoPeer(reset.peer.clone()));
                drop(answer.send(self.speaker.as_mut().map_or_else(none, |speaker| speaker.reset(now, &reset))));
            }
            Command::Shutdown { .. } => {}
        }
    }

    /// The speaker as it is, for a rehearsal of this configuration, or of none.
    fn copied(&self, config: Option<Box<SpeakerConfig>>, now: Time) -> Copied {
        let (speaker, config) = match (&self.speaker, config) {
            (None, None) => return Copied::Nothing,
            (None, Some(config)) => {
                let empty = SpeakerConfig::new(config.router_id, config.local_as);
                (Speaker::new(empty, now, 0), config)
            }
            (Some(speaker), config) => {
                let config = config.unwrap_or_else(|| Box::new(silent(speaker.config())));
                if speaker.size() > COPIED {
                    return Copied::Sessions(Box::new(speaker.rehearse_sessions(&config)), speaker.size());
                }
                (speaker.clone(), config)
            }
        };
        Copied::Speaker(Box::new(speaker), now, config)
    }

    /// The speaker's peers, with dates.
    fn peers(&self, now: Time) -> Vec<PeerView> {
        let Some(speaker) = &self.speaker else { return Vec::new() };
        let today = SystemTime::now();
        let watched = speaker.with_configs().filter(|(_, peer)| peer.bfd.is_some()).map(|(key, _)| *key);
        let watched: HashSet<PeerKey> = watched.collect();
        let dated = |status: bgp::speaker::PeerStatus| {
            let since = today.checked_sub(now.since(status.since)).unwrap_or(today);
            let bfd = watched.contains(&status.key).then(|| self.bfd.view(status.key.address)).flatten();
            PeerView { since: rfc3339(since), bfd, ..status.view }
        };
        speaker.peers().into_iter().map(dated).collect()
    }

    async fn shut_down(&mut self, message: String) {
        let now = self.now();
        let Some(speaker) = &mut self.speaker else { return };
        speaker.handle(now, Input::Shutdown { message });
        while self.outputs() {}
        self.changes.flush();
        self.conns.clear();
        // Nobody listens to what the tasks still tell: their inbox must not fill up before they are done.
        let farewell = async {
            loop {
                tokio::select! {
                    ended = self.tasks.join_next() => if ended.is_none() { return },
                    _ = self.inbox.recv() => {}
                }
            }
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            warn!("some peers did not take the last words");
        }
    }
}

/// The same identity, with nobody to speak to and nothing to say.
fn silent(config: &SpeakerConfig) -> SpeakerConfig {
    let (peers, ranges, originate) = Default::default();
    SpeakerConfig { peers, ranges, originate, ..config.clone() }
}

/// Sets an accepted connection up as its peer's configuration says. The key again, too: the connection may have waited
/// to be accepted since before the listener had it.
fn admit(stream: &TcpStream, remote: SocketAddr, peer: &PeerConfig) -> io::Result<()> {
    let family = Family::of(remote.ip());
    sockopt::set_common(stream, family)?;
    sockopt::set_distance(stream, family, peer.ttl_security)?;
    if peer.password.is_some() {
        sockopt::set_password(stream, Prefix::host(remote.ip()), peer.password.as_ref())?;
    }
    Ok(())
}

/// In UTC, whole seconds; empty for a clock set before the year -9999.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// Differs between nodes and starts, which is all that jitter needs.
fn seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
