//! Nodes that race for the addresses of a small pool: whatever is lost, late or killed, no address is given twice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::block::picture::{Seen, concerns};
use ipam::block::{Holding, Level, Op, Picture, PoolWant, Told, Wants, plan};
use model::Prefix;
use model::object::{BlockAffinitySpec, IpamBlockSpec};
use proptest::prelude::*;

/// What an API server does: versions that only grow, and writes that fail if they name another one.
#[derive(Default)]
struct Api {
    clock: u64,
    blocks: BTreeMap<Prefix, Seen<IpamBlockSpec>>,
    affinities: BTreeMap<(String, Prefix), Seen<BlockAffinitySpec>>,
    handles: BTreeMap<String, BTreeMap<Prefix, u32>>,
}

impl Api {
    fn version(&mut self) -> String {
        self.clock += 1;
        self.clock.to_string()
    }

    fn read(&self, cidr: Prefix) -> Told {
        Told::Block { cidr, seen: self.blocks.get(&cidr).cloned() }
    }

    fn claim(&self, node: &str, cidr: Prefix) -> Told {
        let seen = self.affinities.get(&(node.to_string(), cidr)).cloned();
        Told::Affinity { node: node.into(), cidr, seen }
    }

    /// Does one step for a node, and tells what came of it.
    fn take(&mut self, op: Op) -> Told {
        let version = self.version();
        match op {
            Op::Survey { nodes } => {
                let near = |spec: &IpamBlockSpec| nodes.iter().any(|node| concerns(spec, node));
                let (blocks, others): (Vec<_>, Vec<_>) = self.blocks.values().cloned().partition(|s| near(&s.spec));
                let of_node = |seen: &&Seen<BlockAffinitySpec>| nodes.contains(&seen.spec.node);
                Told::Surveyed {
                    blocks,
                    affinities: self.affinities.values().filter(of_node).cloned().collect(),
                    others: others.into_iter().map(|s| (s.spec.cidr, s.spec.unallocated.len())).collect(),
                    hosts: self.affinities.keys().map(|(node, _)| node.clone()).collect(),
                }
            }
            Op::ReadBlock(cidr) => self.read(cidr),
            Op::ReadHandle(id) => Told::Handle { block: self.handles.get(&id).cloned().unwrap_or_default(), id },
            Op::SetAffinity { spec, version: expected } => {
                let key = (spec.node.clone(), spec.cidr);
                if self.affinities.get(&key).map(|seen| seen.version.clone()) == expected {
                    self.affinities.insert(key.clone(), Seen { version, spec });
                }
                self.claim(&key.0, key.1)
            }
            Op::DropAffinity { node: of, cidr, version: expected } => {
                let key = (of, cidr);
                if self.affinities.get(&key).is_some_and(|seen| seen.version == expected) {
                    self.affinities.remove(&key);
                }
                self.claim(&key.0, cidr)
            }
            Op::MakeBlock(spec) => {
                let cidr = spec.cidr;
                if self.blocks.contains_key(&cidr) {
                    return self.read(cidr);
                }
                let seen = Seen { version, spec };
                self.blocks.insert(cidr, seen.clone());
                Told::Written(seen)
            }
            Op::WriteBlock { spec, version: expected } => {
                let cidr = spec.cidr;
                if self.blocks.get(&cidr).is_none_or(|seen| seen.version != expected) {
                    return self.read(cidr);
                }
                let seen = Seen { version, spec };
                self.blocks.insert(cidr, seen.clone());
                Told::Written(seen)
            }
            Op::DropBlock { cidr, version: expected } => {
                if self.blocks.get(&cidr).is_some_and(|seen| seen.version == expected) {
                    self.blocks.remove(&cidr);
                }
                self.read(cidr)
            }
            Op::SetHandle { id, block } => {
                match block.is_empty() {
                    true => self.handles.remove(&id),
                    false => self.handles.insert(id.clone(), block.clone()),
                };
                Told::Handle { id, block }
            }
        }
    }
}

/// One node: what it has seen, its pods' addresses (which outlive a kill), and steps on their way.
struct Node {
    name: String,
    picture: Picture,
    leases: BTreeMap<IpAddr, String>,
    ended: BTreeSet<IpAddr>,
    queue: Vec<Op>,
    pods: u32,
}

struct Cluster {
    api: Api,
    nodes: Vec<Node>,
    /// Steps of killed processes and broken connections, which may still arrive.
    late: Vec<Op>,
    pool: Prefix,
    block_size: u8,
    strict: bool,
    max_blocks: u32,
}

