//! Links, addresses, routes and nexthop objects out of rtnetlink messages. Only the attributes we use are read; unknown ones never matter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;

use model::Prefix;

use super::attribute::{Message, address, attributes, text, u8_at, u16_at, u32_at};
use crate::actual::{ActualKind, ActualRoute, Address, Link};
use crate::nexthop::{ActualNexthop, Member, NexthopKind};
use crate::want::{NextHop, NextHops};

/// `RT_TABLE_MAIN`.
pub(super) const TABLE_MAIN: u8 = 254;
/// `RTM_F_CLONED`: an exception the kernel keeps for one destination, not a route.
const CLONED: u32 = 0x200;
/// `RTNH_F_ONLINK`.
pub(super) const ONLINK: u32 = 4;

/// `rtm_type`, `RTA_…` of linux/rtnetlink.h.
pub(super) mod rt {
    pub const UNICAST: u8 = 1;
    pub const BLACKHOLE: u8 = 6;
    pub const UNREACHABLE: u8 = 7;
    pub const PROHIBIT: u8 = 8;
    pub const THROW: u8 = 9;
    pub const DST: u16 = 1;
    pub const OIF: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const PRIORITY: u16 = 6;
    pub const MULTIPATH: u16 = 9;
    pub const TABLE: u16 = 15;
    pub const VIA: u16 = 18;
    pub const NH_ID: u16 = 30;
}

/// `NHA_…` of linux/nexthop.h.
pub(super) mod nha {
    pub const ID: u16 = 1;
    pub const GROUP: u16 = 2;
    pub const GROUP_TYPE: u16 = 3;
    pub const BLACKHOLE: u16 = 4;
    pub const OIF: u16 = 5;
    pub const GATEWAY: u16 = 6;
    pub const ENCAP: u16 = 8;
    pub const FDB: u16 = 11;
}

