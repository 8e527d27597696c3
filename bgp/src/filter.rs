//! What is believed of what peers say, and what they are told.

use std::net::Ipv6Addr;

use model::{Family, Prefix};

use crate::wire::{PeerKind, Prefix4, Prefix6};

/// Why a path is not believed. It stays visible among those received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 0.0.0.0/0 or ::/0.
    DefaultRoute,
    /// Loopback, link-local, multicast or reserved addresses (RFC 6890).
    Martian,
    /// An external peer announces what this node originates, or a part of it.
    OwnPrefix,
    /// An external peer announces a pool prefix that covers what this node originates.
    CoversOwnPrefix,
    /// Our AS is in AS_PATH (RFC 4271 §9.1.2).
    OwnAs,
    /// ORIGINATOR_ID is ours (RFC 4456 §8).
    OwnOriginatorId,
    /// CLUSTER_LIST has our cluster (RFC 4456 §8).
    OwnCluster,
    /// OTC in a route of a customer or a route server's client (RFC 9234 §5).
    LeakedByCustomer,
    /// OTC with another AS than the peer's in a route of a lateral peer (RFC 9234 §5).
    LeakedByPeer,
    /// A rule of the peer's import filters rejects it, or one of the filters does not exist.
    Filtered,
}

impl Refusal {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Refusal::DefaultRoute => "refused: a default route",
            Refusal::Martian => "refused: martian (loopback, link-local, multicast or reserved addresses)",
            Refusal::OwnPrefix => "refused: inside what this node originates, from an external peer",
            Refusal::CoversOwnPrefix => {
                "refused: a prefix of a pool that covers what this node originates, from an external peer"
            }
            Refusal::OwnAs => "refused: own AS in AS path (loop)",
            Refusal::OwnOriginatorId => "refused: originator id is this node's (loop)",
            Refusal::OwnCluster => "refused: own cluster id in cluster list (loop)",
            Refusal::LeakedByCustomer => {
                "refused: route leak: only for customers (OTC), from a customer or a route server's client"
            }
            Refusal::LeakedByPeer => "refused: route leak: only for customers (OTC) of another AS, from a lateral peer",
            Refusal::Filtered => "refused by a filter",
        }
    }
}

/// The safe import policy, made ready for one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    own: Vec<Prefix>,
    pools: Vec<Prefix>,
}

impl Guard {
    /// `own` is what this node originates. What lies inside another of them is guarded with it: thousands of addresses
    /// of services cost no more than the block that they are of.
    pub(crate) fn new<'a>(
        family: Family,
        own: impl IntoIterator<Item = &'a Prefix>,
        pools: impl IntoIterator<Item = &'a Prefix>,
    ) -> Guard {
        let mine = |p: &&Prefix| p.family() == family;
        let mut all: Vec<Prefix> = own.into_iter().filter(mine).copied().collect();
        // Sorted, what is inside a prefix follows it.
        all.sort_unstable();
        let mut own: Vec<Prefix> = Vec::new();
        for prefix in all {
            if own.last().is_none_or(|outer| !outer.covers(&prefix)) {
                own.push(prefix);
            }
        }
        Guard { own, pools: pools.into_iter().filter(mine).copied().collect() }
    }

    /// Why a prefix is not believed whatever a filter says.
    pub(crate) fn refuses_always<P: Checked>(prefix: P) -> Option<Refusal> {
        prefix.is_martian().then_some(Refusal::Martian)
    }

    /// Why a prefix from such a peer is not believed.
    pub(crate) fn refuses<P: Checked>(&self, prefix: P, kind: PeerKind) -> Option<Refusal> {
        if prefix.bit_length() == 0 {
            return Some(Refusal::DefaultRoute);
        }
        if let Some(refusal) = Guard::refuses_always(prefix) {
            return Some(refusal);
        }
        if kind == PeerKind::Internal || self.own.is_empty() {
            return None;
        }
        let prefix: Prefix = prefix.into();
        let own = self.own.iter().find(|own| own.overlaps(&prefix))?;
        if own.covers(&prefix) {
            return Some(Refusal::OwnPrefix);
        }
        self.pools.iter().any(|pool| pool.covers(&prefix)).then_some(Refusal::CoversOwnPrefix)
    }

    /// Whether a prefix lies in a pool of the cluster.
    pub(crate) fn in_pool(&self, prefix: &Prefix) -> bool {
        self.pools.iter().any(|pool| pool.covers(prefix))
    }
}

/// A prefix that can be held against the policy without being taken apart.
pub(crate) trait Checked: crate::wire::WirePrefix + Into<Prefix> {
    /// Whether no such addresses can be anywhere but on one link or one host.
    fn is_martian(self) -> bool;
}

