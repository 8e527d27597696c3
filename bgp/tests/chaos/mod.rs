//! Large networks with random misfortunes, held against the solver: one run for each seed.
//!
//! The short form is a test, the long one `cargo run --release --package bgp --example chaos`.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod shapes;
mod solver;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bgp::SpeakerConfig;
use bgp::config::{ExportPolicy, Origination, Secret, Start};
use bgp::sim::Net;
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use model::{Family, Prefix};

use self::shapes::{Dice, Shape, Site, address, block, key};

/// How many misfortunes befall a network.
const MISFORTUNES: usize = 60;

/// What a run was like.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub speakers: usize,
    pub sessions: usize,
    pub routes: usize,
}

struct World {
    net: Net,
    site: Site,
    dead: BTreeSet<usize>,
    dice: Dice,
}

/// One network of so many speakers, its misfortunes, and what it came to.
pub fn run(shape: Shape, speakers: usize, seed: u64) -> Result<Run, String> {
    let site = shape.site(speakers);
    let mut net = Net::new(seed);
    net.lose_one_in(50);
    for (node, config) in site.configs.iter().enumerate() {
        net.add(vec![address(node)], config.clone());
    }
    let mut world = World { net, site, dead: BTreeSet::new(), dice: Dice::new(seed) };
    for _ in 0..MISFORTUNES {
        world.suffer();
    }
    world.recover();
    world.judge()?;
    let beliefs = world.net.beliefs();
    let run = Run {
        speakers: world.site.configs.len(),
        sessions: world.site.edges.len(),
        routes: beliefs.iter().map(BTreeMap::len).sum(),
    };
    world.nothing_is_left()?;
    Ok(run)
}

impl World {
    fn suffer(&mut self) {
        let node = self.dice.below(self.site.configs.len());
        let (a, b) = self.site.edges[self.dice.below(self.site.edges.len())];
        let extra = block(200 + self.dice.below(40));
        match self.dice.below(16) {
            0 => {
                self.net.kill(node);
                self.dead.insert(node);
            }
            1 | 2 => self.revive(),
            3 | 4 => self.net.reset(a, b),
            5 => self.net.cut(a, b),
            6 => self.net.heal(a, b),
            7 => self.partition(),
            8 => {
                self.site.configs[node].originate.insert(extra, Origination::default());
                self.configure(node);
            }
            9 => {
                self.site.configs[node].originate.remove(&extra);
                self.configure(node);
            }
            10 => self.net.stop_reading(node),
            11 => self.net.read_again(node),
            12 => self.net.configure(a, |config| {
                config.peers.remove(&key(b));
            }),
            13 => self.net.configure(a, |config| {
                let peer = config.peers.get_mut(&key(b));
                peer.into_iter().for_each(|peer| peer.password = Some(Secret::new("new")));
            }),
            14 => self.net.configure(a, |config| {
                let peer = config.peers.get_mut(&key(b));
                peer.into_iter().for_each(|peer| peer.export = ExportPolicy::Nothing);
            }),
            _ => self.configure(node),
        }
        let pause = [10, 200, 3_000, 40_000][self.dice.below(4)];
        self.net.run(Duration::from_millis(self.dice.below(pause) as u64));
    }

    /// A part of the network is cut off from the rest.
    fn partition(&mut self) {
        let from = self.dice.below(self.site.configs.len());
        let to = from + 1 + self.dice.below(30);
        let inside = |node: usize| (from..to).contains(&node);
        for (a, b) in self.site.edges.iter().filter(|(a, b)| inside(*a) != inside(*b)) {
            self.net.cut(*a, *b);
        }
    }

    fn configure(&mut self, node: usize) {
        if !self.dead.contains(&node) {
            let wanted = self.site.configs[node].clone();
            self.net.configure(node, |config| *config = wanted);
        }
    }

    fn revive(&mut self) {
        if let Some(node) = self.dead.pop_first() {
            let mut config = self.site.configs[node].clone();
            config.graceful_restart.start = Start::Restarted;
            self.net.start(node, config);
        }
    }

    /// All misfortunes end, and there is time enough for everything to settle.
    fn recover(&mut self) {
        for (a, b) in self.site.edges.clone() {
            self.net.heal(a, b);
        }
        while !self.dead.is_empty() {
            self.revive();
        }
        for node in 0..self.site.configs.len() {
            self.net.read_again(node);
            self.configure(node);
        }
        self.net.run(Duration::from_secs(600));
    }

