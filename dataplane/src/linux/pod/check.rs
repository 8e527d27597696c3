//! Is a pod plumbed as planned? Every defect by itself, in words.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use model::{Prefix, kernel};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::neighbour::NeighbourMessage;

use super::seen::{self, RouteSeen};
use super::{GROUP, Plumber, PodError, PodWant, host};
use crate::linux::attribute::{address, attributes, u8_at, u16_at, u32_at};
use crate::linux::netlink::{Netlink, NetlinkError, rtm};
use crate::linux::netns::Netns;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFADDRMSG_LENGTH: usize = 8;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDMSG_LENGTH: usize = 12;
const NUD_PERMANENT: u16 = 0x80;

/// Everything that is not as it should be, empty if all is well; and the MAC address that the pod's side has.
///
/// The calling thread visits the pod's namespace and comes back, as with [`Plumber`].
pub fn check(want: &PodWant, pod: &Netns) -> Result<(Vec<String>, Option<[u8; 6]>), PodError> {
    let mut plumber = Plumber::new(want, pod)?;
    let mut defects = Vec::new();
    let name = &want.plan.host_interface;
    let Some(host) = seen::link(&mut plumber.netlink, name)? else {
        defects.push(format!("{name} is not there"));
        return Ok((defects, None));
    };
    let mut expect = |holds: bool, defect: String| {
        if !holds {
            defects.push(defect);
        }
    };
    expect(host.kind == "veth", format!("{name} is no veth but {:?}", host.kind));
    expect(host.up, format!("{name} is down"));
    expect(host.mtu == want.plan.mtu, format!("{name} has MTU {}, not {}", host.mtu, want.plan.mtu));
    expect(host.mac == Some(kernel::POD_LINK_MAC), format!("{name} has the MAC address {}", mac(host.mac)));
    expect(host.group == GROUP, format!("{name} is in link group {}, not {GROUP}", host.group));
    let ipv4 = lookup("routes", seen::routes(&mut plumber.netlink, AddressFamily::Inet))?;
    let ipv6 = lookup("routes", seen::routes(&mut plumber.netlink, AddressFamily::Inet6))?;
    for &address in &want.plan.addresses {
        let routes = if address.is_ipv4() { &ipv4 } else { &ipv6 };
        let by_link = |route: &RouteSeen| route.is_to(address) && route.oif == Some(host.index) && route.unicast;
        expect(routes.iter().any(by_link), format!("no route to {address} by {name}"));
    }
    for (key, value) in host::settings(want) {
        let found = fs::read_to_string(Path::new("/proc/sys/net").join(&key)).unwrap_or_default();
        expect(found.trim_end() == value, format!("{key} is {:?}, not {value}", found.trim_end()));
    }
    let peer = host.peer_index.filter(|_| host.peer_nsid.is_some());
    let peer = match seen::nsid(&mut plumber.netlink, pod)? {
        Some(id) if host.peer_nsid == Some(id) => peer,
        _ => None,
    };
    let (inside, mac) = plumber.inside(|netlink| inside(netlink, want, peer))?;
    defects.extend(inside);
    Ok((defects, mac))
}

fn inside(
    netlink: &mut Netlink,
    want: &PodWant,
    peer: Option<u32>,
) -> Result<(Vec<String>, Option<[u8; 6]>), PodError> {
    let mut defects = Vec::new();
    let name = &want.ifname;
    let Some(link) = seen::link(netlink, name)? else {
        return Ok((vec![format!("{name} is not in the pod")], None));
    };
    let mut expect = |holds: bool, defect: String| {
        if !holds {
            defects.push(defect);
        }
    };
    expect(peer == Some(link.index), format!("{name} in the pod is not the peer of {}", want.plan.host_interface));
    expect(link.up, format!("{name} in the pod is down"));
    expect(link.mtu == want.plan.mtu, format!("{name} in the pod has MTU {}, not {}", link.mtu, want.plan.mtu));
    let addresses = lookup("addresses", addresses(netlink, link.index))?;
    for &address in &want.plan.addresses {
        let length = Prefix::host(address).length();
        expect(addresses.contains(&(address, length)), format!("the pod does not have the address {address}/{length}"));
    }
    let ipv4 = lookup("routes", seen::routes(netlink, AddressFamily::Inet))?;
    let ipv6 = lookup("routes", seen::routes(netlink, AddressFamily::Inet6))?;
    let neighbours = lookup("neighbours", neighbours(netlink, link.index))?;
    for route in &want.plan.routes {
        let routes = if route.destination.address().is_ipv4() { &ipv4 } else { &ipv6 };
        let as_planned = |seen: &RouteSeen| {
            let destination = seen.destination.unwrap_or(Prefix::default_route(route.destination.family()).address());
            (destination, seen.length) == (route.destination.address(), route.destination.length())
                && seen.gateway == Some(route.gateway)
                && seen.oif == Some(link.index)
        };
        let defect = format!("the pod has no route to {} by {}", route.destination, route.gateway);
        expect(routes.iter().any(as_planned), defect);
        let neighbour = (route.gateway, kernel::POD_LINK_MAC);
        let defect = format!("the pod has no permanent neighbour entry for {}", route.gateway);
        expect(neighbours.contains(&neighbour), defect);
    }
    Ok((defects, link.mac))
}

fn addresses(netlink: &mut Netlink, index: u32) -> Result<Vec<(IpAddr, u8)>, NetlinkError> {
    netlink.dump(rtm::GETADDR, &AddressMessage::default(), |message| {
        if u32_at(message.payload, 4)? != index {
            return None;
        }
        let all = || attributes(message.payload.get(IFADDRMSG_LENGTH..).unwrap_or_default());
        let local = all().find(|(kind, _)| *kind == IFA_LOCAL).or_else(|| all().find(|(kind, _)| *kind == IFA_ADDRESS));
        Some((address(local?.1)?, u8_at(message.payload, 1)?))
    })
}

fn neighbours(netlink: &mut Netlink, index: u32) -> Result<Vec<(IpAddr, [u8; 6])>, NetlinkError> {
    netlink.dump(rtm::GETNEIGH, &NeighbourMessage::default(), |message| {
        if u32_at(message.payload, 4)? != index || u16_at(message.payload, 8)? & NUD_PERMANENT == 0 {
            return None;
        }
        let all = || attributes(message.payload.get(NDMSG_LENGTH..).unwrap_or_default());
        let (_, destination) = all().find(|(kind, _)| *kind == NDA_DST)?;
        let (_, mac) = all().find(|(kind, _)| *kind == NDA_LLADDR)?;
        Some((address(destination)?, mac.try_into().ok()?))
    })
}

fn lookup<T>(what: &str, result: Result<T, NetlinkError>) -> Result<T, PodError> {
    result.map_err(|error| PodError::Netlink { doing: format!("look at the {what}"), error })
}

fn mac(mac: Option<[u8; 6]>) -> String {
    let octets: Vec<String> = mac.unwrap_or_default().iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}
