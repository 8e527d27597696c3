//! From what was seen and what is wanted to the next steps: each one compare-and-swap, or one look.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Prefix;
use model::object::{AffinityState, BlockAffinitySpec, Deleted, IpamBlockSpec};
use serde_json::Map;

use super::edit::{self, Holding};
use super::keep::{self, Kept};
use super::level::Level;
use super::picture::{Known, Picture, Seen, Version, is_marked, is_stock};
use super::{STOCK_HANDLE, TUNNEL_HANDLE, search, stock};

/// One step. Its result is told to the picture, whatever it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// List all blocks and claims; those of these nodes are kept whole.
    Survey {
        /// This node, and those that it clears away.
        nodes: BTreeSet<String>,
    },
    /// Read a block.
    ReadBlock(Prefix),
    /// Read a handle.
    ReadHandle(String),
    /// Make a claim (no version), or change it as it was seen.
    SetAffinity {
        /// As it should be.
        spec: BlockAffinitySpec,
        /// As it was seen.
        version: Option<Version>,
    },
    /// Give up a claim as it was seen.
    DropAffinity {
        /// Whose.
        node: String,
        /// On which block.
        cidr: Prefix,
        /// As it was seen.
        version: Version,
    },
    /// Make a block that is not there.
    MakeBlock(IpamBlockSpec),
    /// Change a block as it was seen.
    WriteBlock {
        /// As it should be.
        spec: IpamBlockSpec,
        /// As it was seen.
        version: Version,
    },
    /// Remove a block as it was seen.
    DropBlock {
        /// Which.
        cidr: Prefix,
        /// As it was seen.
        version: Version,
    },
    /// Have a handle say where its addresses are; without any, it goes.
    SetHandle {
        /// Its id.
        id: String,
        /// By block, how many.
        block: BTreeMap<Prefix, u32>,
    },
}

/// A pool that is carved into blocks and that pods of this node may have addresses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWant {
    /// `metadata.name`.
    pub name: String,
    /// `spec.cidr`.
    pub cidr: Prefix,
    /// `spec.blockSize`.
    pub block_size: u8,
    /// How many addresses are kept ready.
    pub level: Level,
}

/// What this node wants of the blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wants {
    /// `metadata.name` of the Node.
    pub node: String,
    /// Nodes that are gone, whose addresses this node clears away.
    pub gone: BTreeSet<String>,
    /// Pools to keep addresses of, in the order in which they are tried.
    pub pools: Vec<PoolWant>,
    /// Addresses that are in use here, and by whom.
    pub holds: BTreeMap<IpAddr, Holding>,
    /// Addresses whose lease has ended here.
    pub ended: BTreeSet<IpAddr>,
    /// Addresses of pods that are gone without a word, each with the number it was given at.
    pub leaked: BTreeMap<IpAddr, u64>,
    /// Pods that are to have the address they had elsewhere.
    pub keeps: Vec<Kept>,
    /// IPReservations: not taken anew.
    pub reserved: Vec<Prefix>,
    /// `strictAffinity`.
    pub strict: bool,
    /// `autoAllocateBlocks`.
    pub auto: bool,
    /// `maxBlocksPerHost`, per family.
    pub max_blocks: u32,
    /// Now.
    pub unix_seconds: u64,
    /// Now, in nanoseconds since the Unix epoch: where a new block begins to count.
    pub stamp: u64,
}

/// Steps to take now, in order, and what can't be had.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Steps.
    pub ops: Vec<Op>,
    /// Why fewer addresses are ready than should be, one sentence per pool.
    pub problems: Vec<String>,
}

/// Blocks as they should be.
pub(super) type Drafts = BTreeMap<Prefix, IpamBlockSpec>;

impl Wants {
    /// What is kept ready on this node.
    pub(super) fn stock(&self) -> Holding {
        let secondary = [("node", self.node.as_str()), ("type", "margayStock")];
        Holding {
            handle: format!("{STOCK_HANDLE}{}", self.node),
            secondary: secondary.map(|(k, v)| (k.to_string(), v.to_string())).into(),
        }
    }

    /// Whether this node clears away what that node left: itself, and nodes that are gone.
    pub(super) fn cares_for(&self, node: &str) -> bool {
        node == self.node || self.gone.contains(node)
    }

    pub(super) fn is_reserved(&self, address: IpAddr) -> bool {
        self.reserved.iter().any(|prefix| prefix.contains(address))
    }
}