    fn judge(&self) -> Result<(), String> {
        if let Some(fault) = self.net.faults.first() {
            return Err(format!("{} faults, the first: {fault}", self.net.faults.len()));
        }
        let addresses: Vec<IpAddr> = (0..self.site.configs.len()).map(address).collect();
        let (expected, beliefs) = (solver::fixed_point(&self.site.configs, &addresses), self.net.beliefs());
        for (node, (expected, is)) in expected.iter().zip(&beliefs).enumerate() {
            for prefix in expected.keys().chain(is.keys()) {
                if expected.get(prefix) != is.get(prefix) {
                    let (expected, is) = (expected.get(prefix), is.get(prefix));
                    return Err(format!("node {node} believes {is:?} of {prefix}, and not {expected:?}"));
                }
            }
            if !self.net.node(node).in_sync {
                return Err(format!("node {node} is not in sync"));
            }
        }
        self.no_loops(&beliefs)?;
        self.told_is_heard()
    }

    /// A packet for any prefix comes to a node that originates it, whichever of equal ways it takes.
    fn no_loops(&self, beliefs: &[BTreeMap<String, Vec<String>>]) -> Result<(), String> {
        let prefixes: BTreeSet<Prefix> = self.site.configs.iter().flat_map(|c| c.originate.keys().copied()).collect();
        let by_address: BTreeMap<String, usize> =
            (0..beliefs.len()).map(|node| (address(node).to_string(), node)).collect();
        for prefix in prefixes {
            let text = prefix.to_string();
            let arrives = |node: usize| self.site.configs[node].originate.contains_key(&prefix);
            // Distances only grow towards the origin if there is no loop: nodes whose all next hops have arrived, arrive.
            let mut there: Vec<bool> = (0..beliefs.len()).map(arrives).collect();
            loop {
                let next = |node: usize| {
                    let hops = beliefs[node].get(&text);
                    hops.is_some_and(|hops| hops.iter().all(|hop| by_address.get(hop).is_some_and(|hop| there[*hop])))
                };
                let newly: Vec<usize> = (0..beliefs.len()).filter(|node| !there[*node] && next(*node)).collect();
                if newly.is_empty() {
                    break;
                }
                newly.into_iter().for_each(|node| there[node] = true);
            }
            let lost = (0..beliefs.len()).find(|node| !there[*node] && beliefs[*node].contains_key(&text));
            if let Some(node) = lost {
                return Err(format!("a packet from node {node} to {text} comes to no end"));
            }
        }
        Ok(())
    }

    /// What each node believes that it told a peer is what that peer has received of it.
    fn told_is_heard(&self) -> Result<(), String> {
        let table = |node: usize, table: BgpTable| {
            let question = BgpRoutes { table, peer: None, within: None, after: None };
            let page =
                self.net.node(node).speaker.as_ref().map(|speaker| speaker.routes(&question)).unwrap_or_default();
            let mut by_peer: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
            let line = |row: &RouteView| format!("{} {:?} {:?}", row.prefix, row.next_hop, row.cluster_list);
            let mut after = page.next;
            let mut rows = page.routes;
            while after.is_some() {
                let question = BgpRoutes { table, peer: None, within: None, after };
                let page =
                    self.net.node(node).speaker.as_ref().map(|speaker| speaker.routes(&question)).unwrap_or_default();
                rows.extend(page.routes);
                after = page.next;
            }
            for row in rows {
                by_peer.entry(row.peer.unwrap_or(address(node))).or_default().push(line(&row));
            }
            by_peer.values_mut().for_each(|lines| lines.sort());
            by_peer
        };
        let all = |which: BgpTable| (0..self.site.configs.len()).map(|node| table(node, which)).collect::<Vec<_>>();
        let (told, heard) = (all(BgpTable::Advertised), all(BgpTable::Received));
        for (a, b) in self.site.edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
            let (told, heard) = (told[a].get(&address(b)), heard[b].get(&address(a)));
            if told != heard {
                return Err(format!("node {a} has told {b} {told:?}, which has heard {heard:?}"));
            }
        }
        Ok(())
    }

    /// When all peers and own routes are gone, nothing is left in any table.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        for node in 0..self.site.configs.len() {
            self.net.configure(node, |config: &mut SpeakerConfig| {
                config.peers.clear();
                config.originate.clear();
            });
        }
        self.net.run(Duration::from_secs(1));
        for (id, node) in self.net.nodes() {
            let Some(speaker) = &node.speaker else { continue };
            let left = (speaker.prefixes(Family::Ipv4), speaker.attribute_sets(), node.kernel.len());
            if left != (0, 0, 0) {
                return Err(format!("node {id} still has {left:?}"));
            }
        }
        Ok(())
    }
}
