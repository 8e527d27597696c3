//! The netlink requests of which plumbing consists, each with the words that tell what it was for.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::RawFd;

use model::{Prefix, kernel};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};

use super::{GROUP, PodError, PodWant};
use crate::linux::netlink::{Batch, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE, Netlink, Replies, rtm};

/// Requests and what each is for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    batch: Batch,
    doing: Vec<String>,
}

impl Requests {
    pub fn new() -> Requests {
        Requests::default()
    }

    /// Sends all; the first refusal with an errno that is not tolerated is the error.
    pub fn run(mut self, netlink: &mut Netlink, tolerated: &[i32]) -> Result<Replies, PodError> {
        let first = self.doing.first().cloned().unwrap_or_default();
        let replies = netlink.run(&mut self.batch).map_err(|error| PodError::Netlink { doing: first, error })?;
        match replies.refused.iter().find(|(_, refusal)| !tolerated.contains(&refusal.errno)) {
            None => Ok(replies),
            Some((position, refusal)) => {
                let doing = self.doing.get(*position).cloned().unwrap_or_default();
                Err(PodError::Refused { doing, refusal: refusal.clone() })
            }
        }
    }

    fn said(&mut self, position: usize, doing: String) -> usize {
        self.doing.push(doing);
        position
    }

    /// A veth, down, with its peer under its final name in the pod's namespace: moving it there later would cost 18 ms.
    pub fn create_pair(&mut self, want: &PodWant, pod: RawFd) -> usize {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(want.ifname.clone()),
            LinkAttribute::Mtu(want.plan.mtu),
            LinkAttribute::Address(want.mac.to_vec()),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::NetNsFd(pod),
        ];
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(want.plan.host_interface.clone()),
            LinkAttribute::Mtu(want.plan.mtu),
            LinkAttribute::Address(kernel::POD_LINK_MAC.to_vec()),
            LinkAttribute::Group(GROUP),
            // The kernel's default, a queue for each CPU there might ever be, makes a link of 64 of them slow to make.
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        let position = self.batch.push(rtm::NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, &link);
        self.said(position, format!("create veth {} with {} in the pod", want.plan.host_interface, want.ifname))
    }

    /// Gives an adopted host side the MTU, MAC and group it would have if made anew.
    pub fn repair_host(&mut self, index: u32, want: &PodWant) {
        let link = link(
            index,
            vec![
                LinkAttribute::Mtu(want.plan.mtu),
                LinkAttribute::Address(kernel::POD_LINK_MAC.to_vec()),
                LinkAttribute::Group(GROUP),
            ],
        );
        let position = self.batch.push(rtm::SETLINK, 0, &link);
        self.said(position, format!("repair {}", want.plan.host_interface));
    }

    pub fn mtu(&mut self, index: u32, mtu: u32, name: &str) {
        let position = self.batch.push(rtm::SETLINK, 0, &link(index, vec![LinkAttribute::Mtu(mtu)]));
        self.said(position, format!("set the MTU of {name} to {mtu}"));
    }

    /// Up, with an alias if one is given.
    pub fn up(&mut self, index: u32, alias: Option<&str>, name: &str) {
        let mut link = link(index, alias.map(|text| LinkAttribute::IfAlias(text.into())).into_iter().collect());
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        let position = self.batch.push(rtm::SETLINK, 0, &link);
        self.said(position, format!("take {name} up"));
    }

    /// Asks for a link, which has the kernel do at once what follows from a carrier that has come (seen with Linux 6.18; an
    /// older one does it a moment later): until then it sends nothing.
    pub fn settle_carrier(&mut self, index: u32, name: &str) {
        let position = self.batch.push(rtm::GETLINK, 0, &link(index, Vec::new()));
        self.said(position, format!("look at {name}"));
    }

    pub fn delete_link(&mut self, index: u32, name: &str) {
        let position = self.batch.push(rtm::DELLINK, 0, &link(index, Vec::new()));
        self.said(position, format!("delete {name}"));
    }

    /// The node's route to a pod's address: ours by protocol and metric.
    pub fn host_route(&mut self, address: IpAddr, index: u32, flag: u16) -> usize {
        let mut message = route(Prefix::host(address), Some(index), RouteProtocol::from(kernel::ROUTE_PROTOCOL));
        message.attributes.push(RouteAttribute::Priority(kernel::ROUTE_METRIC));
        let position = self.batch.push(rtm::NEWROUTE, NLM_F_CREATE | flag, &message);
        self.said(position, format!("add the route to {address}"))
    }

    /// The link-local address that pods have as IPv6 gateway, should the kernel not make it by itself from the MAC address.
    pub fn gateway_address(&mut self, index: u32) {
        self.address_of_length(kernel::POD_GATEWAY_V6.into(), 64, index);
    }

    /// A pod's address, a /32 or /128 of its own.
    pub fn address(&mut self, address: IpAddr, index: u32) {
        self.address_of_length(address, Prefix::host(address).length(), index);
    }

    fn address_of_length(&mut self, address: IpAddr, length: u8, index: u32) {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = index;
        message.header.scope =
            if address.is_ipv6() && is_link_local(address) { AddressScope::Link } else { AddressScope::Universe };
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if address.is_ipv6() {
            // Nobody else can have it: the link has two ends, and the address is ours to give.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let position = self.batch.push(rtm::NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message);
        self.said(position, format!("add the address {address}"));
    }

    /// A permanent neighbour entry for the gateway, so that it answers whatever routes the node has.
    pub fn gateway_neighbour(&mut self, gateway: IpAddr, index: u32) {
        self.neighbour(gateway, kernel::POD_LINK_MAC, NeighbourState::Permanent, index);
    }

    /// What the node would learn of a pod by asking: it is held for true until it is used, and then confirmed.
    pub fn pod_neighbour(&mut self, address: IpAddr, mac: [u8; 6], index: u32) {
        self.neighbour(address, mac, NeighbourState::Stale, index);
    }

    fn neighbour(&mut self, address: IpAddr, mac: [u8; 6], state: NeighbourState, index: u32) {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = index;
        message.header.state = state;
        message.attributes = vec![
            NeighbourAttribute::Destination(match address {
                IpAddr::V4(a) => NeighbourAddress::Inet(a),
                IpAddr::V6(a) => NeighbourAddress::Inet6(a),
            }),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        let position = self.batch.push(rtm::NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &message);
        self.said(position, format!("add the neighbour {address}"));
    }

    /// The pod's route to an IPv4 gateway, which is in no subnet of its.
    pub fn gateway_route(&mut self, gateway: IpAddr, index: u32) {
        let message = route(Prefix::host(gateway), Some(index), RouteProtocol::Boot);
        let position = self.batch.push(rtm::NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &message);
        self.said(position, format!("add the route to {gateway} in the pod"));
    }

    /// A route of the pod's.
    pub fn pod_route(&mut self, destination: Prefix, gateway: IpAddr, index: u32) {
        let mut message = route(destination, Some(index), RouteProtocol::Boot);
        message.header.scope = RouteScope::Universe;
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        let position = self.batch.push(rtm::NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &message);
        self.said(position, format!("add the route to {destination} by {gateway} in the pod"));
    }
}

fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn route(destination: Prefix, index: Option<u32>, protocol: RouteProtocol) -> RouteMessage {
    let address = destination.address();
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = destination.length();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = protocol;
    message.header.kind = RouteType::Unicast;
    // IPv6 knows no scopes and takes any.
    message.header.scope = if address.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    if !destination.is_default() {
        message.attributes.push(RouteAttribute::Destination(address.into()));
    }
    message.attributes.extend(index.map(RouteAttribute::Oif));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => Ipv6Addr::is_unicast_link_local(&a),
    }
}
