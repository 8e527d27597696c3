//! A lease, and the records that make and end one.

use std::net::IpAddr;

use model::api::{AttachPlan, Attachment, PodRoute};
use model::{Family, PodRef, Prefix, kernel, pod_link};
use serde::{Deserialize, Serialize};

/// Addresses held by one interface of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Who holds it.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// `name` of the network configuration; GC is per network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// For which pod, where Kubernetes asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRef>,
    /// The pod's UID, where the runtime told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Path of the pod's network namespace; empty if recovered from the kernel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// Name of the host side.
    pub host_interface: String,
    /// At most one per family.
    pub addresses: Vec<IpAddr>,
    /// Of both sides, in octets.
    pub mtu: u32,
    /// Seconds since the Unix epoch at which it began; 0 if recovered from the kernel.
    #[serde(default)]
    pub since: u64,
    /// What the shim confirmed; None until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plumbed: Option<Plumbed>,
}

/// What stands on the node once the shim is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plumbed {
    /// Index of the host side.
    pub host_ifindex: u32,
    /// MAC address of the pod's side; empty if recovered from the kernel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
}

impl Lease {
    /// How the pod is to be plumbed: a default route per family it has an address of, by way of the host side.
    pub fn plan(&self) -> AttachPlan {
        let gateway = |family| match family {
            Family::Ipv4 => IpAddr::V4(kernel::POD_GATEWAY),
            Family::Ipv6 => IpAddr::V6(kernel::POD_GATEWAY_V6),
        };
        let route = |family| PodRoute { destination: Prefix::default_route(family), gateway: gateway(family) };
        AttachPlan {
            host_interface: self.host_interface.clone(),
            addresses: self.addresses.clone(),
            mtu: self.mtu,
            routes: self.addresses.iter().map(|&address| route(Family::of(address))).collect(),
            attached: self.plumbed.is_some(),
        }
    }

    /// Recovered from the kernel without a word of whose it is: the container id stands for it until somebody tells.
    pub fn is_unclaimed(&self) -> bool {
        self.attachment.container_id.starts_with(UNCLAIMED)
    }

    /// Recovered from the kernel, which does not tell for which pod. Not so where the link's name says that there is none.
    pub fn lacks_its_pod(&self) -> bool {
        let is_recovered = self.pod.is_none() && self.since == 0 && self.netns.is_empty();
        is_recovered && !self.has_link_of(None)
    }

    /// Whether its link has a name that links of this pod have; of none: of a container without a pod.
    pub fn has_link_of(&self, pod: Option<&PodRef>) -> bool {
        self.host_interface == pod_link::name(pod, &self.attachment.container_id)
            || self.host_interface == pod_link::further_name(pod, &self.attachment)
    }
}

/// No container id begins so: the CNI spec allows letters, digits, `_`, `.` and `-`.
const UNCLAIMED: &str = "link:";

/// The attachment that stands for a link whose container is not known.
pub(crate) fn unclaimed(link: &str) -> Attachment {
    Attachment { container_id: format!("{UNCLAIMED}{link}"), ifname: String::new() }
}

/// One change of the leases. The leases are what all records, applied in order, make of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// A lease begins, or is replaced whole (same attachment).
    Lease(Lease),
    /// The shim is done.
    Plumbed {
        /// Which interface.
        attachment: Attachment,
        /// What stands.
        plumbed: Plumbed,
    },
    /// A lease ends; its addresses become the last to be given again.
    Release {
        /// Which interface.
        attachment: Attachment,
    },
    /// Addresses free since long ago to lately: a compacted journal keeps the order in which they are given again.
    Freed(Vec<IpAddr>),
}
