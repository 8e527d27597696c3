//! Pools that are carved into blocks: what this node wants of them, and what of them it may give to a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipam::block::{Holding, Kept, Level, POD_HANDLE, PoolWant, STOCK_HANDLE, TUNNEL_HANDLE, Wants};
use ipam::{Annotations, Block, Openness};
use model::object::{AllocationAttribute, GoDuration, IpPool, IpamConfiguration, KEEP_ADDRESS, Pod};
use model::{Family, PodRef, Prefix};

use super::pods::{annotations, openness};
use crate::world::World;

/// How long an address is kept for a pod that is gone, where its annotation says only that it is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most pods without an address that are provided for at a time.
const WAITING: usize = 128;

/// Pools that are carved into blocks.
pub fn carved(world: &World) -> Vec<&IpPool> {
    world.carved_pools().collect()
}

/// The addresses of blocks that this pod may have.
pub fn blocks(world: &World, pod: Option<&PodRef>) -> Vec<Block> {
    let carved = carved(world);
    let ended = |address| world.leases.has_ended(address);
    let mut stock: BTreeMap<Prefix, BTreeSet<IpAddr>> = world.picture.giveable(world.node.as_str(), ended);
    for block in world.file_blocks() {
        let stock_handle = format!("{STOCK_HANDLE}{}", world.node);
        let mine =
            block.held().filter(|(_, by)| by.handle_id.as_ref() == Some(&stock_handle)).map(|(ordinal, _)| ordinal);
        let free = block.unallocated.iter().copied().chain(mine).filter_map(|ordinal| block.address(ordinal));
        stock.entry(block.cidr).or_default().extend(free.filter(|address| !is_reserved(world, *address)));
    }
    if let Some(pod) = pod.and_then(|pod| world.objects.pod(pod)).filter(|pod| keeps(pod).is_some()) {
        let kept = world.picture.kept(&Kept::handle(&pod.reference()), pod.meta.uid.as_deref().unwrap_or_default());
        for (cidr, addresses) in &mut stock {
            *addresses = kept.iter().copied().filter(|address| cidr.contains(*address)).collect();
        }
    }
    let of_pool = |(cidr, addresses): (Prefix, BTreeSet<IpAddr>)| {
        let covering = carved.iter().filter(|pool| pool.cidr.covers(&cidr));
        let pool = covering.max_by_key(|pool| pool.cidr.length());
        Block {
            prefix: cidr,
            pool: pool.map(|pool| pool.meta.name.clone()).unwrap_or_default(),
            pool_cidr: pool.map_or(cidr, |pool| pool.cidr),
            openness: match pool {
                Some(pool) => openness(world, pool, pod),
                None => Openness::Closed(format!("no IPPool that is carved into blocks covers {cidr}")),
            },
            stock: Some(addresses),
        }
    };
    let mut blocks: Vec<Block> = stock.into_iter().map(of_pool).collect();
    blocks.sort_by(|a, b| (&a.pool, a.prefix).cmp(&(&b.pool, b.prefix)));
    blocks
}

/// Whether an IPReservation keeps an address back.
pub fn is_reserved(world: &World, address: IpAddr) -> bool {
    world.objects.reservations().flat_map(|it| &it.reserved_cidrs).any(|cidr| cidr.contains(address))
}

/// Whether a block says that an address is this node's stock.
pub fn is_stock(world: &World, by: &AllocationAttribute) -> bool {
    by.handle_id.as_deref() == Some(&format!("{STOCK_HANDLE}{}", world.node))
}

/// What the reconciler knows beside the world.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Now, in seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// Addresses of pods that are gone without a word, each with the number it was given at.
    pub leaked: BTreeMap<IpAddr, u64>,
    /// Nodes that are gone, to be cleared away by this node.
    pub gone: BTreeSet<String>,
}

/// What this node wants of the blocks.
pub fn wants(world: &World, seen: Seen) -> Wants {
    let default = IpamConfiguration::default();
    let settings = world.objects.ipam_configuration().unwrap_or(&default);
    let waiting: Vec<&Pod> = waiting(world).take(WAITING).collect();
    let carved = carved(world);
    let pools = carved.iter().filter_map(|pool| pool_want(world, pool, &waiting)).collect();
    let ended = |address: &IpAddr| world.leases.has_ended(*address);
    let blocks = || world.picture.blocks();
    let addresses = blocks().flat_map(|block| block.held().filter_map(|(ordinal, _)| block.address(ordinal)));
    let mut wants = Wants {
        node: world.node.to_string(),
        gone: seen.gone,
        pools,
        holds: holds(world),
        ended: addresses.filter(ended).collect(),
        leaked: seen.leaked,
        keeps: Vec::new(),
        reserved: world.objects.reservations().flat_map(|it| it.reserved_cidrs.iter().copied()).collect(),
        strict: settings.strict_affinity,
        auto: settings.auto_allocate_blocks,
        max_blocks: settings.max_blocks_per_host,
        unix_seconds: seen.unix_seconds,
        stamp: seen.unix_seconds.saturating_mul(1_000_000_000),
    };
    wants.keeps = of_this_node(world).filter_map(|pod| kept(world, pod, &carved)).collect();
    wants
}

