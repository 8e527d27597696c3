//! Views of the service addresses that this node announces or not.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Prefix;

/// A Service's namespace and name, written `namespace/name`; without the namespace it is `default`, as with kubectl.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceRef {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl FromStr for ServiceRef {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<ServiceRef, Self::Err> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        Ok(ServiceRef { namespace: namespace.into(), name: name.into() })
    }
}
impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is announced of Services from this node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicesView {
    /// The blocks that BGPConfiguration default names, in the order of the kinds, then as they are written.
    pub blocks: Vec<ServiceBlockView>,
    /// In order of namespace and name.
    pub services: Vec<ServiceView>,
}

/// A block of service addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBlockView {
    /// What it spans.
    pub cidr: Prefix,
    /// Of which addresses.
    pub kind: ServiceAddressKind,
    /// This node announces the block as a whole.
    pub advertised: bool,
    /// Why, or why not.
    pub reason: String,
}

/// A Service with addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.type`, and what of its traffic policies is Local, in words.
    pub summary: String,
    /// An endpoint on this node is ready.
    pub ready_here: bool,
    /// In order: cluster, external, load balancer.
    pub addresses: Vec<ServiceAddressView>,
}

/// One address of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAddressView {
    /// Which.
    pub address: IpAddr,
    /// What it is an address of.
    pub kind: ServiceAddressKind,
    /// What this node announces that leads to it; none if nothing does.
    pub advertised: Option<Prefix>,
    /// Why, or why not.
    pub reason: String,
}

/// Kinds of addresses that a Service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceAddressKind {
    /// `spec.clusterIPs`.
    #[serde(rename = "clusterIP")]
    Cluster,
    /// `spec.externalIPs`.
    #[serde(rename = "externalIP")]
    External,
    /// `status.loadBalancer.ingress`.
    #[serde(rename = "loadBalancerIP")]
    LoadBalancer,
}

impl ServiceAddressKind {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            ServiceAddressKind::Cluster => "ClusterIP",
            ServiceAddressKind::External => "ExternalIP",
            ServiceAddressKind::LoadBalancer => "LoadBalancerIP",
        }
    }

    /// The field of BGPConfiguration that names blocks of them.
    pub const fn field(self) -> &'static str {
        match self {
            ServiceAddressKind::Cluster => "serviceClusterIPs",
            ServiceAddressKind::External => "serviceExternalIPs",
            ServiceAddressKind::LoadBalancer => "serviceLoadBalancerIPs",
        }
    }
}
