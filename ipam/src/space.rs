//! What this node may give to pods: its pod CIDRs, each within a pool, less what is reserved.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Family, Prefix};

/// How many addresses at the head of a block are given automatically: enough for any node, and a bound on what is remembered
/// of an IPv6 block. Addresses beyond it can still be asked for by name (`cni.projectcalico.org/ipAddrs`).
pub const AUTOMATIC: u128 = 1 << 16;

/// May an address of this block be given to this pod?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Openness {
    /// To every pod that asks.
    Open,
    /// Only to a pod that names the pool (`ipv4pools`, `ipv6pools`) or the address: the reason, such as "nodeSelector does not match".
    Named(String),
    /// To none: the reason, such as "pool is disabled".
    Closed(String),
}

/// One pod CIDR of this node, within one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The addresses. All of them are given, the first and the last too: each is a /32 or /128 of its own, nothing is a broadcast.
    pub prefix: Prefix,
    /// `metadata.name` of the IPPool.
    pub pool: String,
    /// `spec.cidr` of the IPPool.
    pub pool_cidr: Prefix,
    /// To whom it is open.
    pub openness: Openness,
    /// Of a block that other nodes may use too: the addresses that are this node's to give. None: all of them are.
    pub stock: Option<BTreeSet<IpAddr>>,
}

impl Block {
    /// Number of addresses; saturates for `::/0`.
    pub fn size(&self) -> u128 {
        1u128.checked_shl(u32::from(self.prefix.family().bits() - self.prefix.length())).unwrap_or(u128::MAX)
    }

    /// Whether an address is this node's to give.
    pub fn may_give(&self, address: IpAddr) -> bool {
        self.prefix.contains(address) && self.stock.as_ref().is_none_or(|stock| stock.contains(&address))
    }

    /// The address so many steps above the first; None beyond the block.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        if offset >= self.size() {
            return None;
        }
        match self.prefix.address() {
            IpAddr::V4(first) => {
                let bits = first.to_bits().checked_add(u32::try_from(offset).ok()?)?;
                Some(IpAddr::V4(Ipv4Addr::from_bits(bits)))
            }
            IpAddr::V6(first) => Some(IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().checked_add(offset)?))),
        }
    }
}

/// Everything this node may give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Space {
    /// In the order in which they are filled.
    pub blocks: Vec<Block>,
    /// Addresses that no pod gets: the tunnel's own, a gateway's.
    pub reserved: BTreeSet<IpAddr>,
    /// IPReservations: addresses that a pod gets only by naming them.
    pub kept_back: Vec<Prefix>,
}

impl Space {
    /// The block that holds an address; the longest if several do.
    pub fn block_of(&self, address: IpAddr) -> Option<&Block> {
        self.blocks.iter().filter(|block| block.prefix.contains(address)).max_by_key(|block| block.prefix.length())
    }

    /// Families in which at least one block is open to a pod that names nothing.
    pub fn families(&self) -> Vec<Family> {
        Family::ALL.into_iter().filter(|&family| self.of(family).any(|b| b.openness == Openness::Open)).collect()
    }

    /// Blocks of one family, in order.
    pub fn of(&self, family: Family) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.prefix.family() == family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(prefix: &str) -> Block {
        let prefix: Prefix = prefix.parse().unwrap();
        Block { prefix, pool: "p".into(), pool_cidr: prefix, openness: Openness::Open, stock: None }
    }

    #[test]
    fn every_address_of_a_block_is_usable_as_calico_has_it() {
        let block = block("10.244.1.0/30");
        let all: Vec<String> = (0..5).filter_map(|n| block.nth(n)).map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.244.1.0", "10.244.1.1", "10.244.1.2", "10.244.1.3"]);
    }

    #[test]
    fn the_edges_of_the_address_space_do_not_overflow() {
        assert_eq!(block("255.255.255.255/32").nth(0).map(|a| a.to_string()), Some("255.255.255.255".into()));
        assert_eq!(block("0.0.0.0/0").nth(u128::from(u32::MAX)).map(|a| a.to_string()), Some("255.255.255.255".into()));
        assert_eq!(block("0.0.0.0/0").nth(1 << 32), None);
        assert_eq!(block("::/0").size(), u128::MAX);
        assert_eq!(block("2001:db8::/64").nth(1 << 64), None);
    }
}
