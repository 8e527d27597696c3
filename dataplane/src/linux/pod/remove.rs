//! Taking one pod's link away while the agent is not there to do it.

use model::api::Attachment;
use model::pod_link;

use super::message::Requests;
use super::{PodError, seen};
use crate::linux::netlink::Netlink;
use crate::linux::netns::Netns;

/// Deletes a host side if it belongs to this attachment: by its mark, or, where a call was killed before it was marked, by its
/// peer in the pod's namespace. Another pod's link of the same name (a new sandbox) stays. Takes 15 to 50 ms when it does something.
pub fn remove(
    netlink: &mut Netlink,
    name: &str,
    attachment: &Attachment,
    pod: Option<&Netns>,
) -> Result<bool, PodError> {
    let Some(seen) = seen::link(netlink, name)?.filter(|seen| seen.is_veth()) else { return Ok(false) };
    let belongs = match (seen.link.alias.as_deref().and_then(pod_link::parse_mark), pod) {
        (Some((owner, _)), _) => owner == *attachment,
        (None, Some(pod)) => seen.peer_nsid.is_some() && seen.peer_nsid == seen::nsid(netlink, pod)?,
        (None, None) => false,
    };
    if belongs {
        let mut requests = Requests::new();
        requests.delete_link(seen.link.index, name);
        requests.run(netlink, &[libc::ENODEV])?;
    }
    Ok(belongs)
}
