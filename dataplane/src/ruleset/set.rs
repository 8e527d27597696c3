//! Sets and verdict maps: their types, and the elements in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Family, Prefix};

use super::Verdict;

/// A named set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What is in it.
    pub key: KeyType,
    /// Each a [`Key`] of the set's type. Ranges neither overlap nor touch.
    pub elements: BTreeSet<Key>,
}

/// What the elements of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// Single addresses, by hash.
    Address(Family),
    /// Ranges of addresses (`flags interval`).
    Ranges(Family),
    /// Ranges of ports (`flags interval`).
    Ports,
    /// Address, protocol and port, by hash.
    Socket(Family),
    /// Name of an interface and address, by hash.
    InterfaceAddress(Family),
    /// Two addresses, by hash.
    Pair(Family),
    /// Something that we never make.
    Other,
}

/// A named map of verdicts, by hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictMap {
    /// What is looked up.
    pub key: MapKey,
    /// Each [`Key`] of the map's type.
    pub elements: BTreeMap<Key, Verdict>,
}

/// What a verdict map looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapKey {
    /// The name of an interface.
    Interface,
    /// An address.
    Address(Family),
    /// Something that we never make.
    Other,
}

/// One element of a set, or what a map's element is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One address.
    Address(IpAddr),
    /// First to last address.
    Range(Range),
    /// First to last port.
    Ports(u16, u16),
    /// Address, protocol (IANA's number) and port.
    Socket(IpAddr, u8, u16),
    /// Interface and address.
    InterfaceAddress(String, IpAddr),
    /// Source and destination.
    Pair(IpAddr, IpAddr),
    /// The name of an interface, of at most 15 octets.
    Interface(String),
}

/// First and last address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first that is in it.
    pub first: IpAddr,
    /// The last that is in it.
    pub last: IpAddr,
}

impl Set {
    /// An empty one.
    pub fn new(key: KeyType) -> Set {
        Set { key, elements: BTreeSet::new() }
    }

    /// Of these elements.
    pub fn of(key: KeyType, elements: impl IntoIterator<Item = Key>) -> Set {
        Set { key, elements: elements.into_iter().collect() }
    }

    /// The prefixes of a family, merged where they overlap or touch.
    pub fn prefixes<'a>(family: Family, prefixes: impl IntoIterator<Item = &'a Prefix>) -> Set {
        let of_family = prefixes.into_iter().filter(|prefix| prefix.family() == family);
        let ranges = of_family.map(|prefix| Range { first: prefix.address(), last: prefix.last() });
        Set::of(KeyType::Ranges(family), apart(ranges).into_iter().map(Key::Range))
    }
}

impl VerdictMap {
    /// An empty one.
    pub fn new(key: MapKey) -> VerdictMap {
        VerdictMap { key, elements: BTreeMap::new() }
    }
}

impl KeyType {
    /// Whether its elements are ranges, of which the kernel keeps the beginnings and the ends.
    pub fn is_interval(self) -> bool {
        matches!(self, KeyType::Ranges(_) | KeyType::Ports)
    }
}

/// Ranges of one family as such that neither overlap nor touch, which the kernel would refuse or list otherwise.
pub fn apart(ranges: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut all: Vec<Range> = ranges.into_iter().collect();
    all.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(before) if successor(before.last).is_none_or(|next| range.first <= next) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The next address, unless this is the last of all.
pub(crate) fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => a.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(a) => a.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Address(address) => write!(f, "{address}"),
            Key::Range(range) => write!(f, "{range}"),
            Key::Ports(first, last) if first == last => write!(f, "{first}"),
            Key::Ports(first, last) => write!(f, "{first}-{last}"),
            Key::Socket(address, protocol, port) => write!(f, "{address} . {protocol} . {port}"),
            Key::InterfaceAddress(interface, address) => write!(f, "\"{interface}\" . {address}"),
            Key::Pair(source, destination) => write!(f, "{source} . {destination}"),
            Key::Interface(interface) => write!(f, "\"{interface}\""),
        }
    }
}

fn address(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4_addr",
        Family::Ipv6 => "ipv6_addr",
    }
}

/// As `nft` names it.
impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            KeyType::Address(family) | KeyType::Ranges(family) => f.write_str(address(family)),
            KeyType::Ports => f.write_str("inet_service"),
            KeyType::Socket(family) => write!(f, "{} . inet_proto . inet_service", address(family)),
            KeyType::InterfaceAddress(family) => write!(f, "ifname . {}", address(family)),
            KeyType::Pair(family) => write!(f, "{0} . {0}", address(family)),
            KeyType::Other => f.write_str("(other)"),
        }
    }
}

/// As `nft` names it.
impl fmt::Display for MapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MapKey::Interface => f.write_str("ifname"),
            MapKey::Address(family) => f.write_str(address(family)),
            MapKey::Other => f.write_str("(other)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(family: Family, texts: &[&str]) -> Vec<String> {
        let prefixes: Vec<Prefix> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Set::prefixes(family, &prefixes).elements.iter().map(Key::to_string).collect()
    }

    #[test]
    fn overlapping_and_touching_prefixes_are_one_range() {
        assert_eq!(
            shown(Family::Ipv4, &["10.1.0.0/16", "10.1.5.0/24", "10.2.0.0/16", "10.4.0.0/16", "2001:db8::/32"]),
            ["10.1.0.0-10.2.255.255", "10.4.0.0-10.4.255.255"]
        );
        assert_eq!(shown(Family::Ipv4, &["0.0.0.0/0", "255.255.255.255/32"]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(shown(Family::Ipv6, &["2001:db8:1::/48", "2001:db8::/48"]).len(), 1);
    }
}
