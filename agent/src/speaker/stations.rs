//! BMP stations: a task for each that dials, writes and dials again. None of them can hold the speaker up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bgp::bmp::{Monitoring, Table};
use bgp::speaker::{StationEnd, StationInput, StationOutput, StationState as Stage, StationStatus};
use bytes::Bytes;
use model::api::show::{StationState, StationView};
use model::object::BmpTable;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(10);
/// Rest after the first failure; it doubles (RFC 7854 §3.2).
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long what is left may take to go out once a station is given up.
const LINGER: Duration = Duration::from_secs(1);
/// A station that is silently gone is found out after some of these.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Events that may wait.
const EVENTS: usize = 64;

/// All stations.
pub(super) struct Stations {
    running: HashMap<SocketAddr, Running>,
    /// The number of the task begun last: what an older one still says is not heard.
    tasks_begun: u64,
    tasks: JoinSet<()>,
    inbox: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
}

/// A station's task, and what is known of it.
struct Running {
    number: u64,
    /// While it is connected.
    orders: Option<Orders>,
    /// Its task ends with this.
    _wanted: watch::Sender<()>,
    fate: Fate,
    since: SystemTime,
    reason: String,
    connected_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Wanted,
    /// It goes when the speaker has said farewell to it.
    Unwanted,
}

/// The way to a connection. Dropping it gives the connection up.
struct Orders {
    orders: mpsc::UnboundedSender<Bytes>,
    _line: oneshot::Sender<()>,
}

/// What a task tells.
pub(super) struct Event {
    station: SocketAddr,
    number: u64,
    what: What,
}

enum What {
    Connected(Orders),
    Drained(usize),
    /// Also of a dial that failed. None if we have given the connection up: the speaker has said why.
    Closed(Option<String>),
}

impl Stations {
    pub(super) fn new() -> Stations {
        let (sender, inbox) = mpsc::channel(EVENTS);
        Stations { running: HashMap::new(), tasks_begun: 0, tasks: JoinSet::new(), inbox, sender }
    }

