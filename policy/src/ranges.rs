//! Sets of addresses as sorted, disjoint ranges: what an interval set of the kernel holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Family, Prefix};

/// Addresses of both families.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ranges {
    ipv4: Vec<(u128, u128)>,
    ipv6: Vec<(u128, u128)>,
}

impl Ranges {
    /// Of addresses and of prefixes less others.
    pub fn new(
        addresses: impl IntoIterator<Item = IpAddr>,
        nets: impl IntoIterator<Item = (Prefix, Vec<Prefix>)>,
    ) -> Ranges {
        let mut ranges = Ranges::default();
        for address in addresses {
            let bits = bits(address);
            ranges.of_mut(Family::of(address)).push((bits, bits));
        }
        for (prefix, except) in nets {
            let mut holes: Vec<(u128, u128)> = except.iter().filter(|p| prefix.covers(p)).map(span).collect();
            holes.sort_unstable();
            ranges.of_mut(prefix.family()).extend(less(span(&prefix), &holes));
        }
        join(&mut ranges.ipv4);
        join(&mut ranges.ipv6);
        ranges
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        let ranges = self.of(Family::of(address));
        let after = ranges.partition_point(|(first, _)| *first <= bits);
        after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| bits <= *last)
    }

    /// First and last address of every range of a family, in order.
    pub fn iter(&self, family: Family) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
        self.of(family).iter().map(move |(first, last)| (address(family, *first), address(family, *last)))
    }

    /// The ranges that are not ranges of another.
    pub fn less(&self, other: &Ranges) -> Ranges {
        let of = |these: &[(u128, u128)], those: &[(u128, u128)]| -> Vec<(u128, u128)> {
            these.iter().filter(|range| those.binary_search(range).is_err()).copied().collect()
        };
        Ranges { ipv4: of(&self.ipv4, &other.ipv4), ipv6: of(&self.ipv6, &other.ipv6) }
    }

    /// Takes ranges out, and puts others in, which overlap none that stays.
    pub fn change(&mut self, added: &Ranges, removed: &Ranges) {
        for family in Family::ALL {
            let ranges = self.of_mut(family);
            ranges.retain(|range| removed.of(family).binary_search(range).is_err());
            ranges.extend(added.of(family));
            ranges.sort_unstable();
        }
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    fn of(&self, family: Family) -> &[(u128, u128)] {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }
    fn of_mut(&mut self, family: Family) -> &mut Vec<(u128, u128)> {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        // A range of this family was made from addresses of 32 bits.
        Family::Ipv4 => Ipv4Addr::from_bits(bits as u32).into(),
        Family::Ipv6 => Ipv6Addr::from_bits(bits).into(),
    }
}

fn span(prefix: &Prefix) -> (u128, u128) {
    (bits(prefix.address()), bits(prefix.last()))
}

/// A range less others inside it, which are sorted by their first address and may overlap.
fn less((first, last): (u128, u128), holes: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut left = Vec::new();
    let mut from = Some(first);
    for (hole_first, hole_last) in holes {
        let Some(start) = from else { break };
        if start < *hole_first {
            left.push((start, hole_first - 1));
        }
        if *hole_last >= start {
            from = hole_last.checked_add(1);
        }
    }
    if let Some(start) = from.filter(|start| *start <= last) {
        left.push((start, last));
    }
    left
}

/// Sorts, and makes one of ranges that touch or overlap.
fn join(ranges: &mut Vec<(u128, u128)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.drain(..) {
        match joined.last_mut() {
            Some((_, before)) if before.checked_add(1).is_none_or(|next| first <= next) => *before = last.max(*before),
            _ => joined.push((first, last)),
        }
    }
    *ranges = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ranges: &Ranges) -> Vec<String> {
        Family::ALL.into_iter().flat_map(|f| ranges.iter(f)).map(|(a, b)| format!("{a}-{b}")).collect()
    }
    fn ranges(addresses: &[&str], nets: &[(&str, &[&str])]) -> Ranges {
        let prefix = |text: &&str| text.parse::<Prefix>().unwrap();
        let nets = nets.iter().map(|(net, except)| (prefix(net), except.iter().map(prefix).collect()));
        Ranges::new(addresses.iter().map(|a| a.parse().unwrap()), nets)
    }

    #[test]
    fn neighbours_are_joined_and_exceptions_cut_out() {
        assert_eq!(
            text(&ranges(&["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.4"], &[])),
            ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.4"]
        );
        assert_eq!(
            text(&ranges(&[], &[("10.0.0.0/24", &["10.0.0.16/28", "10.0.0.16/30", "10.0.0.255/32"])])),
            ["10.0.0.0-10.0.0.15", "10.0.0.32-10.0.0.254"]
        );
        assert_eq!(
            text(&ranges(&["10.0.0.17"], &[("10.0.0.0/24", &["10.0.0.16/28"])])),
            ["10.0.0.0-10.0.0.15", "10.0.0.17-10.0.0.17", "10.0.0.32-10.0.0.255"]
        );
    }

    #[test]
    fn the_ends_of_the_address_space_are_addresses_too() {
        assert_eq!(
            text(&ranges(&[], &[("0.0.0.0/0", &["0.0.0.0/1"]), ("::/0", &["8000::/1"])])),
            ["128.0.0.0-255.255.255.255", "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
        );
        assert!(ranges(&[], &[("::/0", &["::/0"])]).is_empty());
        let all = ranges(&[], &[("::/0", &[]), ("0.0.0.0/0", &[])]);
        assert!(
            ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0"]
                .iter()
                .all(|a| all.contains(a.parse().unwrap()))
        );
    }
}
