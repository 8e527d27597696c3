//! `v1` Node, with Calico's annotations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::{Asn, ClusterId, NodeName, Prefix};

/// What margay reads of a `v1` Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `metadata`.
    pub meta: Meta,
    /// `metadata.name`.
    pub name: NodeName,
    /// `spec.podCIDRs` (or `spec.podCIDR`): the node's own blocks.
    pub pod_cidrs: Vec<Prefix>,
    /// Annotation `projectcalico.org/IPv4Address`, else the first IPv4 InternalIP.
    pub ipv4: Option<NodeAddress>,
    /// Annotation `projectcalico.org/IPv6Address`, else the first IPv6 InternalIP.
    pub ipv6: Option<NodeAddress>,
    /// Every InternalIP of `status.addresses`.
    #[serde(default)]
    pub internal_ips: Vec<IpAddr>,
    /// Every address of `status.addresses` of whatever type: whom a policy means by the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status_ips: Vec<IpAddr>,
    /// Annotation `projectcalico.org/ASNumber`.
    pub asn: Option<Asn>,
    /// Annotation `projectcalico.org/RouteReflectorClusterID`.
    pub cluster_id: Option<ClusterId>,
    /// Annotation `projectcalico.org/GracefulShutdown`: the node is taken out of service (RFC 8326). Margay's own.
    #[serde(default)]
    pub service: Standing,
}

/// Whether a node is in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Standing {
    /// It is.
    #[default]
    InService,
    /// Its peers are told to turn to others, and then its sessions end.
    OutOfService,
}

/// A node's address with the subnet it lies on; without a length in the annotation the subnet is the address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// The address.
    pub address: IpAddr,
    /// The subnet: what CrossSubnet compares next hops with.
    pub subnet: Prefix,
}

/// Annotation for the node's IPv4 address, `address/length`.
pub const IPV4_ADDRESS: &str = "projectcalico.org/IPv4Address";
/// Annotation for the node's IPv6 address, `address/length`.
pub const IPV6_ADDRESS: &str = "projectcalico.org/IPv6Address";
/// What margay itself wrote as [`IPV4_ADDRESS`]: what says the same is no word of anybody else's. Margay's own.
pub const IPV4_FOUND: &str = "margay.projectcalico.org/IPv4Address";
/// The same of [`IPV6_ADDRESS`].
pub const IPV6_FOUND: &str = "margay.projectcalico.org/IPv6Address";
/// Annotation for the node's AS number.
pub const AS_NUMBER: &str = "projectcalico.org/ASNumber";
/// Annotation that makes the node a route reflector.
pub const CLUSTER_ID: &str = "projectcalico.org/RouteReflectorClusterID";
/// Label that keeps a node from attracting traffic to service addresses (Kubernetes `LabelNodeExcludeBalancers`).
pub const EXCLUDE_FROM_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Annotation that takes the node out of service: `true` or `false`.
pub const GRACEFUL_SHUTDOWN: &str = "projectcalico.org/GracefulShutdown";

impl Node {
    /// The node's address of a family.
    pub fn address(&self, family: crate::Family) -> Option<&NodeAddress> {
        match family {
            crate::Family::Ipv4 => self.ipv4.as_ref(),
            crate::Family::Ipv6 => self.ipv6.as_ref(),
        }
    }
    /// Whether it announces no service addresses: the label alone says so, unless it says `false`.
    pub fn is_excluded_from_load_balancers(&self) -> bool {
        self.meta.labels.get(EXCLUDE_FROM_LOAD_BALANCERS).is_some_and(|value| value != "false")
    }
    /// The IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.ipv4?.address {
            IpAddr::V4(a) => Some(a),
            IpAddr::V6(_) => None,
        }
    }
    /// The IPv6 address.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        match self.ipv6?.address {
            IpAddr::V6(a) => Some(a),
            IpAddr::V4(_) => None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct NodeWire {
    metadata: Meta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}
#[derive(Deserialize, Default)]
struct NodeSpec {
    #[serde(default, rename = "podCIDR")]
    pod_cidr: Option<Prefix>,
    #[serde(default, rename = "podCIDRs")]
    pod_cidrs: Vec<Prefix>,
}
#[derive(Deserialize, Default)]
struct NodeStatus {
    #[serde(default)]
    addresses: Vec<StatusAddress>,
}
#[derive(Deserialize)]
struct StatusAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

impl TryFrom<NodeWire> for Node {
    type Error = (String, String);
    fn try_from(wire: NodeWire) -> Result<Node, (String, String)> {
        let meta = wire.metadata;
        let name: NodeName =
            meta.name.parse().map_err(|_| ("metadata.name".to_string(), "must not be empty".into()))?;
        let mut pod_cidrs = wire.spec.pod_cidrs;
        if pod_cidrs.is_empty() {
            pod_cidrs.extend(wire.spec.pod_cidr);
        }
        let of_type = wire.status.addresses.iter().filter(|a| a.kind == "InternalIP");
        let internal_ips: Vec<IpAddr> = of_type.filter_map(|a| a.address.parse().ok()).collect();
        // Names are none.
        let status_ips = wire.status.addresses.iter().filter_map(|a| a.address.parse().ok()).collect();
        let internal = |v4: bool| {
            let address = *internal_ips.iter().find(|a| a.is_ipv4() == v4)?;
            Some(NodeAddress { address, subnet: Prefix::host(address) })
        };
        let notes = &meta.annotations;
        let ipv4 = annotation(notes, IPV4_ADDRESS, |t| node_address(t, IpAddr::is_ipv4))?.or_else(|| internal(true));
        let ipv6 = annotation(notes, IPV6_ADDRESS, |t| node_address(t, IpAddr::is_ipv6))?.or_else(|| internal(false));
        let asn = annotation(notes, AS_NUMBER, |t| t.parse::<Asn>().map_err(|e| e.to_string()))?;
        let cluster_id = annotation(notes, CLUSTER_ID, |t| {
            t.parse::<ClusterId>().map_err(|_| format!("{t:?} is not a cluster id (a dotted quad such as 244.0.0.1)"))
        })?;
        let service = annotation(notes, GRACEFUL_SHUTDOWN, |t| match t {
            "true" => Ok(Standing::OutOfService),
            "false" => Ok(Standing::InService),
            _ => Err(format!("{t:?} is neither true nor false")),
        })?;
        let service = service.unwrap_or_default();
        Ok(Node { name, pod_cidrs, ipv4, ipv6, internal_ips, status_ips, asn, cluster_id, service, meta })
    }
}

/// Reads one annotation; an empty one counts as absent, as Calico clears them so.
fn annotation<T>(
    notes: &BTreeMap<String, String>,
    key: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, (String, String)> {
    match notes.get(key).map(|t| t.trim()).filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(text) => read(text).map(Some).map_err(|problem| (format!("metadata.annotations[{key}]"), problem)),
    }
}

fn node_address(text: &str, of_family: fn(&IpAddr) -> bool) -> Result<NodeAddress, String> {
    let bad = || format!("{text:?} is not an address with prefix length (such as 10.0.0.1/24)");
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| bad())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    if !of_family(&address) {
        return Err(format!("{text:?} is of the other address family"));
    }
    let subnet = match length {
        Some(length) => Prefix::masked(address, length).map_err(|e| e.to_string())?,
        None => Prefix::host(address),
    };
    Ok(NodeAddress { address, subnet })
}
