//! Who reaches whom, by real packets: every probe of a round at once, and none that is waited for longer than it has to be.
//!
//! TCP: a handshake. UDP: an echo. SCTP: INIT and INIT ACK, by raw sockets. All sockets belong to the namespaces they were
//! opened in, so one thread serves and asks for all of them. A source port is used in one round only: what connection
//! tracking knows of an earlier round is about other flows.

mod machine;
mod round;
mod sctp;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, ensure};
use model::Protocol;

use crate::netns::Netns;
use machine::Machine;

/// Machines that answer and ask.
#[derive(Debug)]
pub struct Prober {
    machines: Vec<Machine>,
}

/// Rounds of this process: part of every token, and of every source port.
static ROUNDS: AtomicU16 = AtomicU16::new(1);

/// A machine of a [`Prober`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(usize);

/// What ought to come of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is answered: asked again and again before this is given up.
    Answer,
    /// Nothing comes back: held so when everything else has been answered and it was asked once more.
    Silence,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The answer.
    Answer,
    /// Nothing.
    Silence,
    /// An error: a reset, say.
    Error(String),
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Who asks.
    pub from: MachineId,
    /// Who is asked.
    pub to: SocketAddr,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// What ought to come of it.
    pub expected: Expected,
}

impl Prober {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { machines: Vec::new() }
    }

    /// A machine that asks, and answers on `ports` of every protocol.
    pub fn add(&mut self, name: &str, netns: &Netns, ports: &[u16]) -> Result<MachineId> {
        self.machines.push(Machine::open(name, netns, ports)?);
        Ok(MachineId(self.machines.len() - 1))
    }

    /// What the machine is called.
    pub fn name(&self, machine: MachineId) -> &str {
        self.machines.get(machine.0).map_or("?", |machine| &machine.name)
    }

    /// Asks everything at once; what came of each probe, in their order.
    pub fn round(&mut self, probes: &[Probe]) -> Result<Vec<Seen>> {
        ensure!(probes.len() < usize::from(u16::MAX), "{} probes are too many for one round", probes.len());
        round::run(&mut self.machines, ROUNDS.fetch_add(1, Ordering::Relaxed), probes)
    }

    /// Asks everything at once; an error that names what came out otherwise than expected.
    pub fn hold(&mut self, probes: &[Probe]) -> Result<()> {
        let seen = self.round(probes)?;
        let wrong: Vec<String> = probes
            .iter()
            .zip(&seen)
            .filter(|(probe, seen)| !probe.expected.is(seen))
            .map(|(probe, seen)| format!("{} → {} {}: {seen}", self.name(probe.from), probe.to, probe.protocol))
            .collect();
        ensure!(wrong.is_empty(), "{} of {} probes: {}", wrong.len(), probes.len(), shortened(&wrong));
        Ok(())
    }
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// One that ought to be answered.
    pub fn answered(from: MachineId, to: IpAddr, protocol: Protocol, port: u16) -> Self {
        Self { from, to: SocketAddr::new(to, port), protocol, expected: Expected::Answer }
    }

    /// One of which nothing ought to come back.
    pub fn silent(from: MachineId, to: IpAddr, protocol: Protocol, port: u16) -> Self {
        Self { expected: Expected::Silence, ..Self::answered(from, to, protocol, port) }
    }
}

impl Expected {
    /// Whether this is what was seen.
    pub fn is(self, seen: &Seen) -> bool {
        matches!((self, seen), (Self::Answer, Seen::Answer) | (Self::Silence, Seen::Silence))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("was answered"),
            Self::Silence => f.write_str("was not answered"),
            Self::Error(error) => f.write_str(error),
        }
    }
}

/// The first few.
pub fn shortened(lines: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = lines.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if lines.len() > SHOWN { format!("{shown}; and {} more", lines.len() - SHOWN) } else { shown }
}
