//! Which address is free the longest: never given ones first, in order, then the one released first.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::space::{AUTOMATIC, Block};

/// The most released addresses whose order is remembered; the oldest is forgotten, that is, counts as never given.
const REMEMBERED: usize = 1 << 17;

/// Addresses that were given and released, in the order of their release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freed {
    next: u64,
    order: BTreeMap<u64, IpAddr>,
    at: HashMap<IpAddr, u64>,
}

impl Freed {
    /// Released now: the last to be given again.
    pub fn push(&mut self, address: IpAddr) {
        self.take(address);
        self.order.insert(self.next, address);
        self.at.insert(address, self.next);
        self.next += 1;
        if self.order.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.at.remove(&oldest);
        }
    }

    /// Given again.
    pub fn take(&mut self, address: IpAddr) {
        if let Some(at) = self.at.remove(&address) {
            self.order.remove(&at);
        }
    }

    /// Was it given, and released, and not given again?
    pub fn has(&self, address: IpAddr) -> bool {
        self.at.contains_key(&address)
    }

    /// From long ago to lately.
    pub fn in_order(&self) -> impl Iterator<Item = IpAddr> {
        self.order.values().copied()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Is none remembered?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The address of these blocks (filled in order) that is free the longest; `taken` says which are not free.
    pub fn longest_free(&self, blocks: &[&Block], taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let never_given = blocks.iter().find_map(|block| {
            (0..block.size().min(AUTOMATIC))
                .map_while(|offset| block.nth(offset))
                .find(|&address| block.may_give(address) && !taken(address) && !self.at.contains_key(&address))
        });
        never_given
            .or_else(|| self.in_order().find(|&address| !taken(address) && blocks.iter().any(|b| b.may_give(address))))
    }
}