/// The next steps. Empty where all is as it should be.
pub fn plan(picture: &Picture, wants: &Wants) -> Plan {
    if !picture.surveyed {
        let nodes = wants.gone.iter().chain([&wants.node]).cloned().collect();
        return Plan { ops: vec![Op::Survey { nodes }], problems: Vec::new() };
    }
    let mut plan = Plan::default();
    let mut drafts: Drafts = picture.blocks.iter().map(|(cidr, known)| (*cidr, known.seen.spec.clone())).collect();
    let busy = claims(picture, wants, &mut plan.ops);
    for spec in drafts.values_mut() {
        settle(wants, spec);
        keep::expire(wants, spec);
    }
    keep::bring(picture, wants, &mut drafts, &mut plan.ops);
    stock::balance(picture, wants, &busy, &mut drafts, &mut plan);
    write(picture, wants, &busy, drafts, &mut plan.ops);
    plan
}

/// Carries on claims and what is being given up. Returns the blocks that are not to be written meanwhile.
fn claims(picture: &Picture, wants: &Wants, ops: &mut Vec<Op>) -> BTreeSet<Prefix> {
    let mut busy = BTreeSet::new();
    for (cidr, claim) in &picture.affinities {
        let known = picture.blocks.get(cidr);
        let own = known.filter(|known| known.seen.spec.host() == Some(&wants.node));
        let elsewhere = picture.others.contains_key(cidr) || known.is_some() && own.is_none();
        let set = |state| Op::SetAffinity {
            spec: BlockAffinitySpec { state, ..claim.spec.clone() },
            version: Some(claim.version.clone()),
        };
        let drop = || drop_claim(claim);
        let op = match (claim.spec.state, own) {
            (AffinityState::Confirmed, Some(_)) => continue,
            (AffinityState::PendingDeletion, Some(own)) if only_stock(own, wants) => {
                Op::DropBlock { cidr: *cidr, version: own.seen.version.clone() }
            }
            (AffinityState::Pending | AffinityState::PendingDeletion, Some(_)) => set(AffinityState::Confirmed),
            (_, None) if elsewhere || claim.spec.state == AffinityState::PendingDeletion => drop(),
            (_, None) => Op::MakeBlock(IpamBlockSpec::empty(*cidr, format!("host:{}", wants.node), wants.stamp)),
        };
        busy.insert(*cidr);
        ops.push(op);
    }
    let unclaimed = picture
        .blocks
        .iter()
        .filter(|(cidr, known)| known.seen.spec.host() == Some(&wants.node) && !picture.affinities.contains_key(*cidr));
    for (cidr, _) in unclaimed {
        busy.insert(*cidr);
        ops.push(claim(*cidr, wants));
    }
    for ((cidr, node), claim) in &picture.left {
        // What living pods have borrowed of it stays, and the block with it.
        let known = picture.blocks.get(cidr).filter(|known| known.seen.spec.host() == Some(node));
        match known {
            Some(known) if known.seen.spec.attributes.is_empty() => {
                busy.insert(*cidr);
                ops.push(Op::DropBlock { cidr: *cidr, version: known.seen.version.clone() });
            }
            Some(_) => {}
            None if picture.others.contains_key(cidr) && !picture.blocks.contains_key(cidr) => {
                ops.push(Op::ReadBlock(*cidr));
            }
            None => ops.push(drop_claim(claim)),
        }
    }
    busy
}

fn drop_claim(claim: &Seen<BlockAffinitySpec>) -> Op {
    Op::DropAffinity { node: claim.spec.node.clone(), cidr: claim.spec.cidr, version: claim.version.clone() }
}

/// The first step of a claim.
pub(super) fn claim(cidr: Prefix, wants: &Wants) -> Op {
    let spec = BlockAffinitySpec {
        state: AffinityState::Pending,
        node: wants.node.clone(),
        kind: Some("host".into()),
        cidr,
        deleted: Deleted::default(),
        rest: Map::new(),
    };
    Op::SetAffinity { spec, version: None }
}

/// Whether nobody has an address of a block but this node's stock.
pub(super) fn only_stock(known: &Known, wants: &Wants) -> bool {
    let spec = &known.seen.spec;
    spec.held().all(|(ordinal, attribute)| {
        let used = spec.address(ordinal).is_none_or(|address| wants.holds.contains_key(&address));
        is_stock(attribute) && attribute.node() == Some(&wants.node) && !used
    })
}

