//! Keeping addresses ready: taking more in time, and giving back what is too much.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Prefix;
use model::object::{AffinityState, BlockAffinitySpec, IpamBlockSpec};

use super::edit;
use super::picture::{Picture, is_stock};
use super::plan::{Drafts, Op, Plan, PoolWant, Wants, claim, free_block, only_stock};
use super::search;

/// The most addresses borrowed from one block at a time.
const LOAN: usize = 8;

/// By block, how many addresses a handle has.
pub(super) fn count<'a>(blocks: impl Iterator<Item = &'a IpamBlockSpec>, id: &str) -> BTreeMap<Prefix, u32> {
    let of_block = |spec: &IpamBlockSpec| {
        let held = spec.held().filter(|(_, attribute)| attribute.handle_id.as_deref() == Some(id)).count();
        (held > 0).then(|| (spec.cidr, u32::try_from(held).unwrap_or(u32::MAX)))
    };
    blocks.filter_map(of_block).collect()
}

/// Fills each pool's stock, or empties it.
pub(super) fn balance(picture: &Picture, wants: &Wants, busy: &BTreeSet<Prefix>, drafts: &mut Drafts, plan: &mut Plan) {
    for pool in &wants.pools {
        let ready = ready(wants, busy, drafts, |cidr| pool.cidr.covers(cidr));
        if ready < pool.level.low {
            fill(picture, wants, busy, pool, ready, drafts, plan);
        } else if ready > pool.level.high() {
            give_back(wants, busy, ready - pool.level.full, drafts, |cidr| pool.cidr.covers(cidr));
        }
        give_up(picture, wants, busy, pool, drafts, plan);
    }
    let unwanted = |cidr: &Prefix| !wants.pools.iter().any(|pool| pool.cidr.covers(cidr));
    give_back(wants, busy, usize::MAX, drafts, unwanted);
    for (cidr, claim) in picture.affinities.iter().filter(|(cidr, _)| unwanted(cidr) && !busy.contains(*cidr)) {
        if picture.blocks.get(cidr).is_some_and(|known| only_stock(known, wants)) {
            plan.ops.push(giving_up(claim));
            drafts.remove(cidr);
        }
    }
}

/// How many addresses are ready in the blocks chosen.
fn ready(wants: &Wants, busy: &BTreeSet<Prefix>, drafts: &Drafts, of: impl Fn(&Prefix) -> bool) -> usize {
    let chosen = drafts.iter().filter(|(cidr, _)| of(cidr) && !busy.contains(*cidr));
    chosen.map(|(_, spec)| stocked(wants, spec).count()).sum()
}

/// Ordinals of a block that are kept ready.
fn stocked<'a>(wants: &'a Wants, spec: &'a IpamBlockSpec) -> impl Iterator<Item = usize> + 'a {
    let mine = spec.held().filter(|(_, attribute)| is_stock(attribute) && attribute.node() == Some(&wants.node));
    let unused = |ordinal: &usize| spec.address(*ordinal).is_some_and(|a| !wants.holds.contains_key(&a));
    mine.map(|(ordinal, _)| ordinal).filter(unused)
}

fn is_own(wants: &Wants, spec: &IpamBlockSpec) -> bool {
    spec.host() == Some(&wants.node)
}

/// Takes addresses of own blocks; else claims a block; else borrows.
fn fill(
    picture: &Picture,
    wants: &Wants,
    busy: &BTreeSet<Prefix>,
    pool: &PoolWant,
    mut ready: usize,
    drafts: &mut Drafts,
    plan: &mut Plan,
) {
    let own: Vec<Prefix> = drafts
        .iter()
        .filter(|(cidr, spec)| pool.cidr.covers(cidr) && is_own(wants, spec) && picture.is_confirmed(cidr))
        .map(|(cidr, _)| *cidr)
        .filter(|cidr| !busy.contains(cidr))
        .collect();
    for cidr in own {
        ready += take(wants, drafts, &cidr, pool.level.full.saturating_sub(ready));
    }
    let coming = picture.affinities.keys().any(|cidr| pool.cidr.covers(cidr) && busy.contains(cidr));
    if ready >= pool.level.low || coming {
        return;
    }
    let blocks = picture.affinities.keys().filter(|cidr| cidr.family() == pool.cidr.family()).count();
    let why = match (wants.auto, blocks < wants.max_blocks as usize) {
        (false, _) => "autoAllocateBlocks is off".to_string(),
        (true, false) => format!("maxBlocksPerHost {} is reached", wants.max_blocks),
        (true, true) => match free_block(picture, wants, pool) {
            Some(cidr) => return plan.ops.push(claim(cidr, wants)),
            None => "no block of it is free".to_string(),
        },
    };
    let short =
        |how: &str| format!("pool {}: {ready} addresses ready, {} wanted: {why}; {how}", pool.name, pool.level.low);
    if wants.strict {
        return plan.problems.push(short("strictAffinity forbids to borrow"));
    }
    match lender(picture, wants, pool) {
        Some(cidr) if picture.blocks.contains_key(&cidr) => {
            take(wants, drafts, &cidr, pool.level.full.saturating_sub(ready).min(LOAN));
        }
        Some(cidr) => plan.ops.push(Op::ReadBlock(cidr)),
        None => plan.problems.push(short("no other block has a free address")),
    }
}

