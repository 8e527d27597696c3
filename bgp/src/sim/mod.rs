//! A whole network of speakers under a virtual clock: octets take time, links break, nodes die, and nothing is random that
//! the seed does not say.
//!
//! Connections behave as TCP does for a speaker: octets arrive in order or not at all, a partition delays them, a dead
//! node's connections end. What travels is encoded and framed, so that the codec is part of every run.

mod link;
mod node;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use model::Time;

use self::link::Link;
pub use self::node::Node;
use crate::config::SpeakerConfig;
use crate::session::Jitter;
use crate::speaker::{CloseReason, ConnId, ConnectError, Dial, Input, Output};

/// The retransmission timeout of a short path, doubled with each loss.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A node by number.
pub type NodeId = usize;

/// A network of nodes that can all reach each other.
#[derive(Debug)]
pub struct Net {
    now: Time,
    nodes: Vec<Node>,
    links: Vec<Link>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    sequence: u64,
    random: Jitter,
    /// How long octets travel: so much at least, and up to twice as much.
    latency: Duration,
    /// Of so many segments one is lost, and sent again later; none if zero.
    lost: u64,
    /// Ends of links by their names at their nodes.
    ends: HashMap<(NodeId, ConnId), (usize, End)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What waits for two nodes to reach each other again, in order.
    held: BTreeMap<(NodeId, NodeId), Vec<Event>>,
    /// What went wrong in a way that no network can excuse, such as an order for a closed connection.
    pub faults: Vec<String>,
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Dialler,
    Acceptor,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Dialler => End::Acceptor,
            End::Acceptor => End::Dialler,
        }
    }
}

/// How one end leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Fin,
    Reset,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Syn { link: usize },
    SynAck { link: usize },
    Refused { link: usize },
    Octets { link: usize, to: End, bytes: Vec<u8> },
    Drained { link: usize, end: End, octets: usize },
    Ended { link: usize, to: End, how: Ending },
    Wake { node: NodeId },
}

impl Net {
    /// An empty network; equal seeds give equal runs.
    pub fn new(seed: u64) -> Net {
        Net {
            now: Time::START,
            nodes: Vec::new(),
            links: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            random: Jitter::new(seed),
            latency: Duration::from_micros(500),
            lost: 0,
            ends: HashMap::new(),
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds a node at these addresses, and starts it.
    pub fn add(&mut self, addresses: Vec<IpAddr>, config: SpeakerConfig) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node::new(addresses));
        self.start(id, config);
        id
    }

    /// Starts a node, or starts it again after [`Net::kill`].
    pub fn start(&mut self, id: NodeId, config: SpeakerConfig) {
        let seed = self.random.next();
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(id) {
            node.start(config, now, seed);
        }
        self.serve(id);
    }

