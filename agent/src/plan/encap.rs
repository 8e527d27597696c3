//! Whether a route goes through the IPIP tunnel, and how the tunnel device should be.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use dataplane::want::Tunnel;
use ipam::Block;
use ipam::block::TUNNEL_HANDLE;
use model::object::{EncapMode, IpPool, IpamBlockSpec, Node};
use model::{Family, Prefix, kernel};

use crate::plan::{mtu, own};
use crate::world::World;

/// Through the tunnel or not, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encap {
    /// As it is.
    Plain(PlainReason),
    /// In an IPv4 packet to the next hop (RFC 2003).
    Tunnel(TunnelReason),
}

/// Why a route is not tunnelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainReason {
    /// No pool covers the prefix.
    NoPool,
    /// The pool's mode is Never.
    Never(String),
    /// Next hop and node share this subnet.
    SameSubnet(IpAddr, Prefix),
    /// The next hop is a router, which has no tunnel's other end.
    NotANode(IpAddr),
}

/// Why a route is tunnelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelReason {
    /// The pool's mode is Always.
    Always(String),
    /// The next hop is not on this node's subnet.
    CrossSubnet(IpAddr, Prefix),
}

/// What the decision needs of the world, found once for many routes.
#[derive(Debug)]
pub struct Encaps<'a> {
    pools: Vec<&'a IpPool>,
    nodes: HashSet<IpAddr>,
    subnet: Option<Prefix>,
}

impl<'a> Encaps<'a> {
    /// As the objects stand now.
    pub fn new(world: &'a World) -> Encaps<'a> {
        let addresses = |node: &Node| node.ipv4().map(IpAddr::V4);
        Encaps {
            pools: world.objects.pools().collect(),
            nodes: world.objects.nodes().filter_map(addresses).collect(),
            subnet: own::addresses(world).ipv4.map(|own| own.address.subnet),
        }
    }

    /// The longest pool that covers a prefix, by which alone the prefix matters.
    pub fn pool(&self, prefix: &Prefix) -> Option<usize> {
        let covering = self.pools.iter().enumerate().filter(|(_, p)| p.cidr.covers(prefix));
        covering.max_by_key(|(_, p)| p.cidr.length()).map(|(at, _)| at)
    }

    /// Decides for one next hop of one prefix.
    pub fn decide(&self, prefix: &Prefix, next_hop: IpAddr) -> Encap {
        let Some(pool) = self.pool(prefix).and_then(|at| self.pools.get(at)) else {
            return Encap::Plain(PlainReason::NoPool);
        };
        let name = || pool.meta.name.clone();
        match (pool.ipip_mode, self.subnet) {
            (EncapMode::Never, _) => Encap::Plain(PlainReason::Never(name())),
            _ if !self.nodes.contains(&next_hop) => Encap::Plain(PlainReason::NotANode(next_hop)),
            (EncapMode::Always, _) => Encap::Tunnel(TunnelReason::Always(name())),
            (EncapMode::CrossSubnet, Some(subnet)) if !subnet.contains(next_hop) => {
                Encap::Tunnel(TunnelReason::CrossSubnet(next_hop, subnet))
            }
            (EncapMode::CrossSubnet, Some(subnet)) => Encap::Plain(PlainReason::SameSubnet(next_hop, subnet)),
            (EncapMode::CrossSubnet, None) => Encap::Plain(PlainReason::NotANode(next_hop)),
        }
    }
}

/// The longest IPv4 or IPv6 pool that covers a prefix.
fn pool_of<'a>(world: &'a World, prefix: &Prefix) -> Option<&'a IpPool> {
    world.objects.pools().filter(|p| p.cidr.covers(prefix)).max_by_key(|p| p.cidr.length())
}

/// The tunnel device, if any pool may need it, or if `ipipEnabled` of a FelixConfiguration says so.
pub fn tunnel(world: &World) -> Option<Tunnel> {
    let by_pools = || world.objects.pools().any(|pool| pool.ipip_mode != EncapMode::Never);
    let needed = world.objects.felix(&world.node).ipip_enabled.unwrap_or_else(by_pools);
    own::addresses(world).ipv4?;
    needed.then(|| {
        let address = match tunnel_address(world) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        Tunnel { mtu: mtu::of_tunnel(world), address }
    })
}