impl Cluster {
    fn new(nodes: usize, pool: &str, block_size: u8, strict: bool) -> Cluster {
        let node = |n| Node {
            name: format!("n{n}"),
            picture: Picture::default(),
            leases: BTreeMap::new(),
            ended: BTreeSet::new(),
            queue: Vec::new(),
            pods: 0,
        };
        Cluster {
            api: Api::default(),
            nodes: (0..nodes).map(node).collect(),
            late: Vec::new(),
            pool: pool.parse().unwrap(),
            block_size,
            strict,
            max_blocks: 20,
        }
    }

    fn wants(&self, at: usize) -> Wants {
        let node = &self.nodes[at];
        let holding = |pod: &String| Holding {
            handle: format!("k8s-pod-network.{pod}"),
            secondary: [("node".to_string(), node.name.clone()), ("pod".to_string(), pod.clone())].into(),
        };
        Wants {
            node: node.name.clone(),
            pools: vec![PoolWant {
                name: "p".into(),
                cidr: self.pool,
                block_size: self.block_size,
                level: Level::of(self.block_size, 32, 0),
            }],
            holds: node.leases.iter().map(|(address, pod)| (*address, holding(pod))).collect(),
            ended: node.ended.clone(),
            strict: self.strict,
            auto: true,
            max_blocks: self.max_blocks,
            stamp: 1_000_000,
            ..Wants::default()
        }
    }

    fn problems(&self, at: usize) -> String {
        plan(&self.nodes[at].picture, &self.wants(at)).problems.join("; ")
    }

    /// One step of a node: takes the next on its list, or makes a new list.
    fn step(&mut self, at: usize) {
        if self.nodes[at].queue.is_empty() {
            let plan = plan(&self.nodes[at].picture, &self.wants(at));
            let node = &mut self.nodes[at];
            node.picture.issue(&plan.ops, &node.name.clone());
            node.queue = plan.ops;
        }
        let node = &mut self.nodes[at];
        if node.queue.is_empty() {
            return;
        }
        let op = node.queue.remove(0);
        let told = self.api.take(op);
        let name = node.name.clone();
        self.nodes[at].picture.learn(told, &name);
    }

    /// The connection breaks while a step is on its way: whether it was done is not known, and it may be done later.
    fn lose(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.queue.is_empty() {
            return;
        }
        let op = node.queue.remove(0);
        node.queue.clear();
        if let Op::WriteBlock { spec, .. } = &op {
            let name = node.name.clone();
            node.picture.learn(Told::Lost(spec.cidr), &name);
        }
        self.late.push(op);
    }

    fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        self.late.append(&mut node.queue);
        node.picture = Picture::default();
    }

    fn arrive_late(&mut self, which: usize) {
        if self.late.is_empty() {
            return;
        }
        let op = self.late.remove(which % self.late.len());
        self.api.take(op);
    }

    /// CNI ADD: asks nobody. False if nothing is ready.
    fn add(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let giveable = node.picture.giveable(&node.name, |address| node.ended.contains(&address));
        let free = giveable.into_values().flatten().find(|address| !node.leases.contains_key(address));
        let Some(address) = free else { return false };
        node.pods += 1;
        let pod = format!("{}-{}", node.name, node.pods);
        node.ended.remove(&address);
        node.leases.insert(address, pod);
        let holders: Vec<&str> =
            self.nodes.iter().filter(|n| n.leases.contains_key(&address)).map(|n| n.name.as_str()).collect();
        assert_eq!(holders.len(), 1, "{address} is given by {holders:?}");
        true
    }

    fn del(&mut self, at: usize, which: usize) {
        let node = &mut self.nodes[at];
        let Some(address) = node.leases.keys().nth(which % node.leases.len().max(1)).copied() else { return };
        node.leases.remove(&address);
        node.ended.insert(address);
    }

    /// Until nobody has anything to do.
    fn rest(&mut self) {
        for _ in 0..400 {
            for at in 0..self.nodes.len() {
                self.step(at);
            }
            let idle = |at: usize| {
                self.nodes[at].queue.is_empty() && plan(&self.nodes[at].picture, &self.wants(at)).ops.is_empty()
            };
            if (0..self.nodes.len()).all(idle) {
                return;
            }
        }
        panic!("the nodes do not come to rest");
    }

    /// At rest the API says of every address what the nodes say.
    fn agrees(&self) {
        for node in &self.nodes {
            for (address, pod) in &node.leases {
                let block = self.api.blocks.values().find(|seen| seen.spec.cidr.contains(*address)).expect("a block");
                let holder = block.spec.ordinal(*address).and_then(|at| block.spec.holder(at));
                let handle = holder.and_then(|holder| holder.handle_id.as_deref());
                assert_eq!(handle, Some(format!("k8s-pod-network.{pod}").as_str()), "{address}");
            }
        }
        let leases: usize = self.nodes.iter().map(|node| node.leases.len()).sum();
        let of_pods = |seen: &Seen<IpamBlockSpec>| {
            let handles = seen.spec.held().filter_map(|(_, attribute)| attribute.handle_id.clone());
            handles.filter(|handle| handle.starts_with("k8s-pod-network.")).count()
        };
        assert_eq!(self.api.blocks.values().map(of_pods).sum::<usize>(), leases);
        for seen in self.api.blocks.values() {
            let free: BTreeSet<usize> = seen.spec.unallocated.iter().copied().collect();
            let held: BTreeSet<usize> = seen.spec.held().map(|(ordinal, _)| ordinal).collect();
            assert!(free.is_disjoint(&held) && free.len() + held.len() == seen.spec.allocations.len(), "{seen:?}");
        }
    }

    /// Where nothing came late, every handle says where its addresses are.
    fn handles_agree(&self) {
        for seen in self.api.blocks.values() {
            for (id, block) in &self.api.handles {
                let count = seen.spec.held().filter(|(_, a)| a.handle_id.as_ref() == Some(id)).count();
                let said = block.get(&seen.spec.cidr).copied().unwrap_or(0) as usize;
                assert_eq!(said, count, "{id} in {}", seen.spec.cidr);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Step(usize),
    Add(usize),
    Del(usize, usize),
    Lose(usize),
    Kill(usize),
    Late(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0..4usize).prop_map(Happening::Step),
        5 => (0..4usize).prop_map(Happening::Add),
        3 => (0..4usize, 0..64usize).prop_map(|(at, which)| Happening::Del(at, which)),
        1 => (0..4usize).prop_map(Happening::Lose),
        1 => (0..4usize).prop_map(Happening::Kill),
        2 => (0..64usize).prop_map(Happening::Late),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_address_is_given_twice_whatever_is_lost_late_or_killed(
        happenings in prop::collection::vec(happening(), 0..400),
        strict in any::<bool>(),
        pool in prop_oneof![Just(("10.0.0.0/27", 30u8)), Just(("10.0.0.0/28", 29)), Just(("10.0.0.0/29", 32)), Just(("10.0.0.0/28", 28))],
    ) {
        let mut cluster = Cluster::new(4, pool.0, pool.1, strict);
        for happening in happenings {
            match happening {
                Happening::Step(at) => cluster.step(at),
                Happening::Add(at) => drop(cluster.add(at)),
                Happening::Del(at, which) => cluster.del(at, which),
                Happening::Lose(at) => cluster.lose(at),
                Happening::Kill(at) => cluster.kill(at),
                Happening::Late(which) => cluster.arrive_late(which),
            }
        }
        cluster.late.clear();
        // Each looks again, as it does from time to time.
        for node in &mut cluster.nodes {
            node.picture.look_again();
            node.queue.clear();
        }
        cluster.rest();
        cluster.agrees();
    }
}

#[test]
fn a_node_claims_a_block_ahead_of_need_and_serves_from_it_without_asking() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24", 26, false);
    assert!(!cluster.add(0), "nothing is given before it is the node's");
    cluster.rest();
    let own: Vec<Prefix> = cluster.nodes[0].picture.own("n0").map(|block| block.cidr).collect();
    assert_eq!(own.len(), 1);
    for _ in 0..16 {
        assert!(cluster.add(0));
    }
    assert!(!cluster.add(0), "16 are kept ready of a /26");
    cluster.rest();
    cluster.agrees();
    assert!(cluster.add(0));
}

#[test]
fn a_full_pool_is_borrowed_from_unless_affinity_is_strict() {
    for (strict, expected) in [(false, true), (true, false)] {
        let mut cluster = Cluster::new(1, "10.0.0.0/28", 28, strict);
        cluster.rest();
        let second = Cluster::new(2, "10.0.0.0/28", 28, strict).nodes.remove(1);
        cluster.nodes.push(second);
        cluster.rest();
        assert_eq!(cluster.add(1), expected, "strict: {strict}");
        assert_eq!(cluster.nodes[1].picture.own("n1").count(), 0);
        assert_eq!(cluster.problems(1).contains("strictAffinity forbids"), strict);
        cluster.rest();
        cluster.agrees();
        cluster.handles_agree();
    }
}

#[test]
fn what_is_no_longer_needed_goes_back_block_by_block() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24", 28, false);
    let blocks = |cluster: &Cluster| cluster.api.blocks.len();
    for _ in 0..40 {
        cluster.rest();
        assert!(cluster.add(0));
    }
    cluster.rest();
    assert!(blocks(&cluster) >= 3);
    for _ in 0..40 {
        cluster.del(0, 0);
    }
    cluster.rest();
    cluster.agrees();
    cluster.handles_agree();
    assert_eq!((blocks(&cluster), cluster.api.affinities.len()), (1, 1));
}