/// Whether `length` bits of `address` lie in the block of `block_length` bits at `block`.
fn within4(prefix: Prefix4, block: u32, block_length: u32) -> bool {
    u32::from(prefix.length()) >= block_length && (prefix.bits() ^ block) >> (32 - block_length) == 0
}

impl Checked for Prefix4 {
    fn is_martian(self) -> bool {
        within4(self, 0, 8) // this network
            || within4(self, 127 << 24, 8) // loopback
            || within4(self, 0xa9fe_0000, 16) // 169.254/16, link-local
            || within4(self, 0xe000_0000, 3) // 224/4 multicast and 240/4 reserved
    }
}

impl Checked for Prefix6 {
    fn is_martian(self) -> bool {
        let address = Ipv6Addr::from_bits(self.bits());
        let [first, ..] = address.segments();
        let in_zero = self.bits() >> 96 == 0 && self.length() >= 96; // ::, ::1, IPv4-compatible
        in_zero
            || (self.bits() >> 32 == 0xffff && self.length() >= 96) // ::ffff:0:0/96, IPv4-mapped
            || (first & 0xffc0 == 0xfe80 && self.length() >= 10) // link-local
            || (first & 0xff00 == 0xff00 && self.length() >= 8) // multicast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn verdict(guard: &Guard, prefix: &str, kind: PeerKind) -> Option<Refusal> {
        match p(prefix).family() {
            Family::Ipv4 => guard.refuses(Prefix4::try_from(p(prefix)).unwrap(), kind),
            Family::Ipv6 => guard.refuses(Prefix6::try_from(p(prefix)).unwrap(), kind),
        }
    }

    #[test]
    fn default_routes_and_martians_are_refused_from_anybody() {
        let guard = Guard::default();
        for (prefix, refusal) in [
            ("0.0.0.0/0", Refusal::DefaultRoute),
            ("::/0", Refusal::DefaultRoute),
            ("0.1.0.0/16", Refusal::Martian),
            ("127.0.0.0/8", Refusal::Martian),
            ("169.254.1.1/32", Refusal::Martian),
            ("224.0.0.0/4", Refusal::Martian),
            ("240.0.0.0/8", Refusal::Martian),
            ("255.255.255.255/32", Refusal::Martian),
            ("::/128", Refusal::Martian),
            ("::1/128", Refusal::Martian),
            ("::ffff:10.0.0.0/104", Refusal::Martian),
            ("fe80::/64", Refusal::Martian),
            ("ff02::/16", Refusal::Martian),
        ] {
            for kind in [PeerKind::External, PeerKind::Internal] {
                assert_eq!(verdict(&guard, prefix, kind), Some(refusal), "{prefix}");
            }
        }
    }

    #[test]
    fn ordinary_prefixes_are_believed() {
        for prefix in ["10.0.0.0/8", "128.0.0.0/1", "192.0.2.0/24", "2001:db8::/32", "fd00::/8", "2000::/3"] {
            assert_eq!(verdict(&Guard::default(), prefix, PeerKind::External), None, "{prefix}");
        }
    }

    #[test]
    fn what_lies_inside_an_own_prefix_is_guarded_with_it_and_changes_nothing() {
        let pools = [p("10.244.0.0/16")];
        let block = Guard::new(Family::Ipv4, &[p("203.0.113.0/24"), p("10.244.1.0/26")], &pools);
        let own = [p("10.244.1.0/26"), p("203.0.113.10/32"), p("203.0.113.0/24"), p("203.0.113.9/32")];
        assert_eq!(Guard::new(Family::Ipv4, &own, &pools), block);
        assert_eq!(verdict(&block, "203.0.113.10/32", PeerKind::External), Some(Refusal::OwnPrefix));
        let alone = Guard::new(Family::Ipv4, &[p("203.0.113.10/32"), p("203.0.113.11/32")], &pools);
        assert_eq!(alone.own.len(), 2);
    }

    #[test]
    fn an_external_peer_may_announce_other_nodes_blocks_but_not_this_nodes() {
        let guard = Guard::new(Family::Ipv4, &[p("10.244.1.0/26")], &[p("10.244.0.0/16")]);
        for (prefix, refusal) in [
            ("10.244.2.0/26", None),
            ("10.244.1.64/26", None),
            ("10.244.1.0/26", Some(Refusal::OwnPrefix)),
            ("10.244.1.5/32", Some(Refusal::OwnPrefix)),
            ("10.244.0.0/16", Some(Refusal::CoversOwnPrefix)),
            ("10.244.1.0/24", Some(Refusal::CoversOwnPrefix)),
            ("10.0.0.0/8", None),
        ] {
            assert_eq!(verdict(&guard, prefix, PeerKind::External), refusal, "{prefix}");
            assert_eq!(verdict(&guard, prefix, PeerKind::Internal), None, "{prefix}");
        }
    }
}
