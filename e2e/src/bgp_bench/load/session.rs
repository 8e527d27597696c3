//! One session of the load: a socket that never blocks, and what came through it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Protocol, Socket, Type};

use super::seen::Seen;
use super::table::{Feeder, Shape, message, open, prefixes};

/// Octets read at once.
const READ: usize = 1 << 18;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Dialled, or waiting for the OPEN and the first KEEPALIVE.
    Opening,
    Established,
    /// Over, and why.
    Lost(String),
    /// Closed by us.
    Closed,
}

#[derive(Debug)]
pub(super) struct Session {
    pub feeder: Feeder,
    /// The numbers of the prefixes that it announces.
    pub slice: Range<u32>,
    pub state: State,
    pub seen: Seen,
    hold: u16,
    stream: Option<TcpStream>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// So much of the outbox is sent.
    sent: usize,
    heard_at: Instant,
    spoken_at: Instant,
    /// The longest time between two messages of the peer since it was last asked.
    pub silence: Duration,
}

impl Session {
    pub fn new(feeder: Feeder, slice: Range<u32>, prefixes: usize, hold: u16) -> Session {
        let now = Instant::now();
        Session {
            feeder,
            slice,
            state: State::Closed,
            seen: Seen::new(prefixes),
            hold,
            stream: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
            heard_at: now,
            spoken_at: now,
            silence: Duration::ZERO,
        }
    }

    /// Dials; the OPEN waits to be sent.
    pub fn dial(&mut self, to: SocketAddr) -> Result<()> {
        let from = self.feeder.address;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into()).with_context(|| format!("cannot bind {from}"))?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).with_context(|| format!("{from} cannot dial {to}")),
        }
        let feeder = self.feeder;
        *self = Session::new(feeder, self.slice.clone(), self.seen.room(), self.hold);
        self.stream = Some(socket.into());
        self.state = State::Opening;
        self.outbox = open(feeder.asn, feeder.address, self.hold);
        Ok(())
    }

    /// Whether it failed, or has been silent for so long since it was dialled.
    pub fn is_to_be_dialled(&self, patience: Duration) -> bool {
        match self.state {
            State::Lost(_) => true,
            State::Opening => self.heard_at.elapsed() > patience,
            _ => false,
        }
    }

    /// Closes it, as a router does that goes down.
    pub fn close(&mut self) {
        self.stream = None;
        self.state = State::Closed;
    }

    pub fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// What is to be sent besides.
    pub fn say(&mut self, octets: Vec<u8>) {
        if self.sent == self.outbox.len() {
            (self.outbox, self.sent) = (octets, 0);
        } else {
            self.outbox.extend(octets);
        }
    }

    /// What to wait for.
    pub fn poll(&self) -> Option<PollFd<'_>> {
        let wants = if self.sent < self.outbox.len() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        self.stream.as_ref().map(|stream| PollFd::new(stream, wants))
    }

    /// Says something when a third of the hold time was silent.
    pub fn keep_alive(&mut self, now: Instant) {
        let third = Duration::from_secs(u64::from(self.hold)) / 3;
        if self.is_established() && now - self.spoken_at >= third && self.sent == self.outbox.len() {
            self.spoken_at = now;
            self.say(message(KEEPALIVE, &[]));
        }
    }

    /// The socket is ready for something.
    pub fn go_on(&mut self, ready: PollFlags, shape: Shape, buffer: &mut Vec<u8>) {
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(shape, buffer);
        }
        if ready.contains(PollFlags::OUT) {
            self.write();
        }
    }

    fn lose(&mut self, why: String) {
        self.stream = None;
        self.state = State::Lost(why);
    }

    fn read(&mut self, shape: Shape, buffer: &mut Vec<u8>) {
        buffer.resize(READ, 0);
        let Some(stream) = &mut self.stream else { return };
        match stream.read(buffer) {
            Ok(0) => self.lose("the peer closed the connection".into()),
            Ok(count) => {
                self.inbox.extend_from_slice(&buffer[..count]);
                self.parse(shape);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.lose(error.to_string()),
        }
    }

    fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        match stream.write(&self.outbox[self.sent..]) {
            Ok(count) => {
                self.sent += count;
                self.spoken_at = Instant::now();
                if self.sent == self.outbox.len() {
                    (self.outbox, self.sent) = (Vec::new(), 0);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.lose(error.to_string()),
        }
    }

    fn parse(&mut self, shape: Shape) {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        while let Some(length) = rest.get(16..18).map(|l| usize::from(u16::from_be_bytes([l[0], l[1]]))) {
            let Some((whole, after)) = rest.split_at_checked(length.max(19)) else { break };
            self.hear(whole[18], &whole[19..], shape);
            rest = after;
        }
        self.inbox = rest.to_vec();
    }

    fn hear(&mut self, kind: u8, body: &[u8], shape: Shape) {
        let now = Instant::now();
        if self.is_established() {
            self.silence = self.silence.max(now - self.heard_at);
        }
        self.heard_at = now;
        match kind {
            1 => self.say(message(KEEPALIVE, &[])),
            KEEPALIVE if self.state == State::Opening => self.state = State::Established,
            NOTIFICATION => self.lose(format!("NOTIFICATION {body:?}")),
            UPDATE => self.update(body, shape),
            _ => {}
        }
    }

    fn update(&mut self, body: &[u8], shape: Shape) {
        let Some((withdrawn, rest)) = counted(body) else { return };
        let Some((_attributes, announced)) = counted(rest) else { return };
        let seen = &mut self.seen;
        let count = seen.room();
        prefixes(withdrawn, |address| seen.leave(shape.index(address, count)));
        prefixes(announced, |address| seen.enter(shape.index(address, count)));
        seen.note(self.heard_at);
    }

    /// Forgets the longest silence.
    pub fn count_silence_from_now(&mut self) {
        self.silence = Duration::ZERO;
        self.heard_at = Instant::now();
    }

    /// The silence that goes on included.
    pub fn longest_silence(&self, now: Instant) -> Duration {
        self.silence.max(now - self.heard_at)
    }
}

/// A field of so many octets as the two before it say, and what follows.
fn counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The address of feeder or receiver `number` in a net of the load.
pub(crate) fn address(net: u8, number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, net + (number / 250) as u8, 1 + (number % 250) as u8)
}
