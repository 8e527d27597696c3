//! What this node has seen of the blocks, and which addresses it may give by that.
//!
//! An address may be given when it is marked as this node's in a block, *and nothing can unmark it behind our back*. Others
//! never touch our marks; only our own writes do. Hence two rules:
//!
//! - A write that gives addresses back withdraws them here when it is issued, not when it is answered; if the answer is lost,
//!   they stay withdrawn.
//! - A write of ours that was lost (by a broken connection, or with a predecessor that was killed) may still arrive. So
//!   nothing is given from a block that was merely read: it is written first, which makes every older write fail.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Prefix;
use model::object::{AffinityState, AllocationAttribute, BlockAffinitySpec, IpamBlockSpec};
use serde::{Deserialize, Serialize};

use super::keep::{KEEP_HANDLE, KEPT_UID};
use super::plan::Op;
use super::{POD_HANDLE, STOCK_HANDLE, TUNNEL_HANDLE};

/// `metadata.resourceVersion`: equal or not, nothing else is known of it.
pub type Version = String;

/// An object as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// Which version.
    pub version: Version,
    /// What it said.
    pub spec: T,
}

/// What the API told: always the whole truth about something at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// All blocks and claims were listed.
    Surveyed {
        /// Blocks that concern this node: its own, others in which it holds addresses, and those of nodes that are gone.
        blocks: Vec<Seen<IpamBlockSpec>>,
        /// This node's claims, and those of nodes that are gone.
        affinities: Vec<Seen<BlockAffinitySpec>>,
        /// All other blocks, each with the number of its free addresses.
        others: BTreeMap<Prefix, usize>,
        /// All nodes that have claims.
        hosts: BTreeSet<String>,
    },
    /// A block was read, or is not there.
    Block {
        /// Which.
        cidr: Prefix,
        /// As it is.
        seen: Option<Seen<IpamBlockSpec>>,
    },
    /// A block was written by this node, and is now so.
    Written(Seen<IpamBlockSpec>),
    /// A claim is now so, or is not there.
    Affinity {
        /// Whose.
        node: String,
        /// On which block.
        cidr: Prefix,
        /// As it is.
        seen: Option<Seen<BlockAffinitySpec>>,
    },
    /// A handle was read, or is not there.
    Handle {
        /// Its id.
        id: String,
        /// Blocks and numbers of addresses; empty where it is not there.
        block: BTreeMap<Prefix, u32>,
    },
    /// What became of a write of this block, or of its claim, is not known.
    Lost(Prefix),
    /// A write of this block, or of its claim, was not sent.
    Unsent(Prefix),
}

/// One block as last seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub seen: Seen<IpamBlockSpec>,
    /// Written by this process: no older write can arrive any more.
    pub fenced: bool,
    /// A write of it was lost.
    pub doubtful: bool,
}

/// What this node has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    pub(super) surveyed: bool,
    pub(super) blocks: BTreeMap<Prefix, Known>,
    pub(super) affinities: BTreeMap<Prefix, Seen<BlockAffinitySpec>>,
    /// Claims of nodes that are gone.
    pub(super) left: BTreeMap<(Prefix, String), Seen<BlockAffinitySpec>>,
    pub(super) others: BTreeMap<Prefix, usize>,
    hosts: BTreeSet<String>,
    pub(super) handles: BTreeMap<String, BTreeMap<Prefix, u32>>,
    withdrawn: BTreeMap<Prefix, BTreeSet<IpAddr>>,
}