    /// kill -9: the node's connections are reset, its kernel's routes stay.
    pub fn kill(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.speaker = None;
        }
        self.ends.retain(|(node, _), _| *node != id);
        for link in 0..self.links.len() {
            for end in [End::Dialler, End::Acceptor] {
                if self.links.get(link).is_some_and(|l| l.node(end) == Some(id) && l.is_open(end)) {
                    self.close_end(link, end, Ending::Reset);
                }
            }
        }
    }

    /// Gives a node an input, as its owner would.
    pub fn input(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        if let Some(speaker) = self.nodes.get_mut(id).and_then(|node| node.speaker.as_mut()) {
            speaker.handle(now, input);
        }
        self.serve(id);
    }

    /// A new configuration for a node.
    pub fn configure(&mut self, id: NodeId, change: impl FnOnce(&mut SpeakerConfig)) {
        let Some(speaker) = self.nodes.get(id).and_then(|node| node.speaker.as_ref()) else { return };
        let mut config = speaker.config().clone();
        change(&mut config);
        self.input(id, Input::Configure(Box::new(config)));
    }

    /// A node. Panics if there is none: tests ask for nodes that they have made.
    pub fn node(&self, id: NodeId) -> &Node {
        match self.nodes.get(id) {
            Some(node) => node,
            None => panic!("no node {id}"),
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate()
    }

    /// From now on one of so many segments is lost at random; TCP sends it again after its timeout (RFC 6298), and
    /// what was sent after it waits for it.
    pub fn lose_one_in(&mut self, segments: u64) {
        self.lost = segments;
    }

    /// Nothing passes between two nodes from now on; what is sent waits.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    /// The two can reach each other again.
    pub fn heal(&mut self, a: NodeId, b: NodeId) {
        let between = (a.min(b), a.max(b));
        self.cut.remove(&between);
        // Before anything that is still under way, for it was sent before.
        for event in self.held.remove(&between).unwrap_or_default() {
            self.schedule(Duration::ZERO, event);
        }
    }

    /// SIGSTOP, and SIGCONT after so much time: the node does nothing in between, and then finds its clock far ahead.
    pub fn freeze(&mut self, id: NodeId, time: Duration) {
        let until = self.now + time;
        if let Some(node) = self.nodes.get_mut(id) {
            node.frozen_until = Some(until);
        }
    }

    /// The node's owner stops to take octets from the kernel for its peers: it reads no more.
    pub fn stop_reading(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.reads = false;
        }
    }

    /// The node reads again, first of all what has waited.
    pub fn read_again(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.reads = true;
        }
        for link in 0..self.links.len() {
            for end in [End::Dialler, End::Acceptor] {
                let Some(l) = self.links.get_mut(link) else { continue };
                if l.node(end) != Some(id) {
                    continue;
                }
                for bytes in l.take_unread(end) {
                    self.schedule(Duration::ZERO, Event::Octets { link, to: end, bytes });
                }
            }
        }
    }

    /// Resets a connection between two nodes, if there is one: both sides lose it.
    pub fn reset(&mut self, a: NodeId, b: NodeId) {
        for link in 0..self.links.len() {
            let Some(l) = self.links.get(link) else { continue };
            let ends = l.open(End::Dialler).zip(l.open(End::Acceptor));
            let between = ends.map(|((dialler, _), (acceptor, _))| (dialler.min(acceptor), dialler.max(acceptor)));
            if between == Some((a.min(b), a.max(b))) {
                self.lose(link, End::Dialler, CloseReason::Reset);
                self.lose(link, End::Acceptor, CloseReason::Reset);
            }
        }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((due, _, _))) = self.events.peek()
            && *due <= end
        {
            if let Some(Reverse((due, _, event))) = self.events.pop() {
                self.now = due;
                self.happen(event);
            }
        }
        self.now = end;
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    fn schedule_at(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn travel(&mut self) -> Duration {
        let micros = u64::try_from(self.latency.as_micros()).unwrap_or(1).max(1);
        let once = Duration::from_micros(micros + self.random.next() % micros);
        let mut timeout = RETRANSMISSION;
        let mut all = once;
        while self.lost > 0 && self.random.next().is_multiple_of(self.lost) {
            all += timeout;
            timeout *= 2;
        }
        all
    }

    /// The two ends of a link between which nothing passes.
    fn cut_between(&self, link: usize) -> Option<(NodeId, NodeId)> {
        let l = self.links.get(link)?;
        let there = || self.nodes.iter().position(|node| node.addresses.contains(&l.remote.ip()));
        let (a, b) = (l.node(End::Dialler)?, l.node(End::Acceptor).or_else(there)?);
        let between = (a.min(b), a.max(b));
        self.cut.contains(&between).then_some(between)
    }

    fn happen(&mut self, event: Event) {
        let passes = matches!(event, Event::Wake { .. } | Event::Drained { .. } | Event::Refused { .. });
        if !passes && let Some(between) = event.link().and_then(|link| self.cut_between(link)) {
            return self.held.entry(between).or_default().push(event);
        }
        if let Some(until) = self.frozen(&event) {
            return self.schedule_at(until, event);
        }
        match event {
            Event::Wake { node } => {
                let now = self.now;
                if let Some(node) = self.nodes.get_mut(node) {
                    node.wake_at = None;
                    if let Some(speaker) = &mut node.speaker {
                        speaker.tick(now);
                    }
                }
                self.serve(node);
            }
            Event::Syn { link } => self.syn(link),
            Event::SynAck { link } => {
                let Some((node, conn, local, remote)) = self.links.get_mut(link).and_then(Link::establish) else {
                    return;
                };
                self.input(node, Input::Connected { conn, local, remote });
            }
            Event::Refused { link } => {
                if let Some((node, conn)) = self.links.get_mut(link).and_then(Link::refuse) {
                    self.input(node, Input::ConnectFailed { conn, reason: ConnectError::Refused });
                }
            }
            Event::Octets { link, to, bytes } => self.octets(link, to, bytes),
            Event::Drained { link, end, octets } => {
                if let Some((node, conn)) = self.links.get(link).and_then(|l| l.open(end)) {
                    self.input(node, Input::Drained { conn, octets });
                }
            }
            Event::Ended { link, to, how } => {
                let reason = match how {
                    Ending::Fin => CloseReason::Ended,
                    Ending::Reset => CloseReason::Reset,
                };
                self.lose(link, to, reason);
            }
        }
    }

    /// Until when the node to which this happens can't be told.
    fn frozen(&self, event: &Event) -> Option<Time> {
        let id = match *event {
            Event::Wake { node } => Some(node),
            Event::Octets { link, to, .. } | Event::Ended { link, to, .. } => self.links.get(link)?.node(to),
            Event::Drained { link, end, .. } => self.links.get(link)?.node(end),
            Event::SynAck { link } | Event::Refused { link } => self.links.get(link)?.node(End::Dialler),
            Event::Syn { .. } => None,
        };
        self.nodes.get(id?)?.frozen_until.filter(|until| *until > self.now)
    }

    fn syn(&mut self, link: usize) {
        let Some(remote) = self.links.get(link).map(|l| l.remote) else { return };
        let local = self.links.get(link).map_or(remote, |l| l.local);
        let listens = |node: &Node| node.addresses.contains(&remote.ip()) && node.speaker.is_some();
        let back = self.travel();
        let Some(id) = self.nodes.iter().position(listens) else {
            return self.schedule(back, Event::Refused { link });
        };
        let Some(speaker) = self.nodes.get_mut(id).and_then(|node| node.speaker.as_mut()) else { return };
        let conn = speaker.new_conn();
        let mut at = self.now + back;
        if let Some(l) = self.links.get_mut(link) {
            l.accept(id, conn);
            self.ends.insert((id, conn), (link, End::Acceptor));
            at = l.in_order(End::Dialler, at);
        }
        self.schedule_at(at, Event::SynAck { link });
        self.input(id, Input::Accepted { conn, local: remote, remote: local });
    }

    fn octets(&mut self, link: usize, to: End, bytes: Vec<u8>) {
        let Some(l) = self.links.get_mut(link) else { return };
        let Some((node, conn)) = l.open(to) else { return };
        if !self.nodes.get(node).is_some_and(|node| node.reads) {
            return l.keep_unread(to, bytes);
        }
        let octets = bytes.len();
        let inputs = l.receive(to, conn, &bytes);
        self.schedule(Duration::ZERO, Event::Drained { link, end: to.other(), octets });
        for input in inputs {
            self.input(node, input);
        }
    }

    /// One end closes: the other hears of it later.
    fn close_end(&mut self, link: usize, end: End, how: Ending) {
        let after = self.travel();
        let now = self.now;
        let Some(l) = self.links.get_mut(link) else { return };
        l.close(end);
        let at = l.in_order(end.other(), now + after);
        self.schedule_at(at, Event::Ended { link, to: end.other(), how });
    }

    fn lose(&mut self, link: usize, end: End, reason: CloseReason) {
        let Some(l) = self.links.get_mut(link) else { return };
        let Some((node, conn)) = l.open(end) else { return };
        l.close(end);
        self.input(node, Input::Closed { conn, reason });
    }

    /// Does what a node wants until it wants nothing more.
    fn serve(&mut self, id: NodeId) {
        let now = self.now;
        while let Some(output) =
            self.nodes.get_mut(id).and_then(|node| node.speaker.as_mut()).and_then(|speaker| speaker.poll(now))
        {
            match output {
                Output::Connect(dial) => self.dial(id, &dial),
                Output::Close { conn } => match self.find(id, conn) {
                    Some((link, end)) => self.close_end(link, end, Ending::Fin),
                    None => self.faults.push(format!("{now:?} node {id} closes {conn:?}, which is not open")),
                },
                Output::Send { conn, bytes } => self.send(id, conn, bytes),
                Output::SetContext { conn, context } => {
                    if let Some((link, end)) = self.find(id, conn)
                        && let Some(l) = self.links.get_mut(link)
                    {
                        l.set_context(end, context);
                    }
                }
                other => {
                    if let Some(node) = self.nodes.get_mut(id) {
                        node.note(other);
                    }
                }
            }
        }
        self.arm(id);
    }

    fn arm(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let Some(deadline) = node.speaker.as_ref().and_then(|speaker| speaker.deadline()) else { return };
        if node.wake_at.is_none_or(|at| deadline < at) {
            node.wake_at = Some(deadline);
            let at = deadline.max(self.now);
            self.schedule_at(at, Event::Wake { node: id });
        }
    }

    fn dial(&mut self, id: NodeId, dial: &Dial) {
        let remote = dial.peer.socket_address();
        let own = self.nodes.get(id).map(|node| node.addresses.clone()).unwrap_or_default();
        let fits = |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4();
        let address = dial.local.or(own.iter().find(fits).copied()).unwrap_or(remote.ip());
        let port = 1024 + (self.links.len() % 60000) as u16;
        let mut local = SocketAddr::new(address, port);
        // A link has one number at both ends.
        if let (SocketAddr::V6(local), Some(scope)) = (&mut local, dial.peer.scope) {
            local.set_scope_id(scope.get());
        }
        self.links.push(Link::new(id, dial.conn, local, remote));
        let link = self.links.len() - 1;
        self.ends.insert((id, dial.conn), (link, End::Dialler));
        let there = self.travel();
        self.schedule(there, Event::Syn { link });
    }

    fn send(&mut self, id: NodeId, conn: ConnId, bytes: Bytes) {
        let after = self.travel();
        let now = self.now;
        let Some((link, end)) = self.find(id, conn) else {
            return self.faults.push(format!("{now:?} node {id} sends on {conn:?}, which is not open"));
        };
        let Some(l) = self.links.get_mut(link) else { return };
        let at = l.in_order(end.other(), now + after);
        self.schedule_at(at, Event::Octets { link, to: end.other(), bytes: bytes.to_vec() });
    }

    fn find(&self, id: NodeId, conn: ConnId) -> Option<(usize, End)> {
        let (link, _) = *self.ends.get(&(id, conn))?;
        Some((link, self.links.get(link)?.end_of(id, conn)?))
    }

    /// What all nodes believe, by prefix: the next hops' addresses.
    pub fn beliefs(&self) -> Vec<BTreeMap<String, Vec<String>>> {
        self.nodes.iter().map(Node::beliefs).collect()
    }
}

impl Event {
    fn link(&self) -> Option<usize> {
        match self {
            Event::Syn { link }
            | Event::SynAck { link }
            | Event::Refused { link }
            | Event::Octets { link, .. }
            | Event::Drained { link, .. }
            | Event::Ended { link, .. } => Some(*link),
            Event::Wake { .. } => None,
        }
    }
}
