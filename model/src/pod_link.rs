//! Names and marks of the host side of a pod's link: computed alike by the agent, by the shim, and by whoever finds the link later.

use sha1::{Digest, Sha1};

use crate::api::Attachment;
use crate::{PodRef, kernel};

/// The longest alias a link can carry, in octets (`IFALIASZ` - 1, linux/if.h).
const ALIAS_LIMIT: usize = 255;
const MARK: &str = "margay ";

/// `cali` + the first 11 hex digits of sha1("namespace.pod"), as Calico has it; without a pod, of sha1(container id).
pub fn name(pod: Option<&PodRef>, container_id: &str) -> String {
    hashed(&identity(pod, container_id))
}

/// The name for a further interface of a container whose first interface already has [`name`]: the interface name is hashed too.
pub fn further_name(pod: Option<&PodRef>, attachment: &Attachment) -> String {
    hashed(&format!("{}.{}", identity(pod, &attachment.container_id), attachment.ifname))
}

/// Stands for the pod behind a link while nobody can tell which it is: no namespace's name is empty.
pub fn stand_in(link: &str) -> PodRef {
    PodRef { namespace: String::new(), name: link.into() }
}

/// Does a link name look like the host side of a pod, ours or Calico's?
pub fn is_pod_link(name: &str) -> bool {
    name.strip_prefix(kernel::POD_LINK_PREFIX)
        .is_some_and(|rest| rest.len() == 11 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The alias (`IFLA_IFALIAS`) that says whose link this is: `margay <container id>/<ifname> <network>`.
///
/// An agent that lost its journal learns from it which container holds the link. None where it would be too long for the kernel.
pub fn mark(attachment: &Attachment, network: &str) -> Option<String> {
    let text = format!("{MARK}{}/{} {network}", attachment.container_id, attachment.ifname);
    (text.len() <= ALIAS_LIMIT).then_some(text)
}

/// Reads a [`mark`]: the attachment and its network. None for an alias that is not one.
pub fn parse_mark(alias: &str) -> Option<(Attachment, String)> {
    let (attachment, network) = alias.strip_prefix(MARK)?.split_once(' ')?;
    let (container_id, ifname) = attachment.split_once('/')?;
    if container_id.is_empty() || ifname.is_empty() {
        return None;
    }
    Some((Attachment { container_id: container_id.into(), ifname: ifname.into() }, network.into()))
}

/// The MAC address of a pod's side: locally administered, the same however often it is asked, from sha1("container id/ifname").
pub fn pod_mac(attachment: &Attachment) -> [u8; 6] {
    let digest = Sha1::digest(format!("{}/{}", attachment.container_id, attachment.ifname).as_bytes());
    let mut mac = [0; 6];
    for (octet, from) in mac.iter_mut().zip(digest.iter()) {
        *octet = *from;
    }
    // IEEE 802: bit 0 of the first octet is multicast, bit 1 locally administered.
    mac[0] = mac[0] & !1 | 2;
    mac
}

fn identity(pod: Option<&PodRef>, container_id: &str) -> String {
    match pod {
        Some(pod) => format!("{}.{}", pod.namespace, pod.name),
        None => container_id.to_string(),
    }
}

fn hashed(identity: &str) -> String {
    let digest = Sha1::digest(identity.as_bytes());
    let hex: String = digest.iter().take(6).map(|octet| format!("{octet:02x}")).collect();
    format!("{}{}", kernel::POD_LINK_PREFIX, hex.get(..11).unwrap_or(&hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container_id: &str, ifname: &str) -> Attachment {
        Attachment { container_id: container_id.into(), ifname: ifname.into() }
    }

    #[test]
    fn a_pod_link_is_named_as_calico_names_it() {
        // echo -n default.nginx | sha1sum
        let pod = PodRef { namespace: "default".into(), name: "nginx".into() };
        assert_eq!(name(Some(&pod), "whatever"), "calic440f455693");
        assert_eq!(name(None, "abc"), "calia9993e36470");
        assert!(is_pod_link("calia9993e36470"));
        assert!(!is_pod_link("calico"));
        assert!(!is_pod_link("calia9993e3647z"));
    }

    #[test]
    fn a_further_interface_has_another_name_that_fits_the_kernel() {
        let name = name(None, "abc");
        let further = further_name(None, &attachment("abc", "net1"));
        assert_ne!(name, further);
        assert_eq!(further.len(), 15);
    }

    #[test]
    fn a_pods_mac_is_one_links_and_always_the_same() {
        let mac = pod_mac(&attachment("0a1b", "eth0"));
        assert_eq!(mac, pod_mac(&attachment("0a1b", "eth0")));
        assert_ne!(mac, pod_mac(&attachment("0a1b", "net1")));
        assert_eq!(mac[0] & 3, 2);
    }

    #[test]
    fn a_mark_reads_back_and_a_foreign_alias_is_none() {
        let a = attachment("0a1b", "eth0");
        let text = mark(&a, "pods").unwrap();
        assert_eq!(text, "margay 0a1b/eth0 pods");
        assert_eq!(parse_mark(&text), Some((a, "pods".into())));
        assert_eq!(parse_mark("uplink to rack 3"), None);
        assert_eq!(mark(&attachment(&"x".repeat(250), "eth0"), "pods"), None);
    }
}
