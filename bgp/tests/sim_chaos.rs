//! Random networks with random misfortunes, held against a slow and obvious solver.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::collections::{BTreeMap, BTreeSet};

use bgp::config::{AddPath, ExportPolicy, Origination, Reflection, Secret, Start};
use bgp::sim::Net;
use bgp::{PeerConfig, SpeakerConfig};
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use model::{ClusterId, Family, Prefix};
use proptest::prelude::*;
use sim_support::{address, asn, block, config, key, mesh_config, seconds};

/// What befalls a network.
#[derive(Debug, Clone)]
enum Misfortune {
    Kill(usize),
    Return(usize),
    Reset(usize, usize),
    Cut(usize, usize),
    Heal(usize, usize),
    Originate(usize, u8),
    Cease(usize, u8),
    Deafen(usize),
    Hear(usize),
    /// A node no longer has the other as a peer.
    Disown(usize, usize),
    /// All peers of a node are as they should be again.
    Own(usize),
    /// A change that resets the session.
    Password(usize, usize),
    /// A change that has every route judged and told anew.
    Policy(usize, usize),
    /// The same, and the other is told so many paths of a prefix.
    Limit(usize, usize, u8),
    /// A change of a capability.
    AddPath(usize, usize, AddPath),
    Wait(u64),
}

fn misfortune(size: usize) -> impl Strategy<Value = Misfortune> {
    let node = move || 0..size;
    prop_oneof![
        node().prop_map(Misfortune::Kill),
        node().prop_map(Misfortune::Return),
        (node(), node()).prop_map(|(a, b)| Misfortune::Reset(a, b)),
        (node(), node()).prop_map(|(a, b)| Misfortune::Cut(a, b)),
        (node(), node()).prop_map(|(a, b)| Misfortune::Heal(a, b)),
        (node(), 100u8..110).prop_map(|(a, n)| Misfortune::Originate(a, n)),
        (node(), 100u8..110).prop_map(|(a, n)| Misfortune::Cease(a, n)),
        node().prop_map(Misfortune::Deafen),
        node().prop_map(Misfortune::Hear),
        (node(), node()).prop_map(|(a, b)| Misfortune::Disown(a, b)),
        node().prop_map(Misfortune::Own),
        (node(), node()).prop_map(|(a, b)| Misfortune::Password(a, b)),
        (node(), node()).prop_map(|(a, b)| Misfortune::Policy(a, b)),
        (node(), node(), 1u8..4).prop_map(|(a, b, limit)| Misfortune::Limit(a, b, limit)),
        (node(), node()).prop_map(|(a, b)| Misfortune::AddPath(a, b, AddPath::Send)),
        (1u64..40_000).prop_map(Misfortune::Wait),
    ]
}

/// A network, its wanted configurations, and who is dead.
struct World {
    net: Net,
    configs: Vec<SpeakerConfig>,
    dead: Vec<bool>,
}

impl World {
    fn new(seed: u64, configs: Vec<SpeakerConfig>) -> World {
        let mut net = Net::new(seed);
        for (node, config) in configs.iter().enumerate() {
            net.add(vec![address(node)], config.clone());
        }
        let dead = vec![false; configs.len()];
        World { net, configs, dead }
    }

    fn suffer(&mut self, misfortune: &Misfortune) {
        match *misfortune {
            Misfortune::Kill(node) => {
                self.net.kill(node);
                self.dead[node] = true;
            }
            Misfortune::Return(node) => self.revive(node),
            Misfortune::Reset(a, b) => self.net.reset(a, b),
            Misfortune::Cut(a, b) => self.net.cut(a, b),
            Misfortune::Heal(a, b) => self.net.heal(a, b),
            Misfortune::Originate(node, n) => {
                self.configs[node].originate.insert(block(n.into()), Origination::default());
                self.configure(node);
            }
            Misfortune::Cease(node, n) => {
                self.configs[node].originate.remove(&block(n.into()));
                self.configure(node);
            }
            Misfortune::Deafen(node) => self.net.stop_reading(node),
            Misfortune::Hear(node) => self.net.read_again(node),
            Misfortune::Disown(node, other) => self.net.configure(node, |config| {
                config.peers.remove(&key(other));
            }),
            Misfortune::Own(node) => self.configure(node),
            Misfortune::Password(node, other) => self.net.configure(node, |config| {
                let peer = config.peers.get_mut(&key(other));
                peer.into_iter().for_each(|peer| peer.password = Some(Secret::new("new")));
            }),
            Misfortune::Policy(node, other) => self.net.configure(node, |config| {
                let peer = config.peers.get_mut(&key(other));
                peer.into_iter().for_each(|peer| peer.export = ExportPolicy::Nothing);
            }),
            Misfortune::Limit(node, other, limit) => self.net.configure(node, |config| {
                let peer = config.peers.get_mut(&key(other));
                peer.into_iter().for_each(|peer| peer.add_path_limit = limit);
            }),
            Misfortune::AddPath(node, other, add_path) => self.net.configure(node, |config| {
                let peer = config.peers.get_mut(&key(other));
                peer.into_iter().for_each(|peer| peer.add_path = add_path);
            }),
            Misfortune::Wait(millis) => self.net.run(std::time::Duration::from_millis(millis)),
        }
    }

