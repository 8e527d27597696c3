//! `v1` Pod and Namespace.

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::{NodeName, PodRef};

/// What margay reads of a `v1` Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `metadata`.
    pub meta: Meta,
    /// `spec.nodeName`.
    pub node: Option<NodeName>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
}

/// What margay reads of a `v1` Namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `metadata`.
    pub meta: Meta,
}

/// Annotation that asks for addresses: a JSON list, at most one per family.
pub const IP_ADDRS: &str = "cni.projectcalico.org/ipAddrs";
/// Annotation that chooses IPv4 pools: a JSON list of names or CIDRs.
pub const IPV4_POOLS: &str = "cni.projectcalico.org/ipv4pools";
/// Annotation that chooses IPv6 pools: a JSON list of names or CIDRs.
pub const IPV6_POOLS: &str = "cni.projectcalico.org/ipv6pools";

impl Pod {
    /// Namespace and name.
    pub fn reference(&self) -> PodRef {
        let namespace = self.meta.namespace.clone().unwrap_or_else(|| "default".into());
        PodRef { namespace, name: self.meta.name.clone() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodWire {
    metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: Option<NodeName>,
    #[serde(default)]
    host_network: Option<bool>,
}
impl From<PodWire> for Pod {
    fn from(wire: PodWire) -> Pod {
        Pod { meta: wire.metadata, node: wire.spec.node_name, host_network: wire.spec.host_network.unwrap_or(false) }
    }
}

#[derive(Deserialize)]
pub(super) struct NamespaceWire {
    metadata: Meta,
}
impl From<NamespaceWire> for Namespace {
    fn from(wire: NamespaceWire) -> Namespace {
        Namespace { meta: wire.metadata }
    }
}