/// Pods of this node that want an address: not the host's, and not over.
fn of_this_node(world: &World) -> impl Iterator<Item = &Pod> {
    let mine = |pod: &&Pod| pod.node.as_ref() == Some(&world.node) && !pod.host_network && !pod.ended;
    world.objects.pods().filter(mine)
}

fn waiting(world: &World) -> impl Iterator<Item = &Pod> {
    let served: BTreeSet<&PodRef> = world.leases.iter().filter_map(|lease| lease.pod.as_ref()).collect();
    of_this_node(world).filter(move |pod| !served.contains(&pod.reference()))
}

/// How many addresses of a pool are kept ready; none where no pod here may have any.
fn pool_want(world: &World, pool: &IpPool, waiting: &[&Pod]) -> Option<PoolWant> {
    let family = pool.cidr.family();
    let open = openness(world, pool, None) == Openness::Open;
    if !open && !of_this_node(world).any(|pod| may_use(world, pod, pool)) {
        return None;
    }
    let waiting = waiting.iter().filter(|pod| may_use(world, pod, pool)).count();
    let level = Level::of(pool.block_size, family.bits(), waiting);
    Some(PoolWant { name: pool.meta.name.clone(), cidr: pool.cidr, block_size: pool.block_size, level })
}

/// Whether a pod may have an address of a pool.
fn may_use(world: &World, pod: &Pod, pool: &IpPool) -> bool {
    let named = choices(world, pod, pool.cidr.family());
    match openness(world, pool, Some(&pod.reference())) {
        Openness::Closed(_) => false,
        Openness::Open => named.is_none_or(|named| names(&named, pool)),
        Openness::Named(_) => named.is_some_and(|named| names(&named, pool)),
    }
}

/// The pools that a pod names, as text; none if it names none.
fn choices(world: &World, pod: &Pod, family: Family) -> Option<Vec<String>> {
    let Annotations { ipv4_pools, ipv6_pools, .. } = annotations(world, Some(&pod.reference()));
    let text = match family {
        Family::Ipv4 => ipv4_pools,
        Family::Ipv6 => ipv6_pools,
    };
    serde_json::from_str(&text?).ok()
}

fn names(named: &[String], pool: &IpPool) -> bool {
    named.iter().any(|name| *name == pool.meta.name || *name == pool.cidr.to_string())
}

/// Addresses in use here, as their blocks are to say.
fn holds(world: &World) -> BTreeMap<IpAddr, Holding> {
    let node = || ("node".to_string(), world.node.to_string());
    let mut holds = BTreeMap::new();
    for lease in world.leases.iter() {
        let mut secondary = BTreeMap::from([node()]);
        if let Some(pod) = &lease.pod {
            secondary.insert("namespace".into(), pod.namespace.clone());
            secondary.insert("pod".into(), pod.name.clone());
        }
        let since = i64::try_from(lease.since).ok().filter(|since| *since != 0);
        if let Some(since) = since.and_then(|since| jiff::Timestamp::from_second(since).ok()) {
            secondary.insert("timestamp".into(), since.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string());
        }
        let handle = format!("{POD_HANDLE}{}", lease.attachment.container_id);
        let holding = Holding { handle, secondary };
        holds.extend(lease.addresses.iter().map(|address| (*address, holding.clone())));
    }
    if let Some(address) = super::encap::tunnel_address(world) {
        let secondary = BTreeMap::from([node(), ("type".to_string(), "ipipTunnelAddress".to_string())]);
        holds.insert(address, Holding { handle: format!("{TUNNEL_HANDLE}{}", world.node), secondary });
    }
    holds
}

/// How long a pod's address is to be kept; none if its annotation does not ask for it.
pub fn keeps(pod: &Pod) -> Option<Duration> {
    match pod.meta.annotations.get(KEEP_ADDRESS)?.as_str() {
        "true" => Some(KEPT),
        "false" | "" => None,
        text => text.parse::<GoDuration>().ok().map(|time| time.0),
    }
}

fn kept(world: &World, pod: &Pod, carved: &[&IpPool]) -> Option<Kept> {
    let time = keeps(pod)?;
    Some(Kept {
        pod: pod.reference(),
        uid: pod.meta.uid.clone()?,
        keep_seconds: time.as_secs(),
        pools: carved.iter().filter(|pool| may_use(world, pod, pool)).map(|pool| pool.cidr).collect(),
    })
}

/// The node that clears away what vanished nodes left: all agree on it, and it is another each hour, as its agent may be
/// down while the node is not gone.
pub fn caretaker<'a>(nodes: &BTreeSet<&'a str>, hour: u64) -> Option<&'a str> {
    nodes.iter().copied().min_by_key(|node| ipam::block::search::hash(&format!("{node}/{hour}")))
}
