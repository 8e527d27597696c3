//! The loads: who feeds, who receives, what happens in which order, and what was promised of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::load::{Shape, address};

/// Where a contestant listens.
pub(super) const CONTESTANT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The AS of every contestant.
pub(super) const LOCAL_AS: u32 = 65000;

/// A session of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// From where it dials.
    pub address: Ipv4Addr,
    /// Its AS.
    pub asn: u32,
    /// Whether the contestant reflects to and from it.
    pub kind: PeerRole,
}

/// What a session of the load is to the contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// In another AS.
    External,
    /// Another node of the mesh.
    Mesh,
    /// A client of the contestant, which is a route reflector.
    Client,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The feeders announce all they have.
    Announce,
    /// The feeders withdraw all they have.
    Withdraw,
    /// The first feeder closes its session.
    LoseOne,
    /// All feeders close their sessions.
    LoseAll,
    /// Nothing, for so many seconds.
    Idle {
        /// How many.
        seconds: u32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Announce => f.write_str("announce"),
            Step::Withdraw => f.write_str("withdraw all"),
            Step::LoseOne => f.write_str("one feeder lost"),
            Step::LoseAll => f.write_str("all feeders lost"),
            Step::Idle { .. } => f.write_str("idle"),
        }
    }
}

/// Where the end of a step is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// At the receivers.
    Receivers,
    /// In the contestant's kernel.
    Kernel,
    /// At both.
    Both,
}

/// Which of our programs takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// The speaker alone, believing all and telling all: what the other contestants are told to be.
    Speaker,
    /// The whole agent with its objects.
    Agent,
}

/// A load.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Which of our programs takes part.
    pub ours: Ours,
    /// Who announces; the prefixes are shared out between them.
    pub feeders: Vec<Peer>,
    /// Who is told.
    pub receivers: Vec<Peer>,
    /// How many prefixes, in all.
    pub prefixes: u32,
    /// What they look like.
    pub shape: Shape,
    /// Where the end of a step is seen.
    pub watch: Watch,
    /// Hold time of the load's sessions, in seconds; they say something every third of it.
    pub hold: u16,
    /// What happens, after all sessions are up.
    pub steps: Vec<Step>,
    /// How long a step may take.
    pub patience: Duration,
    /// What the sessions get to come to rest before the first step.
    pub settle: Duration,
    /// Rest before a step, so that it does not pay for the one before.
    pub rest: Duration,
}

impl Scenario {
    /// Whether the contestant is to put routes into its kernel.
    pub fn uses_kernel(&self) -> bool {
        self.watch != Watch::Receivers
    }

    /// All peers of the contestant.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.feeders.iter().chain(&self.receivers)
    }

    /// What of it belongs to a round: a minute of idleness is measured once.
    #[must_use]
    pub fn in_round(&self, round: usize) -> Scenario {
        let mut scenario = self.clone();
        scenario.steps.retain(|step| round == 0 || !matches!(step, Step::Idle { .. }));
        scenario
    }

    /// The same with less of everything: for a test that shows that it runs.
    #[must_use]
    pub fn short(mut self) -> Scenario {
        let most = if self.feeders.len() > 100 { 20 } else { self.feeders.len() };
        self.feeders.truncate(most);
        self.receivers.truncate(5);
        self.prefixes = self.prefixes.min(if self.shape == Shape::Blocks { most as u32 * 4 } else { 3000 });
        for step in &mut self.steps {
            if let Step::Idle { seconds } = step {
                *seconds = 1;
            }
        }
        (self.settle, self.rest) = (Duration::from_millis(200), Duration::from_millis(50));
        self
    }
}

fn external(number: usize) -> Peer {
    Peer { address: address(0, number + 1), asn: 65001 + number as u32, kind: PeerRole::External }
}

fn internal(net: u8, count: usize, kind: PeerRole) -> Vec<Peer> {
    (0..count).map(|number| Peer { address: address(net, number), asn: LOCAL_AS, kind }).collect()
}

/// Every load, in the order of the documents.
pub fn all() -> Vec<Scenario> {
    use Step::{Announce, Idle, LoseAll, LoseOne, Withdraw};
    let plain = Scenario {
        name: "",
        title: "",
        ours: Ours::Speaker,
        feeders: vec![external(0)],
        receivers: vec![Peer { address: address(2, 0), asn: 65100, kind: PeerRole::External }],
        prefixes: 100_000,
        shape: Shape::Internet,
        watch: Watch::Receivers,
        hold: 90,
        steps: vec![Announce, Withdraw],
        patience: Duration::from_secs(90),
        settle: Duration::from_millis(1500),
        rest: Duration::from_millis(700),
    };
    let clients = |count| Scenario {
        ours: Ours::Speaker,
        feeders: internal(0, 2, PeerRole::Client).split_off(1),
        receivers: internal(2, count, PeerRole::Client),
        prefixes: 10_000,
        steps: vec![Announce, Withdraw],
        ..plain.clone()
    };
    vec![
        Scenario {
            name: "feeder-100k",
            title: "one feeder, 100,000 prefixes, one receiver",
            steps: vec![Announce, Withdraw, Announce, LoseAll],
            ..plain.clone()
        },
        Scenario {
            name: "feeder-1m",
            title: "one feeder, 1,000,000 prefixes, one receiver",
            prefixes: 1_000_000,
            ..plain.clone()
        },
        Scenario {
            name: "feeders-10",
            title: "ten feeders of 100,000 prefixes each, one receiver",
            feeders: (0..10).map(external).collect(),
            prefixes: 1_000_000,
            steps: vec![Announce, LoseOne, Withdraw],
            ..plain.clone()
        },
        Scenario { name: "reflect-100", title: "route reflector, 10,000 prefixes to 100 clients", ..clients(100) },
        Scenario { name: "reflect-200", title: "route reflector, 10,000 prefixes to 200 clients", ..clients(200) },
        Scenario {
            name: "mesh-200",
            title: "200 nodes of a mesh connect at once, 4 prefixes each, into the kernel",
            ours: Ours::Agent,
            feeders: internal(2, 200, PeerRole::Mesh),
            receivers: vec![],
            prefixes: 800,
            shape: Shape::Blocks,
            watch: Watch::Kernel,
            steps: vec![Announce, Idle { seconds: 60 }, Withdraw, Announce, LoseAll],
            ..plain.clone()
        },
        Scenario {
            name: "kernel-100k",
            title: "100,000 routes reflected to a client and put into the kernel",
            ours: Ours::Agent,
            feeders: internal(0, 2, PeerRole::Client).split_off(1),
            receivers: internal(2, 1, PeerRole::Client),
            watch: Watch::Both,
            steps: vec![Announce, Withdraw, Announce, LoseAll],
            ..plain.clone()
        },
        Scenario {
            name: "keepalives",
            title: "hold time 3 s while nine feeders announce 1,000,000 prefixes",
            feeders: (0..9).map(external).collect(),
            prefixes: 1_000_000,
            hold: 3,
            steps: vec![Announce],
            ..plain
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_sessions_of_a_load_share_an_address_and_none_has_the_contestants() {
        for scenario in all() {
            let addresses: BTreeSet<Ipv4Addr> = scenario.peers().map(|peer| peer.address).collect();
            assert_eq!(addresses.len(), scenario.peers().count(), "{}", scenario.name);
            assert!(!addresses.contains(&CONTESTANT), "{}", scenario.name);
        }
    }
}