/// Writes into a block who holds what here.
fn settle(wants: &Wants, spec: &mut IpamBlockSpec) {
    for ordinal in 0..spec.allocations.len() {
        let Some(address) = spec.address(ordinal) else { continue };
        let holder = spec.holder(ordinal);
        let marked = holder.is_some_and(|attribute| is_marked(attribute, &wants.node));
        match (wants.holds.get(&address), holder) {
            // Another's: it stays so, and is told as a problem.
            (Some(_), Some(_)) if !marked => {}
            (Some(holding), Some(attribute)) if holding.is(attribute) || keeps(attribute) => {}
            (Some(holding), _) => edit::give(spec, ordinal, holding),
            (None, Some(attribute)) => {
                let left = attribute.node().is_some_and(|node| wants.gone.contains(node)) && !keeps(attribute);
                // A tunnel's address is held as long as there is a tunnel.
                let handle = attribute.handle_id.as_deref().unwrap_or_default();
                let idle = handle.starts_with(TUNNEL_HANDLE) || wants.ended.contains(&address);
                let ended = marked && !is_stock(attribute) && !keeps(attribute) && idle;
                let leaked = wants.leaked.get(&address).is_some_and(|seen| *seen == spec.given_at(ordinal));
                if left {
                    edit::release(spec, ordinal);
                } else if ended || leaked {
                    edit::give(spec, ordinal, &wants.stock());
                }
            }
            (None, None) => {}
        }
    }
}

fn keeps(attribute: &model::object::AllocationAttribute) -> bool {
    attribute.handle_id.as_deref().is_some_and(|handle| handle.starts_with(keep::KEEP_HANDLE))
}

/// One write for each block that is not as it should be, and for each that was not written by this process yet.
fn write(picture: &Picture, wants: &Wants, busy: &BTreeSet<Prefix>, drafts: Drafts, ops: &mut Vec<Op>) {
    let mut writes = Vec::new();
    let mut touched = BTreeSet::new();
    for (cidr, mut spec) in drafts {
        let Some(known) = picture.blocks.get(&cidr) else { continue };
        if known.doubtful {
            ops.push(Op::ReadBlock(cidr));
            continue;
        }
        let marked = spec.held().any(|(_, attribute)| is_marked(attribute, &wants.node));
        let changed = spec != known.seen.spec;
        if busy.contains(&cidr) || !changed && (known.fenced || !marked) {
            continue;
        }
        let handles = |spec: &IpamBlockSpec| -> BTreeSet<String> {
            let ours = spec.held().filter(|(_, attribute)| attribute.node().is_some_and(|node| wants.cares_for(node)));
            ours.filter_map(|(_, attribute)| attribute.handle_id.clone()).collect()
        };
        touched.extend(handles(&known.seen.spec));
        touched.extend(handles(&spec));
        spec.sequence_number = spec.sequence_number.wrapping_add(1);
        writes.push((known, spec));
    }
    let before = |id: &str| match picture.handles.get(id) {
        Some(block) => block.clone(),
        None => stock::count(picture.blocks.values().map(|known| &known.seen.spec), id),
    };
    let after = |id: &str| {
        let written = |cidr: &Prefix| writes.iter().find(|(_, spec)| spec.cidr == *cidr).map(|(_, spec)| spec);
        stock::count(picture.blocks.iter().map(|(cidr, known)| written(cidr).unwrap_or(&known.seen.spec)), id)
    };
    let changes = touched.into_iter().map(|id| (before(&id), after(&id), id)).filter(|(was, is, _)| was != is);
    // A handle says more than is there rather than less: Calico's tools release by it.
    let (gains, losses): (Vec<_>, Vec<_>) = changes
        .partition(|(was, is, _)| is.iter().any(|(cidr, count)| was.get(cidr).is_none_or(|before| before < count)));
    let set = |(_, block, id)| Op::SetHandle { id, block };
    ops.extend(gains.into_iter().map(set));
    ops.extend(writes.into_iter().map(|(known, spec)| Op::WriteBlock { spec, version: known.seen.version.clone() }));
    ops.extend(losses.into_iter().map(set));
}

/// Blocks of a pool that nobody has, from this node's own place on.
pub(super) fn free_block(picture: &Picture, wants: &Wants, pool: &PoolWant) -> Option<Prefix> {
    let known = || picture.others.keys().chain(picture.blocks.keys()).chain(picture.affinities.keys());
    let taken: BTreeSet<&Prefix> = known().filter(|cidr| pool.cidr.overlaps(cidr)).collect();
    // Blocks of another size lie about where a pool's blockSize was changed.
    let odd: Vec<&Prefix> = taken.iter().filter(|cidr| cidr.length() != pool.block_size).copied().collect();
    let most = taken.len() as u128 + wants.reserved.len() as u128 + 1 + odd.len() as u128 * 4096;
    search::first(&pool.cidr, pool.block_size, &wants.node, most, |cidr| {
        let reserved = wants.reserved.iter().any(|reserved| reserved.covers(cidr));
        !taken.contains(cidr) && !reserved && !odd.iter().any(|other| other.overlaps(cidr))
    })
}