    fn configure(&mut self, node: usize) {
        if !self.dead[node] {
            let wanted = self.configs[node].clone();
            self.net.configure(node, |config| *config = wanted);
        }
    }

    fn revive(&mut self, node: usize) {
        if std::mem::take(&mut self.dead[node]) {
            let mut config = self.configs[node].clone();
            config.graceful_restart.start = Start::Restarted;
            self.net.start(node, config);
        }
    }

    /// All misfortunes end, and there is time enough for everything to settle.
    fn recover(&mut self) {
        for a in 0..self.configs.len() {
            for b in 0..a {
                self.net.heal(a, b);
            }
            self.net.read_again(a);
            self.configure(a);
            self.revive(a);
        }
        self.net.run(seconds(900));
    }
}

/// What each node believes that it told a peer is what that peer has received of it.
fn told_is_heard(net: &Net) -> Result<(), String> {
    let table = |node: usize, table: BgpTable, peer: usize| {
        let question = BgpRoutes { table, peer: Some(address(peer)), within: None, after: None };
        let page = net.node(node).speaker.as_ref().map(|speaker| speaker.routes(&question)).unwrap_or_default();
        let line =
            |row: RouteView| format!("{} {:?} {:?} {:?}", row.prefix, row.path_id, row.next_hop, row.cluster_list);
        page.routes.into_iter().map(line).collect::<BTreeSet<String>>()
    };
    for (a, _) in net.nodes() {
        for (b, _) in net.nodes().filter(|(b, _)| *b != a) {
            let (told, heard) = (table(a, BgpTable::Advertised, b), table(b, BgpTable::Received, a));
            if told != heard {
                return Err(format!("node {a} has told {b} {told:?}, which has heard {heard:?}"));
            }
        }
    }
    Ok(())
}

/// When all peers and own routes are gone, nothing is left in any table.
fn nothing_is_left(net: &mut Net) -> Result<(), String> {
    for node in 0..net.nodes().count() {
        net.configure(node, |config| {
            config.peers.clear();
            config.originate.clear();
        });
    }
    net.run(seconds(1));
    for (id, node) in net.nodes() {
        let Some(speaker) = &node.speaker else { continue };
        let left = (speaker.prefixes(Family::Ipv4), speaker.attribute_sets(), node.kernel.len());
        if left != (0, 0, 0) {
            return Err(format!("node {id} still has {left:?}"));
        }
    }
    Ok(())
}

/// What every node must believe of a mesh: for each prefix of another node the origin's address; if several originate it,
/// all of them, the lowest router id first.
fn mesh_fixed_point(configs: &[SpeakerConfig]) -> Vec<BTreeMap<String, Vec<String>>> {
    let believes = |me: usize| {
        let mut routes: BTreeMap<Prefix, Vec<usize>> = BTreeMap::new();
        for (origin, config) in configs.iter().enumerate() {
            for prefix in config.originate.keys() {
                routes.entry(*prefix).or_default().push(origin);
            }
        }
        let learned = routes.into_iter().filter(|(_, origins)| !origins.contains(&me));
        let hops = |origins: Vec<usize>| origins.into_iter().map(|origin| address(origin).to_string()).collect();
        learned.map(|(prefix, origins)| (prefix.to_string(), hops(origins))).collect()
    };
    (0..configs.len()).map(believes).collect()
}

