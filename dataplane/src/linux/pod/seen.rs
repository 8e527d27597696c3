//! What the kernel shows of a pod's link: beyond what any link shows, where its other end is.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};

use super::PodError;
use crate::actual::{ActualKind, ActualRoute, Link};
use crate::linux::attribute::{Message, attributes, u32_at};
use crate::linux::decode;
use crate::linux::netlink::{Batch, Netlink, NetlinkError, rtm};
use crate::linux::netns::Netns;
use crate::want::NextHop;

const IFLA_LINK: u16 = 5;
const IFLA_LINK_NETNSID: u16 = 37;
const IFINFO_LENGTH: usize = 16;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const RTM_GETNSID: u16 = 90;

/// A link that may be one end of a veth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkSeen {
    pub link: Link,
    /// Of a veth: its peer's index, in the peer's namespace.
    pub peer_index: Option<u32>,
    /// The peer's namespace; absent where it is the same.
    pub peer_nsid: Option<u32>,
}

impl LinkSeen {
    /// Reads the payload of an RTM_NEWLINK message.
    pub fn read(payload: &[u8]) -> Option<LinkSeen> {
        let link = decode::link(&Message { kind: rtm::NEWLINK, flags: 0, sequence: 0, payload })?;
        let mut seen = LinkSeen { link, peer_index: None, peer_nsid: None };
        for (kind, value) in attributes(payload.get(IFINFO_LENGTH..)?) {
            match kind {
                IFLA_LINK => seen.peer_index = u32_at(value, 0),
                IFLA_LINK_NETNSID => seen.peer_nsid = u32_at(value, 0),
                _ => {}
            }
        }
        Some(seen)
    }

    pub fn is_veth(&self) -> bool {
        self.link.kind.as_deref() == Some("veth")
    }
}

/// The routes of the main table, of one family; those by one link only, if one is given.
pub(super) fn routes(
    netlink: &mut Netlink,
    family: AddressFamily,
    by: Option<u32>,
) -> Result<Vec<ActualRoute>, NetlinkError> {
    let mut filter = RouteMessage::default();
    filter.header.address_family = family;
    filter.header.table = RouteHeader::RT_TABLE_MAIN;
    filter.attributes.extend(by.map(RouteAttribute::Oif));
    netlink.dump(rtm::GETROUTE, &filter, decode::route)
}

/// The next hops of a route that forwards; none of one that drops.
pub(super) fn next_hops(route: &ActualRoute) -> &[NextHop] {
    match &route.kind {
        ActualKind::Unicast(hops) => hops.as_slice(),
        ActualKind::Blackhole | ActualKind::Unreachable | ActualKind::Other(_) => &[],
    }
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
