//! Attaching and detaching pods: what the CNI shim and the agent say to each other.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{PodRef, Prefix};

/// One interface of one container: the key of a lease. CNI: (`CNI_CONTAINERID`, `CNI_IFNAME`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
}

/// A pod interface that wants addresses and a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attach {
    /// Which interface.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// `CNI_NETNS`: path of the pod's network namespace.
    pub netns: String,
    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`, where the caller is Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRef>,
    /// `K8S_POD_UID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// `mtu` of the network configuration; the agent decides where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `name` of the network configuration; GC is per network.
    #[serde(default)]
    pub network: String,
    /// Addresses asked for by the runtime (`CNI_ARGS` `IP=…`, `args.cni.ips`, capability `ips`); empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// How a pod is to be plumbed. The same attachment gets the same plan, however often it asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachPlan {
    /// Name of the host side: `cali…`.
    pub host_interface: String,
    /// The pod's addresses: at most one per family; each becomes a /32 or /128 on both sides.
    pub addresses: Vec<IpAddr>,
    /// MTU of both sides, in octets.
    pub mtu: u32,
    /// Routes in the pod, in order.
    pub routes: Vec<PodRoute>,
    /// What already stands on the host, if this attachment was plumbed before: the shim adopts it.
    pub attached: bool,
}

/// A route inside the pod, by way of the host side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRoute {
    /// Where to.
    pub destination: Prefix,
    /// 169.254.1.1, or the host side's link-local address.
    pub gateway: IpAddr,
}

/// The pod is plumbed on the node's side: link, settings, routes. The pod's own side follows at once, or a DEL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Which interface.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// Index of the host side.
    pub host_ifindex: u32,
    /// MAC address of the pod's side.
    pub mac: String,
}

/// The pod goes away. Always granted; an unknown attachment is already detached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detach {
    /// Which interface.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`: finds the link of a lease recovered from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRef>,
    /// `name` of the network configuration.
    #[serde(default)]
    pub network: String,
}

/// Is this attachment as it was left?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Which interface.
    #[serde(flatten)]
    pub attachment: Attachment,
}

/// All that still lives on one network (`cni.dev/valid-attachments`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gc {
    /// `name` of the network configuration.
    pub network: String,
    /// What lives. Every other lease of this network is released.
    pub valid: Vec<Attachment>,
}
