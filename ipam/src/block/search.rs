//! Which block of a pool a node tries first: each begins elsewhere, so that nodes seldom want the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Family, Prefix};

/// FNV-1a: any hash will do that spreads names and never changes.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The first block, from a node's own place on, that satisfies `free`; each place is looked at once, `most` in all.
pub fn first(pool: &Prefix, block_size: u8, node: &str, most: u128, free: impl Fn(&Prefix) -> bool) -> Option<Prefix> {
    let width = u32::from(block_size.checked_sub(pool.length())?);
    let count = 1u128.checked_shl(width).unwrap_or(u128::MAX);
    let start = u128::from(hash(node)) % count;
    let places = (0..count.min(most)).map(|step| start.wrapping_add(step) % count);
    places.filter_map(|place| nth(pool, block_size, place)).find(free)
}

/// The block so many places into its pool.
fn nth(pool: &Prefix, block_size: u8, place: u128) -> Option<Prefix> {
    let shift = u32::from(pool.family().bits().checked_sub(block_size)?);
    let offset = place.checked_shl(shift)?;
    let address = match pool.address() {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().checked_add(u32::try_from(offset).ok()?)?)),
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().checked_add(offset)?)),
    };
    Prefix::new(address, block_size).ok()
}

/// The block of a pool that an address lies in.
pub fn block_of(address: IpAddr, block_size: u8) -> Option<Prefix> {
    (block_size <= Family::of(address).bits()).then(|| Prefix::masked(address, block_size).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_begin_at_different_blocks_and_find_every_one() {
        let pool: Prefix = "10.0.0.0/24".parse().unwrap();
        let firsts: std::collections::BTreeSet<_> =
            (0..32).filter_map(|n| first(&pool, 28, &format!("n{n}"), 100, |_| true)).collect();
        assert!(firsts.len() > 8, "{firsts:?}");
        let last: Prefix = "10.0.0.240/28".parse().unwrap();
        for n in 0..32 {
            assert_eq!(first(&pool, 28, &format!("n{n}"), 100, |block| *block == last), Some(last));
        }
        assert_eq!(first(&pool, 28, "n", 100, |_| false), None);
    }

    #[test]
    fn a_large_pool_does_not_overflow() {
        let pool: Prefix = "fd00::/16".parse().unwrap();
        let block = first(&pool, 122, "n1", 100, |_| true).unwrap();
        assert!(pool.covers(&block) && block.length() == 122, "{block}");
        assert_eq!(first(&"10.0.0.0/28".parse().unwrap(), 26, "n", 100, |_| true), None);
    }
}
