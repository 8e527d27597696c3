//! Nexthop objects: read, and the messages that make, replace and remove them.

use netlink_packet_core::Emitable;

use super::attribute::Writer;
use super::decode::{self, ONLINK, nha};
use super::netlink::{Batch, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, NetlinkError, rtm};
use crate::nexthop::{ActualNexthop, Nexthop, NexthopKind};
use crate::want::NextHop;
use model::{Family, kernel};

/// Reads all objects, everybody's; none where the kernel knows no such thing (before Linux 5.3).
pub fn read(netlink: &mut Netlink) -> Result<Option<Vec<ActualNexthop>>, NetlinkError> {
    match netlink.dump(rtm::GETNEXTHOP, &Header::default(), decode::nexthop) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `struct nhmsg`.
#[derive(Default)]
struct Header {
    family: u8,
    protocol: u8,
    flags: u32,
}

impl Emitable for Header {
    fn buffer_len(&self) -> usize {
        8
    }
    fn emit(&self, room: &mut [u8]) {
        room.copy_from_slice(&self.bytes());
    }
}

impl Header {
    fn bytes(&self) -> [u8; 8] {
        let [a, b, c, d] = self.flags.to_ne_bytes();
        [self.family, 0, self.protocol, 0, a, b, c, d]
    }
}

/// Asks for a new object. Another's of that id stays (EEXIST).
pub(super) fn push_make(batch: &mut Batch, object: &Nexthop) {
    push_new(batch, NLM_F_CREATE | NLM_F_EXCL, object);
}

/// Asks for an object to lead elsewhere. One that is gone is not made again (ENOENT).
pub(super) fn push_replace(batch: &mut Batch, object: &Nexthop) {
    push_new(batch, NLM_F_REPLACE, object);
}

/// Asks for an object to go. The kernel removes the routes that still name it.
pub(super) fn push_remove(batch: &mut Batch, id: u32) {
    batch.push_written(rtm::DELNEXTHOP, 0, |bytes| {
        bytes.extend_from_slice(&Header::default().bytes());
        Writer::new(bytes).host_number(nha::ID, id);
    });
}

fn push_new(batch: &mut Batch, flags: u16, object: &Nexthop) {
    let mut header = Header { protocol: kernel::ROUTE_PROTOCOL, ..Header::default() };
    if let NexthopKind::One(NextHop { gateway: Some(gateway), onlink, .. }) = &object.kind {
        header.family = family_number(Family::of(*gateway));
        header.flags = if *onlink { ONLINK } else { 0 };
    }
    batch.push_written(rtm::NEWNEXTHOP, flags, |bytes| {
        bytes.extend_from_slice(&header.bytes());
        let mut writer = Writer::new(bytes);
        writer.host_number(nha::ID, object.id);
        match &object.kind {
            NexthopKind::One(hop) => {
                hop.gateway.into_iter().for_each(|gateway| writer.address(nha::GATEWAY, gateway));
                hop.device.into_iter().for_each(|device| writer.host_number(nha::OIF, device));
            }
            NexthopKind::Group(members) => {
                let mut octets = Vec::with_capacity(8 * members.len());
                for member in members {
                    octets.extend_from_slice(&member.id.to_ne_bytes());
                    octets.extend_from_slice(&[member.weight.get() - 1, 0, 0, 0]);
                }
                writer.octets(nha::GROUP, &octets);
            }
            // Never wanted; without a place to lead to the kernel refuses it.
            NexthopKind::Other => {}
        }
    });
}

pub(super) fn family_number(family: Family) -> u8 {
    (match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    }) as u8
}