/// A block of another's with free addresses: one that is known before one that has to be read.
fn lender(picture: &Picture, wants: &Wants, pool: &PoolWant) -> Option<Prefix> {
    let lends = |spec: &IpamBlockSpec| {
        let free = |ordinal: &usize| spec.address(*ordinal).is_some_and(|address| !wants.is_reserved(address));
        !is_own(wants, spec) && !spec.deleted && spec.unallocated.iter().any(free)
    };
    let known = picture.blocks.iter().filter(|(cidr, _)| pool.cidr.covers(cidr));
    if let Some((cidr, _)) = known.clone().find(|(_, known)| lends(&known.seen.spec)) {
        return Some(*cidr);
    }
    let unread =
        picture.others.iter().filter(|(cidr, _)| pool.cidr.covers(cidr) && !picture.blocks.contains_key(*cidr));
    let with_room = unread.filter(|(_, free)| **free > 0).map(|(cidr, _)| *cidr);
    // Each node begins with another, lest all borrow from the same.
    with_room.min_by_key(|cidr| search::hash(&format!("{}/{cidr}", wants.node)))
}

/// Takes addresses of a block into the stock: the ones that are free the longest. Returns how many.
fn take(wants: &Wants, drafts: &mut Drafts, cidr: &Prefix, most: usize) -> usize {
    let Some(spec) = drafts.get_mut(cidr).filter(|spec| !spec.deleted) else { return 0 };
    let free = |ordinal: &usize| spec.address(*ordinal).is_some_and(|address| !wants.is_reserved(address));
    let taken: Vec<usize> = spec.unallocated.iter().copied().filter(free).take(most).collect();
    taken.iter().for_each(|&ordinal| edit::give(spec, ordinal, &wants.stock()));
    taken.len()
}

/// Gives addresses of the stock back: borrowed ones first.
fn give_back(
    wants: &Wants,
    busy: &BTreeSet<Prefix>,
    mut much: usize,
    drafts: &mut Drafts,
    of: impl Fn(&Prefix) -> bool,
) {
    for borrowed in [true, false] {
        let chosen = drafts.iter_mut().filter(|(cidr, _)| of(cidr) && !busy.contains(*cidr));
        for (_, spec) in chosen.filter(|(_, spec)| is_own(wants, spec) != borrowed) {
            let leaving: Vec<usize> = stocked(wants, spec).take(much).collect();
            much -= leaving.len();
            leaving.iter().for_each(|&ordinal| edit::release(spec, ordinal));
        }
    }
}

/// Gives up one block that holds nothing but stock, where the others have enough.
fn give_up(
    picture: &Picture,
    wants: &Wants,
    busy: &BTreeSet<Prefix>,
    pool: &PoolWant,
    drafts: &mut Drafts,
    plan: &mut Plan,
) {
    let idle = |cidr: &&Prefix| picture.blocks.get(*cidr).is_some_and(|known| only_stock(known, wants));
    let own = picture.affinities.keys().filter(|cidr| pool.cidr.covers(cidr) && !busy.contains(*cidr));
    for cidr in own.filter(idle) {
        let elsewhere = ready(wants, busy, drafts, |other| pool.cidr.covers(other) && other != cidr);
        if elsewhere < pool.level.full {
            continue;
        }
        if let Some(claim) = picture.affinities.get(cidr) {
            plan.ops.push(giving_up(claim));
            drafts.remove(cidr);
        }
        return;
    }
}

fn giving_up(claim: &super::picture::Seen<BlockAffinitySpec>) -> Op {
    Op::SetAffinity {
        spec: BlockAffinitySpec { state: AffinityState::PendingDeletion, ..claim.spec.clone() },
        version: Some(claim.version.clone()),
    }
}

/// Addresses held here that a block says are another's: given twice, or taken by hand.
pub fn disputed<'a>(picture: &'a Picture, wants: &'a Wants) -> impl Iterator<Item = (IpAddr, String)> + 'a {
    wants.holds.keys().filter_map(|address| {
        let block = picture.block_of(*address)?;
        let holder = block.holder(block.ordinal(*address)?)?;
        let other = holder.node() != Some(wants.node.as_str());
        other.then(|| (*address, holder.handle_id.clone().unwrap_or_else(|| "somebody".into())))
    })
}
