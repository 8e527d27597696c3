//! Links and their addresses: read; links deleted one by one or, in one grace period of the kernel, by group.

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};

use super::decode;
use super::netlink::{Batch, Netlink, NetlinkError, Refusal, rtm};
use crate::actual::{Address, Link};
use crate::ours::Ours;

/// Reads all links.
pub fn read(netlink: &mut Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut request = LinkMessage::default();
    request.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    netlink.dump(rtm::GETLINK, &request, decode::link)
}

/// Reads one link by its name; none if there is no such link.
pub fn by_name(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, NetlinkError> {
    let mut request = LinkMessage::default();
    request.attributes =
        vec![LinkAttribute::IfName(name.to_string()), LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    let mut batch = Batch::new();
    batch.push(rtm::GETLINK, 0, &request);
    let replies = match netlink.run(&mut batch)?.all() {
        Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(None),
        replies => replies?,
    };
    Ok(replies.answers.iter().find_map(|(_, kind, payload)| {
        decode::link(&super::attribute::Message { kind: *kind, flags: 0, sequence: 0, payload })
    }))
}

/// Reads all addresses, of both families.
pub fn addresses(netlink: &mut Netlink) -> Result<Vec<Address>, NetlinkError> {
    netlink.dump(rtm::GETADDR, &AddressMessage::default(), decode::interface_address)
}

/// Deletes links of ours (host sides of pods). Returns those that the kernel would not delete; gone is as good.
///
/// Each takes the kernel a grace period of RCU (tens of milliseconds on a busy machine): for many, see [`delete_group`].
pub fn delete(netlink: &mut Netlink, links: &[Ours<Link>]) -> Result<Vec<(Ours<Link>, Refusal)>, NetlinkError> {
    let mut batch = Batch::new();
    for link in links {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        batch.push(rtm::DELLINK, 0, &message);
    }
    let refused = netlink.run(&mut batch)?.refused;
    let real = refused.into_iter().filter(|(_, refusal)| refusal.errno != libc::ENODEV);
    Ok(real.filter_map(|(at, refusal)| Some((links.get(at)?.clone(), refusal))).collect())
}

/// Deletes many links of ours in one grace period: moves them to a group of their own, then deletes the group.
///
/// `group` must be one that nobody else uses; it is empty again afterwards.
pub fn delete_group(netlink: &mut Netlink, links: &[Ours<Link>], group: u32) -> Result<(), NetlinkError> {
    let mut batch = Batch::new();
    for link in links {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes = vec![LinkAttribute::Group(group)];
        batch.push(rtm::SETLINK, 0, &message);
    }
    let gone = |errno: i32| errno == libc::ENODEV;
    if let Some((_, refusal)) = netlink.run(&mut batch)?.refused.into_iter().find(|(_, r)| !gone(r.errno)) {
        return Err(NetlinkError::Refused(refusal));
    }
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::Group(group)];
    match netlink.request(rtm::DELLINK, 0, &message) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        result => result.map(|_| ()),
    }
}