/// With one reflector, node 0, a client sees one path of each prefix: the reflector's own choice.
fn star_fixed_point(configs: &[SpeakerConfig]) -> Vec<BTreeMap<String, Vec<String>>> {
    let mesh = mesh_fixed_point(configs);
    let hub = mesh.first().cloned().unwrap_or_default();
    let hub_owns = |prefix: &String| configs[0].originate.keys().any(|own| own.to_string() == *prefix);
    let believes = |me: usize| {
        if me == 0 {
            return hub.clone();
        }
        let mut routes = BTreeMap::new();
        for (prefix, origins) in &mesh[me] {
            // The reflector tells of one path; of its own, if it has one. What it would tell of ours it keeps.
            let told = if hub_owns(prefix) { address(0).to_string() } else { origins[0].clone() };
            routes.insert(prefix.clone(), vec![told]);
        }
        routes
    };
    (0..configs.len()).map(believes).collect()
}

/// With one reflector that tells its clients several paths (RFC 7911), they believe what they would in a mesh, of so many
/// paths at most; their own count among them.
fn several_fixed_point(configs: &[SpeakerConfig], limit: u8) -> Vec<BTreeMap<String, Vec<String>>> {
    let mut nodes = mesh_fixed_point(configs);
    let clients = nodes.iter_mut().skip(1).flat_map(BTreeMap::values_mut);
    clients.for_each(|hops| hops.truncate(limit.into()));
    nodes
}

fn star_with_several_paths(size: usize, limit: u8) -> Vec<SpeakerConfig> {
    let mut configs = star(size);
    for peer in configs.iter_mut().flat_map(|config| config.peers.values_mut()) {
        (peer.add_path, peer.add_path_limit) = (AddPath::Both, limit);
    }
    configs
}

fn star(size: usize) -> Vec<SpeakerConfig> {
    let one = |node: usize| {
        let mut config = config(node, 64512);
        if node == 0 {
            config.cluster_id = Some(ClusterId(1));
            for client in 1..size {
                let mut peer = PeerConfig::new(format!("client {client}"), asn(64512));
                peer.reflection = Reflection::Client;
                config.peers.insert(key(client), peer);
            }
        } else {
            config.peers.insert(key(0), PeerConfig::new("reflector", asn(64512)));
        }
        config
    };
    (0..size).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mesh_comes_to_its_one_fixed_point_whatever_befell_it(
        seed in any::<u64>(),
        fate in prop::collection::vec(misfortune(4), 0..40),
    ) {
        let mut world = World::new(seed, (0..4).map(|node| mesh_config(node, 4)).collect());
        fate.iter().for_each(|misfortune| world.suffer(misfortune));
        world.recover();
        prop_assert_eq!(world.net.beliefs(), mesh_fixed_point(&world.configs));
        prop_assert_eq!(&world.net.faults, &Vec::<String>::new());
        for (id, node) in world.net.nodes() {
            prop_assert!(node.in_sync, "node {}", id);
        }
        prop_assert_eq!(told_is_heard(&world.net), Ok(()));
        prop_assert_eq!(nothing_is_left(&mut world.net), Ok(()));
    }

    #[test]
    fn a_reflector_and_its_clients_come_to_their_one_fixed_point_whatever_befell_them(
        seed in any::<u64>(),
        fate in prop::collection::vec(misfortune(4), 0..40),
    ) {
        let mut world = World::new(seed, star(4));
        fate.iter().for_each(|misfortune| world.suffer(misfortune));
        world.recover();
        prop_assert_eq!(world.net.beliefs(), star_fixed_point(&world.configs));
        prop_assert_eq!(&world.net.faults, &Vec::<String>::new());
        prop_assert_eq!(told_is_heard(&world.net), Ok(()));
        prop_assert_eq!(nothing_is_left(&mut world.net), Ok(()));
    }

    #[test]
    fn rfc7911_clients_that_are_told_several_paths_come_to_the_fixed_point_of_a_mesh(
        seed in any::<u64>(),
        limit in 1u8..=4,
        fate in prop::collection::vec(misfortune(4), 0..40),
    ) {
        let mut world = World::new(seed, star_with_several_paths(4, limit));
        fate.iter().for_each(|misfortune| world.suffer(misfortune));
        world.recover();
        prop_assert_eq!(world.net.beliefs(), several_fixed_point(&world.configs, limit));
        prop_assert_eq!(&world.net.faults, &Vec::<String>::new());
        prop_assert_eq!(told_is_heard(&world.net), Ok(()));
        prop_assert_eq!(nothing_is_left(&mut world.net), Ok(()));
    }
}