#[test]
fn no_more_blocks_are_claimed_than_a_host_may_have() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24", 30, false);
    cluster.max_blocks = 2;
    while {
        cluster.rest();
        cluster.add(0)
    } {}
    assert_eq!((cluster.api.blocks.len(), cluster.nodes[0].leases.len()), (2, 8));
    assert!(cluster.problems(0).contains("maxBlocksPerHost 2 is reached"), "{}", cluster.problems(0));
}

/// Two nodes and one block, of which the first has a step on its way that gives most of its stock back.
fn giving_back() -> Cluster {
    let mut cluster = Cluster::new(2, "10.0.0.0/28", 28, false);
    cluster.rest();
    for _ in 0..3 {
        while cluster.add(0) {}
        cluster.rest();
    }
    while cluster.nodes[0].leases.len() > 1 {
        cluster.del(0, 0);
    }
    for _ in 0..20 {
        cluster.step(0);
        let gives_back = |op: &Op| match op {
            Op::WriteBlock { spec, .. } => spec.unallocated.len() > 4,
            _ => false,
        };
        if cluster.nodes[0].queue.iter().any(gives_back) {
            return cluster;
        }
    }
    panic!("nothing is given back");
}

/// The second node takes all that it can get.
fn grab(cluster: &mut Cluster) {
    for _ in 0..8 {
        cluster.nodes[1].picture.look_again();
        for _ in 0..12 {
            cluster.step(1);
            cluster.add(1);
        }
    }
}

#[test]
fn what_is_about_to_be_given_back_is_given_to_no_pod_any_more() {
    let mut cluster = giving_back();
    while cluster.add(0) {}
    while !cluster.nodes[0].queue.is_empty() {
        cluster.step(0);
    }
    grab(&mut cluster);
    assert!(cluster.nodes[1].leases.len() > 2);
}

#[test]
fn a_lost_write_that_arrives_later_takes_no_address_from_a_pod() {
    let mut cluster = giving_back();
    while !cluster.nodes[0].queue.is_empty() {
        cluster.lose(0);
    }
    while cluster.add(0) {}
    let kept = cluster.nodes[0].leases.len();
    cluster.arrive_late(0);
    grab(&mut cluster);
    assert!(cluster.nodes[0].leases.len() == kept && !cluster.nodes[1].leases.is_empty());
}

#[test]
fn a_killed_predecessors_write_takes_no_address_from_a_pod() {
    for looks in 0..6 {
        let mut cluster = giving_back();
        cluster.kill(0);
        for _ in 0..looks {
            cluster.step(0);
            while cluster.add(0) {}
        }
        while !cluster.late.is_empty() {
            cluster.arrive_late(0);
        }
        grab(&mut cluster);
    }
}

#[test]
fn a_leaked_address_is_taken_back_unless_it_was_given_again_since() {
    let mut cluster = Cluster::new(1, "10.0.0.0/28", 28, false);
    cluster.rest();
    assert!(cluster.add(0));
    cluster.rest();
    let address = *cluster.nodes[0].leases.keys().next().unwrap();
    // The lease is lost without a trace.
    cluster.nodes[0].leases.clear();
    let of_pod = |cluster: &Cluster, leaked: u64| {
        let wants = Wants { leaked: [(address, leaked)].into(), ..cluster.wants(0) };
        let plan = plan(&cluster.nodes[0].picture, &wants);
        plan.ops.iter().any(|op| matches!(op, Op::WriteBlock { .. }))
    };
    let block = cluster.api.blocks.values().next().unwrap();
    let given_at = block.spec.given_at(block.spec.ordinal(address).unwrap());
    assert!(!of_pod(&cluster, given_at - 1), "somebody else's by now");
    assert!(of_pod(&cluster, given_at));
}
