//! Is a pod plumbed as planned? Every defect by itself, in words.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use model::{Prefix, kernel};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::NeighbourMessage;

use super::{GROUP, Plumber, PodError, PodWant, host, seen};
use crate::linux::attribute::{address, attributes, u16_at, u32_at};
use crate::linux::links;
use crate::linux::netlink::{Netlink, NetlinkError, rtm};
use crate::linux::netns::Netns;

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
    let Some(seen) = seen::link(&mut plumber.netlink, name)? else {
        defects.push(format!("{name} is not there"));
        return Ok((defects, None));
    };
    let link = &seen.link;
    let mut expect = |holds: bool, defect: String| {
        if !holds {
            defects.push(defect);
        }
    };
    expect(seen.is_veth(), format!("{name} is no veth but {:?}", link.kind));
    expect(link.up, format!("{name} is down"));
    expect(link.mtu == want.plan.mtu, format!("{name} has MTU {}, not {}", link.mtu, want.plan.mtu));
    expect(link.mac == Some(kernel::POD_LINK_MAC), format!("{name} has the MAC address {}", mac(link.mac)));
    expect(link.group == GROUP, format!("{name} is in link group {}, not {GROUP}", link.group));
    let routes = by_link(&mut plumber.netlink, link.index)?;
    for &address in &want.plan.addresses {
        let found = routes.iter().any(|(prefix, gateway)| *prefix == Prefix::host(address) && gateway.is_none());
        expect(found, format!("no route to {address} by {name}"));
    }
    for (key, value) in host::settings(want) {
        let found = fs::read_to_string(Path::new("/proc/sys/net").join(&key)).unwrap_or_default();
        expect(found.trim_end() == value, format!("{key} is {:?}, not {value}", found.trim_end()));
    }
    let here = seen::nsid(&mut plumber.netlink, pod)?;
    let peer = seen.peer_index.filter(|_| here.is_some() && here == seen.peer_nsid);
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
    let Some(seen) = seen::link(netlink, name)? else {
        return Ok((vec![format!("{name} is not in the pod")], None));
    };
    let link = &seen.link;
    let mut expect = |holds: bool, defect: String| {
        if !holds {
            defects.push(defect);
        }
    };
    expect(peer == Some(link.index), format!("{name} in the pod is not the peer of {}", want.plan.host_interface));
    expect(link.up, format!("{name} in the pod is down"));
    expect(link.mtu == want.plan.mtu, format!("{name} in the pod has MTU {}, not {}", link.mtu, want.plan.mtu));
    let addresses = lookup("addresses", links::addresses(netlink))?;
    for &address in &want.plan.addresses {
        let length = Prefix::host(address).length();
        let found = addresses.iter().any(|a| (a.index, a.address, a.length) == (link.index, address, length));
        expect(found, format!("the pod does not have the address {address}/{length}"));
    }
    let routes = by_link(netlink, link.index)?;
    let neighbours = lookup("neighbours", neighbours(netlink, link.index))?;
    for route in &want.plan.routes {
        let found = routes.contains(&(route.destination, Some(route.gateway)));
        expect(found, format!("the pod has no route to {} by {}", route.destination, route.gateway));
        let found = neighbours.contains(&(route.gateway, kernel::POD_LINK_MAC));
        expect(found, format!("the pod has no permanent neighbour entry for {}", route.gateway));
    }
    Ok((defects, link.mac))
}

/// Destinations and gateways of the routes by a link, of both families.
fn by_link(netlink: &mut Netlink, index: u32) -> Result<Vec<(Prefix, Option<IpAddr>)>, PodError> {
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        for route in lookup("routes", seen::routes(netlink, family, Some(index)))? {
            let hops = seen::next_hops(&route).iter().filter(|hop| hop.device == Some(index));
            found.extend(hops.map(|hop| (route.prefix, hop.gateway)));
        }
    }
    Ok(found)
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
