//! One round: ask everything, answer what is asked, and know when it is over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use model::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recvfrom};
use socket2::Socket;

use super::machine::Machine;
use super::sctp::{Kind, Packet};
use super::{Expected, Probe, Seen};

/// How long an answer that ought to come is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A question that ought to be answered and was not is asked again after this, then after twice as long, and so on.
const AGAIN: Duration = Duration::from_millis(100);
/// How long nothing must come back, at least; on a slow machine, several times what the slowest answer took.
const SILENCE: Duration = Duration::from_millis(60);
const SILENCE_FACTOR: u32 = 3;

/// Runs one.
pub fn run(machines: &mut [Machine], round: u16, probes: &[Probe]) -> Result<Vec<Seen>> {
    let mut askers = BTreeMap::new();
    for probe in probes {
        if let Some(machine) = machines.get(probe.from.0)
            && !askers.contains_key(&probe.from.0)
        {
            askers.insert(probe.from.0, machine.askers(round)?);
        }
    }
    let seen = vec![Seen::Silence; probes.len()];
    let mut round = Round { machines, number: round, probes, askers, handshakes: Vec::new(), seen };
    round.all()?;
    Ok(round.seen)
}

struct Round<'a> {
    machines: &'a [Machine],
    number: u16,
    probes: &'a [Probe],
    /// UDP sockets by machine: IPv4 and IPv6.
    askers: BTreeMap<usize, [UdpSocket; 2]>,
    /// TCP handshakes under way, and whose they are.
    handshakes: Vec<(usize, Socket)>,
    seen: Vec<Seen>,
}

/// What a descriptor is for.
#[derive(Clone, Copy)]
enum Role {
    Accept(usize, usize),
    Echo(usize, usize),
    Raw(usize, usize),
    Asker(usize, usize),
    Handshake(usize),
}

