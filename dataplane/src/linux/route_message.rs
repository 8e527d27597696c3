//! The messages about routes of table `main`: `struct rtmsg` and its attributes (linux/rtnetlink.h).
//!
//! Written in place, as a full table has a hundred thousand of them.

use std::net::IpAddr;

use model::{Family, Prefix, kernel};
use netlink_packet_core::Emitable;

use super::attribute::Writer;
use super::decode::{ONLINK, TABLE_MAIN, rt};
use super::netlink::{Batch, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, rtm};
use super::nexthops::family_number;
use crate::actual::{ActualKind, ActualRoute};
use crate::diff::Step;
use crate::want::{NextHop, NextHops, Route, RouteKind};

/// `rtm_scope`.
const UNIVERSE: u8 = 0;
const LINK: u8 = 253;
const NOWHERE: u8 = 255;

/// `struct rtmsg`.
#[derive(Default)]
pub(super) struct Header {
    pub family: u8,
    pub length: u8,
    pub protocol: u8,
    pub scope: u8,
    pub kind: u8,
    pub flags: u32,
}

impl Header {
    fn bytes(&self) -> [u8; 12] {
        let [a, b, c, d] = self.flags.to_ne_bytes();
        [self.family, self.length, 0, 0, TABLE_MAIN, self.protocol, self.scope, self.kind, a, b, c, d]
    }
}

impl Emitable for Header {
    fn buffer_len(&self) -> usize {
        12
    }
    fn emit(&self, room: &mut [u8]) {
        room.copy_from_slice(&self.bytes());
    }
}

/// Asks for one step. A new route names the object, if there is one for it.
pub(super) fn push(batch: &mut Batch, step: &Step, object: Option<u32>) {
    match step {
        // EXCL: should somebody have taken the place meanwhile, theirs stays.
        Step::Add(route) => push_new(batch, NLM_F_CREATE | NLM_F_EXCL, route, object),
        // No CREATE: should ours be gone meanwhile, the picture is out of date. The kernel does not compare the protocol
        // here: a route that took the place of ours between its event and this step would be replaced. To delete and add
        // instead would be safe from that, and would lose packets at every change of next hops.
        Step::Replace { new, .. } => push_new(batch, NLM_F_REPLACE, new, object),
        Step::Delete(old) => push_deletion(batch, old),
    }
}

fn push_new(batch: &mut Batch, flags: u16, route: &Route, object: Option<u32>) {
    let (scope, kind) = match &route.kind {
        RouteKind::Blackhole => (UNIVERSE, rt::BLACKHOLE),
        // The kernel takes an IPv4 route without a router as universe only if told nothing else; `ip` says link.
        RouteKind::Unicast(hops) if hops.as_slice().iter().all(|hop| hop.gateway.is_none()) => (LINK, rt::UNICAST),
        RouteKind::Unicast(_) => (UNIVERSE, rt::UNICAST),
    };
    let mut header = header(route.prefix, scope, kind);
    let hops = match &route.kind {
        RouteKind::Unicast(hops) if object.is_none() => Some(hops),
        _ => None,
    };
    header.flags = hops.map(lone_flags).unwrap_or_default();
    batch.push_written(rtm::NEWROUTE, flags, |bytes| {
        let mut writer = place(bytes, &header, route.prefix, route.metric);
        object.into_iter().for_each(|id| writer.host_number(rt::NH_ID, id));
        hops.into_iter().for_each(|hops| write_hops(&mut writer, route.prefix.family(), hops));
    });
}

/// The request to delete what is ours. The kernel compares the protocol number too, so another's route is safe even
/// if it took the place a moment ago.
fn push_deletion(batch: &mut Batch, route: &ActualRoute) {
    let kind = match route.kind {
        ActualKind::Unicast(_) => rt::UNICAST,
        ActualKind::Blackhole => rt::BLACKHOLE,
        ActualKind::Unreachable => rt::UNREACHABLE,
        ActualKind::Other(kind) => kind,
    };
    // Of several routes in one place (IPv4, appended by hand) the one meant. Several next hops would be compared in
    // the kernel's order, which is not ours; without any, IPv6 deletes all of them in one go.
    let hops = match &route.kind {
        ActualKind::Unicast(hops) if route.nexthop.is_none() && hops.as_slice().len() == 1 => Some(hops),
        _ => None,
    };
    // Nowhere: any scope.
    let mut header = header(route.prefix, NOWHERE, kind);
    header.flags = hops.map(lone_flags).unwrap_or_default();
    batch.push_written(rtm::DELROUTE, 0, |bytes| {
        let mut writer = place(bytes, &header, route.prefix, route.metric);
        route.nexthop.into_iter().for_each(|id| writer.host_number(rt::NH_ID, id));
        hops.into_iter().for_each(|hops| write_hops(&mut writer, route.prefix.family(), hops));
    });
}

fn header(prefix: Prefix, scope: u8, kind: u8) -> Header {
    let family = family_number(prefix.family());
    Header { family, length: prefix.length(), protocol: kernel::ROUTE_PROTOCOL, scope, kind, flags: 0 }
}

/// The part of a message that says which place it is about.
fn place<'a>(bytes: &'a mut Vec<u8>, header: &Header, prefix: Prefix, metric: u32) -> Writer<'a> {
    bytes.extend_from_slice(&header.bytes());
    let mut writer = Writer::new(bytes);
    writer.address(rt::DST, prefix.address());
    writer.host_number(rt::PRIORITY, metric);
    writer
}

/// `rtm_flags` of a route with one next hop; of several, each has its own.
fn lone_flags(hops: &NextHops) -> u32 {
    match hops.as_slice() {
        [NextHop { onlink: true, .. }] => ONLINK,
        _ => 0,
    }
}

fn write_hops(writer: &mut Writer<'_>, family: Family, hops: &NextHops) {
    if let [hop] = hops.as_slice() {
        write_gateway(writer, family, hop);
        hop.device.into_iter().for_each(|device| writer.host_number(rt::OIF, device));
        return;
    }
    let mut several = Vec::new();
    for hop in hops.as_slice() {
        // `struct rtnexthop`: length, flags, weight less one, interface.
        let start = several.len();
        let flags = if hop.onlink { ONLINK as u8 } else { 0 };
        several.extend_from_slice(&[0, 0, flags, hop.weight.get() - 1]);
        several.extend_from_slice(&hop.device.unwrap_or_default().to_ne_bytes());
        write_gateway(&mut Writer::new(&mut several), family, hop);
        let length = u16::try_from(several.len() - start).unwrap_or_default();
        if let Some(place) = several.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
    writer.octets(rt::MULTIPATH, &several);
}

fn write_gateway(writer: &mut Writer<'_>, family: Family, hop: &NextHop) {
    match (family, hop.gateway) {
        // `struct rtvia`: an IPv4 destination behind an IPv6 router (RFC 8950).
        (Family::Ipv4, Some(IpAddr::V6(gateway))) => {
            let family = u16::from(family_number(Family::Ipv6)).to_ne_bytes();
            writer.octets(rt::VIA, &[&family[..], &gateway.octets()].concat());
        }
        (_, Some(gateway)) => writer.address(rt::GATEWAY, gateway),
        (_, None) => {}
    }
}
