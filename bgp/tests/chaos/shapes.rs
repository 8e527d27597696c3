//! Networks as they are built: racks behind spines, route reflectors, meshes behind border routers.

use std::net::{IpAddr, Ipv4Addr};

use bgp::config::{ExportPolicy, ImportPolicy, Origination, Reflection};
use bgp::{PeerConfig, PeerKey, SpeakerConfig};
use model::{Asn, ClusterId, Prefix, RouterId};

/// How a network is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nodes, each an AS of its own, behind top-of-rack routers behind four spines (RFC 7938).
    Racks,
    /// Two reflectors with one cluster id, and clients of both (RFC 4456).
    Reflectors,
    /// Meshes of sixteen, each an AS, with a border router behind two spines.
    Meshes,
}

impl Shape {
    pub const ALL: [Shape; 3] = [Shape::Racks, Shape::Reflectors, Shape::Meshes];

    /// So many speakers, or a few less.
    pub fn site(self, speakers: usize) -> Site {
        let mut site = Site { configs: Vec::new(), edges: Vec::new() };
        match self {
            Shape::Racks => site.racks(speakers),
            Shape::Reflectors => site.reflectors(speakers),
            Shape::Meshes => site.meshes(speakers),
        }
        site
    }
}

/// Wanted configurations by node, and who peers with whom.
pub struct Site {
    pub configs: Vec<SpeakerConfig>,
    pub edges: Vec<(usize, usize)>,
}

/// Who a speaker is: what it tells and believes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A node of a cluster.
    Node,
    /// A router that tells everybody everything.
    Router,
}

impl Site {
    fn racks(&mut self, speakers: usize) {
        let spines: Vec<usize> = (0..4).map(|_| self.add(Role::Router, 65000)).collect();
        while self.configs.len() < speakers {
            let rack = self.configs.len() as u32;
            let tor = self.add(Role::Router, 64000 + rack);
            spines.iter().for_each(|spine| self.connect(*spine, tor, Reflection::None));
            for _ in 0..13.min(speakers.saturating_sub(self.configs.len())) {
                let node = self.add(Role::Node, 4_200_000_000 + self.configs.len() as u32);
                self.connect(tor, node, Reflection::None);
            }
        }
    }

    fn reflectors(&mut self, speakers: usize) {
        let reflectors = [self.add(Role::Node, 64512), self.add(Role::Node, 64512)];
        reflectors.iter().for_each(|node| self.configs[*node].cluster_id = Some(ClusterId(1)));
        self.connect(reflectors[0], reflectors[1], Reflection::None);
        while self.configs.len() < speakers {
            let client = self.add(Role::Node, 64512);
            reflectors.iter().for_each(|reflector| self.connect(*reflector, client, Reflection::Client));
        }
    }

    fn meshes(&mut self, speakers: usize) {
        let spines: Vec<usize> = (0..2).map(|_| self.add(Role::Router, 65000)).collect();
        while self.configs.len() + 16 <= speakers {
            let local_as = 64000 + self.configs.len() as u32;
            let border = self.add(Role::Router, local_as);
            spines.iter().for_each(|spine| self.connect(*spine, border, Reflection::None));
            let first = self.configs.len();
            for _ in 0..15 {
                let node = self.add(Role::Node, local_as);
                (std::iter::once(border))
                    .chain(first..node)
                    .for_each(|other| self.connect(other, node, Reflection::None));
            }
        }
    }

    /// A speaker that originates its block.
    fn add(&mut self, role: Role, local_as: u32) -> usize {
        let node = self.configs.len();
        let id = RouterId::new(0x0a00_0001 + node as u32).unwrap();
        let mut config = SpeakerConfig::new(id, Asn::new(local_as).unwrap());
        config.pools = vec!["10.0.0.0/8".parse().unwrap()];
        config.originate.insert(block(node), Origination::default());
        if role == Role::Router {
            // Told from the other nodes by this alone.
            config.pools.clear();
        }
        self.configs.push(config);
        node
    }

    /// `reflection` is how the first sees the second.
    fn connect(&mut self, a: usize, b: usize, reflection: Reflection) {
        for (node, other, reflection) in [(a, b, reflection), (b, a, Reflection::None)] {
            let mut peer = PeerConfig::new(format!("node {other}"), self.configs[other].local_as);
            peer.reflection = reflection;
            if self.configs[node].pools.is_empty() {
                (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
            }
            self.configs[node].peers.insert(key(other), peer);
        }
        self.edges.push((a, b));
    }
}

/// Where a node is.
pub fn address(node: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + node as u32).into()
}

/// How its peers name it.
pub fn key(node: usize) -> PeerKey {
    PeerKey::new(address(node))
}

/// What it originates.
pub fn block(node: usize) -> Prefix {
    Prefix::new(Ipv4Addr::from_bits(0x0a80_0000 + ((node as u32) << 8)).into(), 24).unwrap()
}

/// Numbers that follow from the seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}