/// The link of an RTM_NEWLINK or RTM_DELLINK message.
pub fn link(message: &Message<'_>) -> Option<Link> {
    const ADDRESS: u16 = 1;
    const IFNAME: u16 = 3;
    const IFALIAS: u16 = 20;
    const MTU: u16 = 4;
    const LINKINFO: u16 = 18;
    const INFO_KIND: u16 = 1;
    const GROUP: u16 = 27;
    // AF_BRIDGE speaks of a link's port in a bridge, and of that port's end.
    if i32::from(u8_at(message.payload, 0)?) != libc::AF_UNSPEC {
        return None;
    }
    let flags = u32_at(message.payload, 8)?;
    let mut link = Link {
        index: u32_at(message.payload, 4)?,
        name: String::new(),
        up: flags & libc::IFF_UP as u32 != 0,
        carrier: flags & libc::IFF_LOWER_UP as u32 != 0,
        mtu: 0,
        group: 0,
        kind: None,
        mac: None,
        alias: None,
    };
    for (kind, value) in attributes(message.payload.get(16..)?) {
        match kind {
            ADDRESS => link.mac = value.try_into().ok(),
            IFNAME => link.name = text(value),
            IFALIAS => link.alias = Some(text(value)),
            MTU => link.mtu = u32_at(value, 0)?,
            GROUP => link.group = u32_at(value, 0)?,
            LINKINFO => link.kind = attributes(value).find(|(kind, _)| *kind == INFO_KIND).map(|(_, name)| text(name)),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

/// The address of an RTM_NEWADDR or RTM_DELADDR message.
pub fn interface_address(message: &Message<'_>) -> Option<Address> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    const PROTOCOL: u16 = 11;
    let (mut remote, mut local, mut protocol) = (None, None, 0);
    for (kind, value) in attributes(message.payload.get(8..)?) {
        match kind {
            ADDRESS => remote = address(value),
            LOCAL => local = address(value),
            PROTOCOL => protocol = u8_at(value, 0)?,
            _ => {}
        }
    }
    Some(Address {
        index: u32_at(message.payload, 4)?,
        // On a point-to-point link `IFA_ADDRESS` is the other end's; IPv6 has only that one otherwise.
        address: local.or(remote)?,
        length: u8_at(message.payload, 1)?,
        scope: u8_at(message.payload, 3)?,
        protocol,
    })
}

/// The route of an RTM_NEWROUTE or RTM_DELROUTE message, if it is one of table `main` that forwards or drops packets.
///
/// Routes for one type of service (`rtm_tos`) or one source only are no rivals of ours and are left out.
pub fn route(message: &Message<'_>) -> Option<ActualRoute> {
    let header = message.payload;
    let unspecified = match i32::from(u8_at(header, 0)?) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (length, source_length, tos) = (u8_at(header, 1)?, u8_at(header, 2)?, u8_at(header, 3)?);
    let (mut table, protocol, kind) = (u32::from(u8_at(header, 4)?), u8_at(header, 5)?, u8_at(header, 7)?);
    let flags = u32_at(header, 8)?;
    let (mut destination, mut metric, mut nexthop) = (unspecified, 0, None);
    let (mut one, mut several) = (Hop::default(), None);
    for (kind, value) in attributes(header.get(12..)?) {
        match kind {
            rt::DST => destination = address(value)?,
            rt::PRIORITY => metric = u32_at(value, 0)?,
            rt::TABLE => table = u32_at(value, 0)?,
            rt::NH_ID => nexthop = u32_at(value, 0),
            rt::MULTIPATH => several = NextHops::new(multipath(value)).ok(),
            _ => one.read(kind, value),
        }
    }
    if table != u32::from(TABLE_MAIN) || source_length != 0 || tos != 0 || flags & CLONED != 0 {
        return None;
    }
    let kind = match kind {
        rt::UNICAST => match several.or_else(|| one.next_hop(flags, 0).map(NextHops::one)) {
            Some(hops) => ActualKind::Unicast(hops),
            // The kernel may be told to name a nexthop object only (net.ipv4.nexthop_compat_mode).
            None => ActualKind::Other(kind),
        },
        rt::BLACKHOLE => ActualKind::Blackhole,
        rt::UNREACHABLE => ActualKind::Unreachable,
        rt::PROHIBIT | rt::THROW => ActualKind::Other(kind),
        _ => return None,
    };
    Some(ActualRoute { prefix: Prefix::masked(destination, length).ok()?, metric, protocol, nexthop, kind })
}

/// The object of an RTM_NEWNEXTHOP or RTM_DELNEXTHOP message.
pub fn nexthop(message: &Message<'_>) -> Option<ActualNexthop> {
    // `struct nhmsg`: family, scope, protocol, reserved, flags.
    let header = message.payload;
    let (protocol, flags) = (u8_at(header, 2)?, u32_at(header, 4)?);
    let (mut id, mut hop, mut group, mut other) = (None, Hop::default(), None, false);
    for (kind, value) in attributes(header.get(8..)?) {
        match kind {
            nha::ID => id = u32_at(value, 0),
            nha::GROUP => group = Some(value.chunks_exact(8).filter_map(member).collect()),
            // 0 is a group that spreads packets by a hash, the only kind we make.
            nha::GROUP_TYPE => other |= u16_at(value, 0)? != 0,
            nha::OIF => hop.device = u32_at(value, 0),
            nha::GATEWAY => hop.gateway = address(value),
            nha::BLACKHOLE | nha::ENCAP | nha::FDB => other = true,
            _ => {}
        }
    }
    let kind = match (other, group) {
        (true, _) => NexthopKind::Other,
        (false, Some(members)) => NexthopKind::Group(members),
        (false, None) => hop.next_hop(flags, 0).map_or(NexthopKind::Other, NexthopKind::One),
    };
    Some(ActualNexthop { id: id?, protocol, kind })
}

/// `struct nexthop_grp`: the id, and the weight less one.
fn member(bytes: &[u8]) -> Option<Member> {
    let weight = NonZeroU8::new(u8_at(bytes, 4)?.saturating_add(1))?;
    Some(Member { id: u32_at(bytes, 0)?, weight })
}

/// A next hop while its attributes are read.
#[derive(Default)]
struct Hop {
    gateway: Option<IpAddr>,
    device: Option<u32>,
}

impl Hop {
    fn read(&mut self, kind: u16, value: &[u8]) {
        match kind {
            rt::OIF => self.device = u32_at(value, 0),
            rt::GATEWAY => self.gateway = address(value),
            // `struct rtvia`: the family, then the address: an IPv4 route through an IPv6 router (RFC 8950).
            rt::VIA => self.gateway = value.get(2..).and_then(address),
            _ => {}
        }
    }

    fn next_hop(self, flags: u32, hops: u8) -> Option<NextHop> {
        if self.gateway.is_none() && self.device.is_none() {
            return None;
        }
        Some(NextHop {
            gateway: self.gateway,
            device: self.device,
            onlink: flags & ONLINK != 0,
            weight: NonZeroU8::new(hops.saturating_add(1)).unwrap_or(NonZeroU8::MIN),
        })
    }
}

/// The next hops in an `RTA_MULTIPATH`: `struct rtnexthop`, each followed by its own attributes.
fn multipath(bytes: &[u8]) -> impl Iterator<Item = NextHop> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let (flags, hops, device) = (u8_at(rest, 2)?, u8_at(rest, 3)?, u32_at(rest, 4)?);
        let mut hop = Hop { gateway: None, device: (device != 0).then_some(device) };
        attributes(rest.get(8..length)?).for_each(|(kind, value)| hop.read(kind, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(hop.next_hop(u32::from(flags), hops))
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linux::attribute::messages;

    /// Reads whatever there is to read.
    fn read(message: &Message<'_>) {
        _ = (link(message), interface_address(message), route(message), nexthop(message));
    }

    /// A message of a route, as the kernel tells it.
    fn told_route(kind: u8, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![libc::AF_INET as u8, 26, 0, 0, TABLE_MAIN, 109, 0, kind, 0, 0, 0, 0];
        bytes.extend_from_slice(attributes);
        bytes
    }

    fn of(payload: &[u8]) -> Message<'_> {
        Message { kind: 24, flags: 0, sequence: 0, payload }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            messages(&bytes).for_each(|message| read(&message));
            read(&of(&bytes));
            read(&of(&told_route(rt::UNICAST, &bytes)));
        }

        #[test]
        fn no_multipath_makes_the_reading_panic(bytes in prop::collection::vec(0u8..24, 0..128)) {
            let mut attribute = u16::try_from(bytes.len() + 4).unwrap().to_ne_bytes().to_vec();
            attribute.extend(rt::MULTIPATH.to_ne_bytes());
            attribute.extend(&bytes);
            read(&of(&told_route(rt::UNICAST, &attribute)));
        }
    }

    #[test]
    fn what_is_no_route_of_ours_or_a_rivals_is_left_out() {
        assert!(route(&of(&told_route(rt::BLACKHOLE, &[]))).is_some());
        for (at, value) in [(0, libc::AF_MPLS as u8), (2, 8), (3, 0x10), (4, 255), (7, 2), (9, 0x02)] {
            let mut bytes = told_route(rt::BLACKHOLE, &[]);
            bytes[at] = value;
            assert_eq!(route(&of(&bytes)), None, "octet {at} = {value}");
        }
    }

    #[test]
    fn a_unicast_route_that_names_a_nexthop_object_only_is_of_another_kind() {
        const NH_ID: [u8; 8] = [8, 0, 30, 0, 5, 0, 0, 0];
        let read = route(&of(&told_route(rt::UNICAST, &NH_ID))).map(|route| (route.nexthop, route.kind));
        assert_eq!(read, Some((Some(5), ActualKind::Other(rt::UNICAST))));
    }
}
