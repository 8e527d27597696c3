//! Which next hop peers are told for what this node originates: an address of its own that they can reach.

use std::net::{IpAddr, Ipv6Addr};

use model::{Family, Prefix};

use super::Speaker;
use super::peer::Peer;
use crate::neighbours::is_link_local;
use crate::wire::NextHop;

impl Speaker {
    /// Our end of the session where it is of the family; else what the configuration says of the node. IPv4 on an IPv6
    /// session has an IPv6 next hop (RFC 8950 §3). `None` if there is none to tell.
    pub(super) fn own_next_hop(&self, family: Family, ours: IpAddr, peer: &Peer) -> Option<NextHop> {
        match (family, ours) {
            (Family::Ipv4, IpAddr::V4(address)) => Some(NextHop::V4(address)),
            (_, IpAddr::V6(address)) => Some(self.over_ipv6(address, peer)),
            (Family::Ipv6, IpAddr::V4(_)) => self.local.ipv6.map(NextHop::V6),
        }
    }

    /// Both addresses where the peer is on the link: it asks for the hardware address of the link-local one, which is
    /// there even where the global one is of no common subnet (RFC 2545 §3).
    fn over_ipv6(&self, ours: Ipv6Addr, peer: &Peer) -> NextHop {
        if is_link_local(ours.into()) {
            return match self.local.ipv6 {
                Some(global) => NextHop::V6WithLinkLocal(global, ours),
                None => NextHop::V6(ours),
            };
        }
        let shared = |subnet: &Prefix| subnet.contains(peer.key.address) && subnet.contains(ours.into());
        match self.config.link_locals.iter().find(|(subnet, _)| shared(subnet)) {
            Some((_, link_local)) => NextHop::V6WithLinkLocal(ours, *link_local),
            None => NextHop::V6(ours),
        }
    }
}
