//! What the kernel shows of pods' links.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use model::{kernel, pod_link};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteHeader, RouteMessage};

use super::PodError;
use super::message::is_link_local;
use crate::linux::attribute::{address, attributes, text, u8_at, u32_at};
use crate::linux::netlink::{Batch, Netlink, NetlinkError, rtm};
use crate::linux::netns::Netns;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFINFO_LENGTH: usize = 16;
const IFF_UP: u32 = 1;
const RTMSG_LENGTH: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const RTN_UNICAST: u8 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const RTM_GETNSID: u16 = 90;

/// A link, as an RTM_NEWLINK message shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LinkSeen {
    pub index: u32,
    pub up: bool,
    pub name: String,
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub kind: String,
    pub group: u32,
    pub alias: Option<String>,
    /// Of a veth: its peer's index, in the peer's namespace.
    pub peer_index: Option<u32>,
    /// The peer's namespace; absent where it is the same.
    pub peer_nsid: Option<u32>,
}

impl LinkSeen {
    pub fn read(payload: &[u8]) -> Option<LinkSeen> {
        let up = u32_at(payload, 8)? & IFF_UP != 0;
        let mut link = LinkSeen { index: u32_at(payload, 4)?, up, ..LinkSeen::default() };
        for (kind, value) in attributes(payload.get(IFINFO_LENGTH..)?) {
            match kind {
                IFLA_ADDRESS => link.mac = value.try_into().ok(),
                IFLA_IFNAME => link.name = text(value),
                IFLA_MTU => link.mtu = u32_at(value, 0)?,
                IFLA_LINK => link.peer_index = u32_at(value, 0),
                IFLA_GROUP => link.group = u32_at(value, 0)?,
                IFLA_IFALIAS => link.alias = Some(text(value)),
                IFLA_LINK_NETNSID => link.peer_nsid = u32_at(value, 0),
                IFLA_LINKINFO => {
                    let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(link)
    }
}

/// A unicast route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteSeen {
    /// None for the default route.
    pub destination: Option<IpAddr>,
    pub length: u8,
    pub protocol: u8,
    pub gateway: Option<IpAddr>,
    pub oif: Option<u32>,
    pub metric: u32,
    /// Not a blackhole or the like.
    pub unicast: bool,
}

impl RouteSeen {
    fn read(payload: &[u8]) -> Option<RouteSeen> {
        let mut table = u32::from(u8_at(payload, 4)?);
        let mut route = RouteSeen {
            destination: None,
            length: u8_at(payload, 1)?,
            protocol: u8_at(payload, 5)?,
            gateway: None,
            oif: None,
            metric: 0,
            unicast: u8_at(payload, 7)? == RTN_UNICAST,
        };
        for (kind, value) in attributes(payload.get(RTMSG_LENGTH..)?) {
            match kind {
                RTA_DST => route.destination = address(value),
                RTA_GATEWAY => route.gateway = address(value),
                RTA_OIF => route.oif = u32_at(value, 0),
                RTA_PRIORITY => route.metric = u32_at(value, 0)?,
                RTA_TABLE => table = u32_at(value, 0)?,
                _ => {}
            }
        }
        (table == u32::from(RouteHeader::RT_TABLE_MAIN)).then_some(route)
    }

    /// Is it the host route of an address?
    pub fn is_to(&self, address: IpAddr) -> bool {
        self.destination == Some(address) && self.length == model::Prefix::host(address).length()
    }
}

/// The host side of a pod's link, with the addresses that are routed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSide {
    /// `cali…`.
    pub name: String,
    /// Index.
    pub ifindex: u32,
    /// In octets.
    pub mtu: u32,
    /// See [`model::pod_link::mark`].
    pub alias: Option<String>,
    /// Destinations of the /32 and /128 routes to it, whoever made them; link-local ones left out.
    pub addresses: Vec<IpAddr>,
}

/// All host sides of pods in the calling thread's namespace, ours and Calico's.
pub fn host_sides(netlink: &mut Netlink) -> Result<Vec<HostSide>, NetlinkError> {
    let links = netlink.dump(rtm::GETLINK, &LinkMessage::default(), |message| LinkSeen::read(message.payload))?;
    let links: Vec<LinkSeen> = links.into_iter().filter(|link| pod_link::is_pod_link(&link.name)).collect();
    let mut routes = routes(netlink, AddressFamily::Inet)?;
    routes.extend(self::routes(netlink, AddressFamily::Inet6)?);
    let routed_to = |index| {
        let to_it = routes.iter().filter(move |route| route.oif == Some(index) && route.gateway.is_none());
        to_it.filter_map(|route| route.destination.filter(|&a| route.is_to(a) && !is_link_local(a)))
    };
    let side = |link: LinkSeen| HostSide {
        addresses: routed_to(link.index).collect(),
        name: link.name,
        ifindex: link.index,
        mtu: link.mtu,
        alias: link.alias,
    };
    Ok(links.into_iter().map(side).collect())
}

/// The routes of the main table.
pub(super) fn routes(netlink: &mut Netlink, family: AddressFamily) -> Result<Vec<RouteSeen>, NetlinkError> {
    let mut filter = RouteMessage::default();
    filter.header.address_family = family;
    filter.header.table = RouteHeader::RT_TABLE_MAIN;
    netlink.dump(rtm::GETROUTE, &filter, |message| RouteSeen::read(message.payload))
}

/// One link by name; None if there is none.
pub(super) fn link(netlink: &mut Netlink, name: &str) -> Result<Option<LinkSeen>, PodError> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(name.into()));
    let mut batch = Batch::new();
    batch.push(rtm::GETLINK, 0, &question);
    let doing = || format!("look at {name}");
    let replies = netlink.run(&mut batch).map_err(|error| PodError::Netlink { doing: doing(), error })?;
    match replies.refused.first() {
        Some((_, refusal)) if refusal.errno == libc::ENODEV => Ok(None),
        Some((_, refusal)) => Err(PodError::Refused { doing: doing(), refusal: refusal.clone() }),
        None => Ok(replies.answers.first().and_then(|(_, _, payload)| LinkSeen::read(payload))),
    }
}

/// The number by which the calling thread's namespace knows another; None if no link leads there.
pub(super) fn nsid(netlink: &mut Netlink, netns: &Netns) -> Result<Option<u32>, PodError> {
    // struct rtgenmsg, padded, then NETNSA_FD.
    let mut body = vec![0u8; 4];
    body.extend_from_slice(&8u16.to_ne_bytes());
    body.extend_from_slice(&NETNSA_FD.to_ne_bytes());
    body.extend_from_slice(&netns.as_fd().as_raw_fd().to_ne_bytes());
    let mut batch = Batch::new();
    batch.push_bytes(RTM_GETNSID, 0, &body);
    let doing = || "ask for the id of the pod's namespace".to_string();
    let replies = netlink.run(&mut batch).map_err(|error| PodError::Netlink { doing: doing(), error })?;
    if let Some((_, refusal)) = replies.refused.first() {
        return Err(PodError::Refused { doing: doing(), refusal: refusal.clone() });
    }
    let id = replies.answers.first().and_then(|(_, _, payload)| {
        let (_, value) = attributes(payload.get(4..)?).find(|(kind, _)| *kind == NETNSA_NSID)?;
        u32_at(value, 0)
    });
    // NETNSA_NSID_NOT_ASSIGNED is -1.
    Ok(id.filter(|&id| id != u32::MAX))
}

/// Is this route one of ours?
pub(super) fn is_ours(route: &RouteSeen) -> bool {
    route.protocol == kernel::ROUTE_PROTOCOL
}