    /// Dials these stations and no others from now on.
    pub(super) fn want(&mut self, monitoring: &Monitoring) {
        for (station, running) in &mut self.running {
            let wanted = monitoring.stations.contains_key(station);
            running.fate = if wanted { Fate::Wanted } else { Fate::Unwanted };
        }
        // One that is connected waits for the speaker's last words to it.
        self.running.retain(|_, running| running.fate == Fate::Wanted || running.orders.is_some());
        for station in monitoring.stations.keys() {
            if self.running.contains_key(station) {
                continue;
            }
            self.tasks_begun += 1;
            let number = self.tasks_begun;
            let (wanted, until) = watch::channel(());
            self.tasks.spawn(keep_dialling(Task { station: *station, number, sender: self.sender.clone() }, until));
            let running = Running {
                number,
                orders: None,
                _wanted: wanted,
                fate: Fate::Wanted,
                since: SystemTime::now(),
                reason: "connecting for the first time".into(),
                connected_count: 0,
            };
            self.running.insert(*station, running);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// What happened to a station, as soon as something has. Cancel-safe.
    pub(super) async fn next(&mut self) -> (SocketAddr, StationInput) {
        loop {
            // The sender is here, so there is always another event to wait for.
            let Some(event) = self.inbox.recv().await else { continue };
            if let Some(input) = self.hear(event) {
                return input;
            }
        }
    }

    fn hear(&mut self, Event { station, number, what }: Event) -> Option<(SocketAddr, StationInput)> {
        let running = self.running.get_mut(&station).filter(|running| running.number == number)?;
        let input = match what {
            What::Connected(orders) => {
                info!(%station, "BMP station connected");
                running.orders = Some(orders);
                running.connected_count += 1;
                (running.since, running.reason) = (SystemTime::now(), String::new());
                StationInput::Connected { today: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
            }
            What::Drained(octets) => StationInput::Drained(octets),
            What::Closed(reason) => {
                if running.orders.take().is_some() || running.reason.is_empty() {
                    running.since = SystemTime::now();
                }
                if running.fate == Fate::Unwanted {
                    self.running.remove(&station);
                } else if let Some(reason) = reason.filter(|reason| running.reason != *reason) {
                    warn!(%station, reason, "no connection with the BMP station");
                    running.reason = reason;
                }
                StationInput::Closed
            }
        };
        Some((station, input))
    }

    /// Does what the speaker wants.
    pub(super) fn order(&mut self, station: SocketAddr, output: StationOutput) {
        let Some(running) = self.running.get_mut(&station) else { return };
        match output {
            StationOutput::Send(octets) => {
                if let Some(orders) = &running.orders {
                    // The task may be at its end: its last event, that says so, is on its way.
                    drop(orders.orders.send(octets));
                }
            }
            StationOutput::Close(end) => {
                running.orders = None;
                running.reason = match end {
                    StationEnd::TooSlow => "given up: it did not take what it was sent".into(),
                    StationEnd::Reconfigured => "it is to be told other tables".into(),
                };
                info!(%station, reason = running.reason, "BMP station given up");
                running.since = SystemTime::now();
                if running.fate == Fate::Unwanted {
                    self.running.remove(&station);
                }
            }
        }
    }

    /// What there is to show of them, given what the speaker knows.
    pub(super) fn views(
        &self,
        statuses: Vec<StationStatus>,
        rfc3339: impl Fn(SystemTime) -> String,
    ) -> Vec<StationView> {
        let view = |status: StationStatus| {
            let running = self.running.get(&status.address);
            StationView {
                station: status.address.ip(),
                port: status.address.port(),
                tables: status.tables.iter().map(|table| named(*table).name().into()).collect(),
                state: match status.state {
                    Stage::Away => StationState::Away,
                    Stage::Dumping => StationState::Dumping,
                    Stage::Live => StationState::Live,
                },
                since: running.map(|running| rfc3339(running.since)).unwrap_or_default(),
                reason: running.map(|running| running.reason.clone()).unwrap_or_default(),
                sent: status.sent,
                waiting: status.outstanding as u64,
                connected_count: running.map_or(0, |running| running.connected_count),
            }
        };
        statuses.into_iter().map(view).collect()
    }
}

fn named(table: Table) -> BmpTable {
    match table {
        Table::AdjInPre => BmpTable::AdjInPrePolicy,
        Table::AdjInPost => BmpTable::AdjInPostPolicy,
        Table::AdjOut => BmpTable::AdjOut,
        Table::Loc => BmpTable::LocRIB,
    }
}

/// How a station's task tells.
struct Task {
    station: SocketAddr,
    number: u64,
    sender: mpsc::Sender<Event>,
}

/// Nobody listens any more: everything ends.
struct Over;

impl Task {
    async fn tell(&self, what: What) -> Result<(), Over> {
        let Task { station, number, sender } = self;
        sender.send(Event { station: *station, number: *number, what }).await.map_err(|_| Over)
    }
}

/// One station, for as long as it is wanted: until the other end of `wanted` is gone.
async fn keep_dialling(task: Task, mut wanted: watch::Receiver<()>) {
    let mut rest = FIRST_REST;
    loop {
        let dialled = tokio::select! {
            dialled = timeout(DIAL, TcpStream::connect(task.station)) => dialled,
            _ = wanted.changed() => return,
        };
        let reason = match dialled {
            Err(_) => Some("no answer".to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Ok(Ok(stream)) => {
                let begun = Instant::now();
                let (orders, queue) = mpsc::unbounded_channel();
                let (line, given_up) = oneshot::channel();
                if task.tell(What::Connected(Orders { orders, _line: line })).await.is_err() {
                    return;
                }
                let reason = converse(stream, queue, given_up, &task).await;
                if begun.elapsed() > LONGEST_REST {
                    rest = FIRST_REST;
                }
                reason
            }
        };
        if task.tell(What::Closed(reason)).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(rest) => {}
            _ = wanted.changed() => return,
        }
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// Writes what is ordered until there is nothing more to order or nobody who takes it. Returns how it ended, if not by our
/// own doing.
async fn converse(
    mut stream: TcpStream,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    given_up: oneshot::Receiver<()>,
    task: &Task,
) -> Option<String> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    // Without it a station that is silently gone is found out when the kernel gives up.
    drop(SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        while let Some(octets) = queue.recv().await {
            if let Err(error) = writer.write_all(&octets).await {
                return Some(error.to_string());
            }
            if task.tell(What::Drained(octets.len())).await.is_err() {
                break;
            }
        }
        // An error means that the station was quicker, which is as well.
        drop(writer.shutdown().await);
        None
    };
    // A station has nothing to say (RFC 7854 §3.2): what it says is thrown away, but its end is heard.
    let reading = async {
        let mut unread = [0; 512];
        loop {
            match reader.read(&mut unread).await {
                Ok(0) => return "the station closed the connection".to_string(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    };
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        end = &mut writing => end,
        end = reading => Some(end),
        // Its other end is dropped, nothing is ever sent. What is left goes out, or does not.
        _ = given_up => {
            drop(timeout(LINGER, writing).await);
            None
        }
    }
}