impl Round<'_> {
    fn all(&mut self) -> Result<()> {
        let start = Instant::now();
        self.ask(|_| true)?;
        let (mut again, mut pause) = (AGAIN, AGAIN);
        while self.awaited() && start.elapsed() < PATIENCE {
            self.turn(Duration::from_millis(20))?;
            if start.elapsed() >= again {
                self.ask(|expected| expected == Expected::Answer)?;
                pause *= 2;
                again = start.elapsed() + pause;
            }
        }
        // Those that ought to be silent are asked once more: now it is known that answers come, and how soon.
        let quiet = SILENCE.max(start.elapsed() * SILENCE_FACTOR).min(PATIENCE);
        self.ask(|expected| expected == Expected::Silence)?;
        let asked = Instant::now();
        while asked.elapsed() < quiet && self.silent() {
            self.turn(quiet.saturating_sub(asked.elapsed()))?;
        }
        Ok(())
    }

    /// Whether an answer that ought to come has not.
    fn awaited(&self) -> bool {
        self.open().any(|(_, probe)| probe.expected == Expected::Answer)
    }

    /// Whether there is anything whose silence is still to be shown.
    fn silent(&self) -> bool {
        self.open().any(|(_, probe)| probe.expected == Expected::Silence)
    }

    fn open(&self) -> impl Iterator<Item = (usize, &Probe)> {
        let all = self.probes.iter().enumerate().zip(&self.seen);
        all.filter(|(_, seen)| **seen == Seen::Silence).map(|(probe, _)| probe)
    }

    /// Asks what has not been answered and is expected so.
    fn ask(&mut self, which: impl Fn(Expected) -> bool) -> Result<()> {
        let open: Vec<(usize, Probe)> =
            self.open().filter(|(_, probe)| which(probe.expected)).map(|(index, probe)| (index, *probe)).collect();
        let mut handshakes: BTreeMap<usize, (Vec<usize>, Vec<SocketAddr>)> = BTreeMap::new();
        for (index, probe) in open {
            let (from, token) = (probe.from.0, self.token(index));
            match probe.protocol {
                Protocol::TCP => {
                    let (indices, targets) = handshakes.entry(from).or_default();
                    indices.push(index);
                    targets.push(probe.to);
                }
                Protocol::UDP => {
                    if let Some([v4, v6]) = self.askers.get(&from) {
                        let socket = if probe.to.is_ipv4() { v4 } else { v6 };
                        socket.send_to(&token.to_be_bytes(), probe.to).ok(); // one that cannot be sent is lost
                    }
                }
                _ => {
                    let (source, destination) = (Machine::source_port(self.number), probe.to.port());
                    if let Some(machine) = self.machines.get(from) {
                        machine.send(probe.to.ip(), &Packet { kind: Kind::Init, source, destination, token });
                    }
                }
            }
        }
        for (from, (indices, targets)) in handshakes {
            if let Some(machine) = self.machines.get(from) {
                self.handshakes.extend(indices.into_iter().zip(machine.connect(&targets)?));
            }
        }
        Ok(())
    }

    /// Not 0, and not that of another round or probe.
    fn token(&self, index: usize) -> u32 {
        (u32::from(self.number) << 16) | u32::try_from(index + 1).unwrap_or(0)
    }

    fn answered(&mut self, token: u32, from: Option<SocketAddr>) {
        let (round, index) = (token >> 16, (token & 0xffff) as usize);
        let Some(index) = index.checked_sub(1).filter(|_| round == u32::from(self.number)) else { return };
        let right = |probe: &Probe| from.is_none_or(|from| from == probe.to);
        if self.probes.get(index).is_some_and(right)
            && let Some(seen) = self.seen.get_mut(index)
        {
            *seen = Seen::Answer;
        }
    }

    /// Waits until something comes, and deals with all of it.
    fn turn(&mut self, at_most: Duration) -> Result<()> {
        let ready = self.ready(at_most)?;
        let mut ended = Vec::new();
        for role in ready {
            match role {
                Role::Accept(machine, which) => self.accept(machine, which),
                Role::Echo(machine, which) => self.echo(machine, which),
                Role::Raw(machine, which) => self.raw(machine, which),
                Role::Asker(machine, which) => self.hear(machine, which),
                Role::Handshake(which) => ended.push(which),
            }
        }
        for which in ended.into_iter().rev() {
            let (index, socket) = self.handshakes.swap_remove(which);
            let outcome = match socket.take_error()? {
                None => Seen::Answer,
                Some(error) => Seen::Error(error.to_string()),
            };
            if let Some(seen) = self.seen.get_mut(index).filter(|seen| **seen == Seen::Silence) {
                *seen = outcome;
            }
        }
        Ok(())
    }

    /// Descriptors with something to do, in the order of their handshakes.
    fn ready(&self, at_most: Duration) -> Result<Vec<Role>> {
        let mut all: Vec<(Role, BorrowedFd<'_>, PollFlags)> = Vec::new();
        for (number, machine) in self.machines.iter().enumerate() {
            let mut add = |role, fd| all.push((role, fd, PollFlags::IN));
            machine.tcp.iter().enumerate().for_each(|(which, it)| add(Role::Accept(number, which), it.as_fd()));
            machine.udp.iter().enumerate().for_each(|(which, it)| add(Role::Echo(number, which), it.as_fd()));
            machine.sctp.iter().enumerate().for_each(|(which, it)| add(Role::Raw(number, which), it.as_fd()));
        }
        for (machine, pair) in &self.askers {
            pair.iter()
                .enumerate()
                .for_each(|(which, it)| all.push((Role::Asker(*machine, which), it.as_fd(), PollFlags::IN)));
        }
        for (which, (_, socket)) in self.handshakes.iter().enumerate() {
            all.push((Role::Handshake(which), socket.as_fd(), PollFlags::OUT));
        }
        let mut polled: Vec<PollFd<'_>> =
            all.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        poll(&mut polled, Some(&Timespec::try_from(at_most)?))?;
        let happened = all.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(happened.map(|((role, _, _), _)| *role).collect())
    }

    fn accept(&self, machine: usize, which: usize) {
        if let Some(listener) = self.machines.get(machine).and_then(|machine| machine.tcp.get(which)) {
            while listener.accept().is_ok() {}
        }
    }

    fn echo(&self, machine: usize, which: usize) {
        if let Some(socket) = self.machines.get(machine).and_then(|machine| machine.udp.get(which)) {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(buffer.get(..length).unwrap_or_default(), from).ok(); // one that cannot be sent is lost
            }
        }
    }

    fn hear(&mut self, machine: usize, which: usize) {
        let mut heard = Vec::new();
        if let Some(socket) = self.askers.get(&machine).and_then(|pair| pair.get(which)) {
            let mut buffer = [0; 4];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if length == buffer.len() {
                    heard.push((u32::from_be_bytes(buffer), from));
                }
            }
        }
        for (token, from) in heard {
            self.answered(token, Some(from));
        }
    }

    fn raw(&mut self, number: usize, which: usize) {
        let Some(machine) = self.machines.get(number) else { return };
        let Some(socket) = machine.sctp.get(which) else { return };
        let mut answers = Vec::new();
        let mut buffer = [0; 256];
        while let Ok((length, _, from)) = recvfrom(socket, &mut buffer, RecvFlags::empty()) {
            let bytes = buffer.get(..length).unwrap_or_default();
            // A raw socket of IPv4 hands out the IP header too.
            let header = if which == 0 { bytes.first().map_or(0, |first| usize::from(first & 0xf) * 4) } else { 0 };
            let Some(packet) = bytes.get(header..).and_then(Packet::read) else { continue };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip());
            match (machine.answer(&packet), from) {
                (Some(answer), Some(from)) => machine.send(from, &answer),
                _ if packet.kind == Kind::InitAck => {
                    let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                    answers.push((packet.token, SocketAddr::new(from, packet.source)));
                }
                _ => {}
            }
        }
        for (token, from) in answers {
            self.answered(token, Some(from));
        }
    }
}