impl Picture {
    /// Takes in what the API told.
    pub fn learn(&mut self, told: Told, node: &str) {
        match told {
            Told::Surveyed { blocks, affinities, others, hosts } => {
                self.surveyed = true;
                (self.others, self.hosts) = (others, hosts);
                let (own, left) = affinities.into_iter().partition::<Vec<_>, _>(|seen| seen.spec.node == node);
                self.affinities = own.into_iter().map(|seen| (seen.spec.cidr, seen)).collect();
                self.left = left.into_iter().map(|seen| ((seen.spec.cidr, seen.spec.node.clone()), seen)).collect();
                let there: BTreeSet<Prefix> = blocks.iter().map(|seen| seen.spec.cidr).collect();
                self.blocks.retain(|cidr, _| there.contains(cidr));
                self.withdrawn.retain(|cidr, _| there.contains(cidr));
                blocks.into_iter().for_each(|seen| self.read(seen, node));
            }
            Told::Block { cidr, seen: None } => {
                self.blocks.remove(&cidr);
                self.others.remove(&cidr);
                self.withdrawn.remove(&cidr);
                for blocks in self.handles.values_mut() {
                    blocks.remove(&cidr);
                }
            }
            Told::Block { seen: Some(seen), .. } => self.read(seen, node),
            Told::Written(seen) => {
                let cidr = seen.spec.cidr;
                self.withdrawn.remove(&cidr);
                let left = self.left.keys().any(|(of, _)| *of == cidr);
                if left || concerns(&seen.spec, node) {
                    self.others.remove(&cidr);
                    self.blocks.insert(cidr, Known { seen, fenced: true, doubtful: false });
                } else {
                    self.others.insert(cidr, seen.spec.unallocated.len());
                    self.blocks.remove(&cidr);
                }
            }
            Told::Affinity { node: of, cidr, seen } => {
                match seen {
                    Some(seen) if of == node => drop(self.affinities.insert(cidr, seen)),
                    None if of == node => drop(self.affinities.remove(&cidr)),
                    Some(seen) => drop(self.left.insert((cidr, of), seen)),
                    None => drop(self.left.remove(&(cidr, of))),
                };
            }
            Told::Handle { id, block } => {
                self.handles.insert(id, block);
            }
            Told::Lost(cidr) => {
                if let Some(known) = self.blocks.get_mut(&cidr) {
                    known.doubtful = true;
                }
            }
            Told::Unsent(cidr) => {
                if self.blocks.get(&cidr).is_none_or(|known| !known.doubtful) {
                    self.withdrawn.remove(&cidr);
                }
            }
        }
    }

    /// A block was read: our last write of it has failed or is long done, unless it was lost.
    fn read(&mut self, seen: Seen<IpamBlockSpec>, node: &str) {
        let cidr = seen.spec.cidr;
        self.withdrawn.remove(&cidr);
        match concerns(&seen.spec, node) {
            true => self.others.remove(&cidr),
            false => self.others.insert(cidr, seen.spec.unallocated.len()),
        };
        let fenced = self.blocks.get(&cidr).is_some_and(|known| known.fenced && !known.doubtful);
        self.blocks.insert(cidr, Known { seen, fenced, doubtful: false });
    }

    /// Steps are about to be taken: what they give back is given to no pod any more.
    pub fn issue(&mut self, ops: &[Op], node: &str) {
        for op in ops {
            let (cidr, leaving) = match op {
                Op::WriteBlock { spec, .. } => {
                    // What is kept from now on for one pod is no other's from now on, too.
                    let stays: BTreeSet<IpAddr> = giveables(spec, node).map(|(address, _)| address).collect();
                    let now = self.blocks.get(&spec.cidr).into_iter().flat_map(|known| marked(&known.seen.spec, node));
                    (spec.cidr, now.filter(|address| !stays.contains(address)).collect::<Vec<_>>())
                }
                Op::DropBlock { cidr, .. } => (*cidr, self.marked_in(cidr, node)),
                Op::SetAffinity { spec, .. } if spec.state == AffinityState::PendingDeletion => {
                    (spec.cidr, self.marked_in(&spec.cidr, node))
                }
                _ => continue,
            };
            self.withdrawn.entry(cidr).or_default().extend(leaving);
        }
    }

    fn marked_in(&self, cidr: &Prefix, node: &str) -> Vec<IpAddr> {
        self.blocks.get(cidr).into_iter().flat_map(|known| marked(&known.seen.spec, node)).collect()
    }

    /// The addresses of each block that may be given to a pod, as long as no lease holds them: the stock, and what was
    /// written for a pod whose lease has `ended` here.
    pub fn giveable(&self, node: &str, ended: impl Fn(IpAddr) -> bool) -> BTreeMap<Prefix, BTreeSet<IpAddr>> {
        let mut giveable = BTreeMap::new();
        for (cidr, known) in &self.blocks {
            let spec = &known.seen.spec;
            if !known.fenced || spec.deleted || spec.host() == Some(node) && !self.is_confirmed(cidr) {
                continue;
            }
            let free = giveables(spec, node).filter(|(address, attribute)| is_stock(attribute) || ended(*address));
            let withdrawn = self.withdrawn.get(cidr);
            let stays = |address: &IpAddr| withdrawn.is_none_or(|gone| !gone.contains(address));
            giveable.insert(*cidr, free.map(|(address, _)| address).filter(stays).collect());
        }
        giveable
    }