/// The address of the tunnel device: the one it has, if it is one of ours that no pod holds; else the first that no pod
/// holds. The node's own packets into the tunnel carry it, so that answers find their way back.
pub fn tunnel_address(world: &World) -> Option<IpAddr> {
    let node = world.objects.node(&world.node)?;
    let tunnelled = |prefix: &Prefix| pool_of(world, prefix).is_some_and(|p| p.ipip_mode != EncapMode::Never);
    let of_ipv4 = |prefix: &&Prefix| prefix.family() == Family::Ipv4;
    let Some(block) = node.pod_cidrs.iter().filter(of_ipv4).find(|prefix| tunnelled(prefix)) else {
        return of_blocks(world);
    };
    let free = |address: &IpAddr| world.leases.holder(*address).is_none();
    let device = world.kernel.link(kernel::TUNNEL);
    let has = device.and_then(|link| {
        let of_link = world.kernel.actual.addresses.iter().filter(|a| a.index == link.index);
        of_link.map(|a| a.address).find(|a| block.contains(*a) && free(a))
    });
    has.or_else(|| first_free(*block, free))
}

/// The same where pools are carved into blocks: the address that a block says is the tunnel's; else one that is ready.
fn of_blocks(world: &World) -> Option<IpAddr> {
    let tunnelled = |prefix: &Prefix| {
        let pool = pool_of(world, prefix).filter(|_| prefix.family() == Family::Ipv4);
        pool.is_some_and(|pool| pool.ipip_mode != EncapMode::Never)
    };
    let handle = format!("{TUNNEL_HANDLE}{}", world.node);
    let blocks = world.picture.blocks().chain(world.file_blocks()).filter(|block| tunnelled(&block.cidr));
    let written = |block: &IpamBlockSpec| {
        let (ordinal, _) = block.held().find(|(_, by)| by.handle_id.as_ref() == Some(&handle))?;
        block.address(ordinal)
    };
    if let Some(address) = blocks.into_iter().find_map(written) {
        return Some(address);
    }
    let free = |address: &IpAddr| world.leases.holder(*address).is_none();
    let ready = world.picture.giveable(world.node.as_str(), |_| false).into_iter();
    ready.filter(|(cidr, _)| tunnelled(cidr)).flat_map(|(_, addresses)| addresses).find(free)
}

fn first_free(prefix: Prefix, free: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let block = Block { prefix, pool: String::new(), pool_cidr: prefix, openness: ipam::Openness::Open, stock: None };
    // No node holds more pods than this.
    (0..block.size().min(1 << 16)).filter_map(|offset| block.nth(offset)).find(free)
}

impl Encap {
    /// Through the tunnel.
    pub fn is_tunnel(&self) -> bool {
        matches!(self, Encap::Tunnel(_))
    }
}

impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encap::Plain(reason) => write!(f, "no tunnel: {reason}"),
            Encap::Tunnel(reason) => write!(f, "tunnel: {reason}"),
        }
    }
}

impl Encap {
    /// The reason alone.
    pub fn reason(&self) -> String {
        match self {
            Encap::Plain(reason) => reason.to_string(),
            Encap::Tunnel(reason) => reason.to_string(),
        }
    }
}

impl fmt::Display for PlainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlainReason::NoPool => f.write_str("no IPPool covers it"),
            PlainReason::Never(pool) => write!(f, "IPPool {pool} has ipipMode Never"),
            PlainReason::SameSubnet(hop, subnet) => write!(f, "next hop {hop} is on this node's subnet {subnet}"),
            PlainReason::NotANode(hop) => write!(f, "next hop {hop} is not a node, so no tunnel ends there"),
        }
    }
}

impl fmt::Display for TunnelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunnelReason::Always(pool) => write!(f, "IPPool {pool} has ipipMode Always"),
            TunnelReason::CrossSubnet(hop, subnet) => write!(f, "next hop {hop} is not on this node's subnet {subnet}"),
        }
    }
}
