//! Taking pods' links away: traffic stops at once, the links go later and together.

use std::net::IpAddr;

use model::api::Attachment;
use model::pod_link;

use super::PodError;
use super::message::Requests;
use super::seen;
use crate::linux::netlink::Netlink;
use crate::linux::netns::Netns;

/// The group of links about to be deleted. Deleting one link waits for a grace period of the kernel's (15 to 30 ms);
/// deleting a group waits once for all.
const DOOMED: u32 = model::kernel::POD_LINK_GROUP + 1;

/// Deletes our routes to these addresses: less than a millisecond, after which nothing reaches the pod. Missing ones are no error.
pub fn unroute(netlink: &mut Netlink, addresses: &[IpAddr]) -> Result<(), PodError> {
    let mut requests = Requests::new();
    for &address in addresses {
        requests.delete_host_route(address);
    }
    requests.run(netlink, &[libc::ESRCH, libc::ENOENT]).map(|_| ())
}

/// Deletes a host side if it belongs to this attachment: by its mark, or, where a call was killed before it was marked, by its
/// peer in the pod's namespace. Another pod's link of the same name (a new sandbox) stays. Takes 15 to 50 ms when it does something.
pub fn remove(
    netlink: &mut Netlink,
    name: &str,
    attachment: &Attachment,
    pod: Option<&Netns>,
) -> Result<bool, PodError> {
    let Some(link) = seen::link(netlink, name)?.filter(|link| link.kind == "veth") else { return Ok(false) };
    let belongs = match (link.alias.as_deref().and_then(pod_link::parse_mark), pod) {
        (Some((owner, _)), _) => owner == *attachment,
        (None, Some(pod)) => link.peer_nsid.is_some() && link.peer_nsid == seen::nsid(netlink, pod)?,
        (None, None) => false,
    };
    if belongs {
        let mut requests = Requests::new();
        requests.delete_link(link.index, name);
        requests.run(netlink, &[libc::ENODEV])?;
    }
    Ok(belongs)
}

/// Marks host sides for deletion, by name: what is no veth, or not named as a pod's link, is left alone; a missing one is no error.
/// Returns how many were marked. [`end_group`] then deletes all that are marked.
pub fn retire(netlink: &mut Netlink, names: &[String]) -> Result<usize, PodError> {
    let mut requests = Requests::new();
    let mut marked = 0;
    for name in names.iter().filter(|name| pod_link::is_pod_link(name)) {
        if let Some(link) = seen::link(netlink, name)?.filter(|link| link.kind == "veth") {
            requests.group(link.index, DOOMED);
            marked += 1;
        }
    }
    requests.run(netlink, &[libc::ENODEV]).map(|_| marked)
}

/// Deletes every link that [`retire`] marked, in one grace period: 15 to 50 ms, however many.
pub fn end_group(netlink: &mut Netlink) -> Result<(), PodError> {
    let mut requests = Requests::new();
    requests.delete_group(DOOMED);
    requests.run(netlink, &[libc::ENODEV]).map(|_| ())
}