    /// The address that is kept for a pod under a handle, if this node has taken it over for the pod of this uid.
    pub fn kept(&self, handle: &str, uid: &str) -> Vec<IpAddr> {
        let of_pod = |attribute: &AllocationAttribute| {
            attribute.handle_id.as_deref() == Some(handle)
                && attribute.secondary.get(KEPT_UID).is_some_and(|for_uid| for_uid == uid)
        };
        let fenced = self.blocks.values().filter(|known| known.fenced).map(|known| &known.seen.spec);
        let held = fenced.flat_map(|spec| spec.held().map(move |(ordinal, attribute)| (spec, ordinal, attribute)));
        held.filter(|(_, _, attribute)| of_pod(attribute)).filter_map(|(spec, at, _)| spec.address(at)).collect()
    }

    /// This node's blocks: claimed, confirmed, and there.
    pub fn own<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a IpamBlockSpec> {
        let own = |(cidr, known): &(&'a Prefix, &'a Known)| {
            known.seen.spec.host() == Some(node) && !known.seen.spec.deleted && self.is_confirmed(cidr)
        };
        self.blocks.iter().filter(own).map(|(_, known)| &known.seen.spec)
    }

    /// Every block that concerns this node, its own and others.
    pub fn blocks(&self) -> impl Iterator<Item = &IpamBlockSpec> {
        self.blocks.values().map(|known| &known.seen.spec)
    }

    /// The block that an address lies in, if it was seen.
    pub fn block_of(&self, address: IpAddr) -> Option<&IpamBlockSpec> {
        self.blocks().find(|block| block.cidr.contains(address))
    }

    /// All nodes that had claims at the last survey.
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.hosts
    }

    /// Everything is to be listed once more; what is known stays in force meanwhile.
    pub fn look_again(&mut self) {
        self.surveyed = false;
        self.handles.clear();
    }

    /// Whether the API was asked, and is not to be asked anew.
    pub fn is_surveyed(&self) -> bool {
        self.surveyed
    }

    pub(super) fn is_confirmed(&self, cidr: &Prefix) -> bool {
        let confirmed =
            |seen: &Seen<BlockAffinitySpec>| seen.spec.state == AffinityState::Confirmed && seen.spec.is_of_host();
        self.affinities.get(cidr).is_some_and(confirmed)
    }
}

/// Whether a node has to know a block: it is its own, or it holds addresses there.
pub fn concerns(block: &IpamBlockSpec, node: &str) -> bool {
    block.host() == Some(node) || block.attributes.iter().any(|attribute| attribute.node() == Some(node))
}

/// The addresses of a block that a node has for its pods: its stock, and what it wrote for them.
fn marked<'a>(block: &'a IpamBlockSpec, node: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    block.held().filter(move |(_, it)| is_marked(it, node)).filter_map(|(ordinal, _)| block.address(ordinal))
}

/// The addresses of a block that any pod of a node may be given, now or when who has them is gone: all that is marked but
/// what is kept for one pod, which has it by [`Picture::kept`] alone.
fn giveables<'a>(
    block: &'a IpamBlockSpec,
    node: &'a str,
) -> impl Iterator<Item = (IpAddr, &'a AllocationAttribute)> + 'a {
    let kept = |it: &AllocationAttribute| it.handle_id.as_deref().is_some_and(|id| id.starts_with(KEEP_HANDLE));
    let mine = block.held().filter(move |(_, it)| is_marked(it, node) && !kept(it));
    mine.filter_map(|(ordinal, it)| Some((block.address(ordinal)?, it)))
}

/// Whether an ordinal is this node's to give or to have given.
pub(super) fn is_marked(attribute: &AllocationAttribute, node: &str) -> bool {
    let handle = attribute.handle_id.as_deref().unwrap_or_default();
    let kind = [STOCK_HANDLE, POD_HANDLE, TUNNEL_HANDLE, KEEP_HANDLE].iter().any(|prefix| handle.starts_with(prefix));
    kind && attribute.node() == Some(node)
}

/// Whether an ordinal is kept ready, for no pod yet.
pub(super) fn is_stock(attribute: &AllocationAttribute) -> bool {
    attribute.handle_id.as_deref().is_some_and(|handle| handle.starts_with(STOCK_HANDLE))
}
