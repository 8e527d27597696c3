//! The objects that configure margay: the very ones a cluster holds, read from YAML text.
//!
//! `v1` Node, Pod, Namespace, Secret · `projectcalico.org/v3` BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, IPPool.
//! Of Kubernetes' own kinds only the fields that margay uses are read, as their other fields are another's business.
//! Of Calico's kinds every field is read: one that is not understood is an error that names it.

mod add_path;
mod bfd;
mod bgp_configuration;
mod bgp_filter;
mod bgp_peer;
mod bgp_role;
mod bmp;
mod calico_node_status;
pub mod crd;
mod duration;
mod ip_pool;
mod max_prefixes;
mod meta;
mod node;
mod parse;
mod pod;
mod secret;
mod whom;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use add_path::AddPath;
pub use bfd::Bfd;
pub use bgp_configuration::{Aggregate, BgpConfiguration, BindMode, Community, NamedCommunity, PrefixAdvertisement};
pub use bgp_filter::BgpFilter;
pub use bgp_peer::{BgpPeer, NextHopMode, ReversePeering};
pub use bgp_role::BgpRole;
pub use bmp::{BmpStation, BmpTable};
pub use calico_node_status::{CalicoNodeStatus, StatusClass};
pub use duration::GoDuration;
pub use ip_pool::{AllowedUse, AssignmentMode, EncapMode, IpPool};
pub use max_prefixes::{MaxPrefixes, MaxPrefixesAction};
pub use meta::Meta;
pub use node::{GRACEFUL_SHUTDOWN, Node, NodeAddress, Service};
pub use parse::{Document, Found, ObjectError, Parsed, TEXT_LIMIT, Warning, parse, read_value};
pub use pod::{IP_ADDRS, IPV4_POOLS, IPV6_POOLS, Namespace, Pod};
pub use secret::{Password, Secret, SecretKeyRef};
pub use whom::{PeerAddress, SourceAddress, Whom};

/// One object of any kind that margay reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "object")]
pub enum Object {
    /// `v1` Node.
    Node(Node),
    /// `v1` Pod.
    Pod(Pod),
    /// `v1` Namespace.
    Namespace(Namespace),
    /// `v1` Secret: passwords only.
    Secret(Secret),
    /// `projectcalico.org/v3` BGPConfiguration.
    #[serde(rename = "BGPConfiguration")]
    BgpConfiguration(BgpConfiguration),
    /// `projectcalico.org/v3` BGPPeer.
    #[serde(rename = "BGPPeer")]
    BgpPeer(Box<BgpPeer>),
    /// `projectcalico.org/v3` IPPool.
    #[serde(rename = "IPPool")]
    IpPool(IpPool),
    /// `projectcalico.org/v3` BGPFilter.
    #[serde(rename = "BGPFilter")]
    BgpFilter(BgpFilter),
    /// `projectcalico.org/v3` CalicoNodeStatus.
    CalicoNodeStatus(CalicoNodeStatus),
}

/// The kinds of [`Object`], spelled as in `kind:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Secret.
    Secret,
    /// `projectcalico.org/v3` BGPConfiguration.
    #[serde(rename = "BGPConfiguration")]
    BgpConfiguration,
    /// `projectcalico.org/v3` BGPPeer.
    #[serde(rename = "BGPPeer")]
    BgpPeer,
    /// `projectcalico.org/v3` IPPool.
    #[serde(rename = "IPPool")]
    IpPool,
    /// `projectcalico.org/v3` BGPFilter.
    #[serde(rename = "BGPFilter")]
    BgpFilter,
    /// `projectcalico.org/v3` CalicoNodeStatus.
    CalicoNodeStatus,
}

/// Which object: kind, namespace where the kind has one, and name. Written `Kind/name` or `Kind/namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl Object {
    /// Which object this is.
    pub fn key(&self) -> ObjectKey {
        let (kind, meta) = match self {
            Object::Node(o) => (Kind::Node, &o.meta),
            Object::Pod(o) => (Kind::Pod, &o.meta),
            Object::Namespace(o) => (Kind::Namespace, &o.meta),
            Object::Secret(o) => (Kind::Secret, &o.meta),
            Object::BgpConfiguration(o) => (Kind::BgpConfiguration, &o.meta),
            Object::BgpPeer(o) => (Kind::BgpPeer, &o.meta),
            Object::IpPool(o) => (Kind::IpPool, &o.meta),
            Object::BgpFilter(o) => (Kind::BgpFilter, &o.meta),
            Object::CalicoNodeStatus(o) => (Kind::CalicoNodeStatus, &o.meta),
        };
        let namespace = match kind {
            Kind::Pod | Kind::Secret => Some(meta.namespace.clone().unwrap_or_else(|| "default".into())),
            _ => None,
        };
        ObjectKey { kind, namespace, name: meta.name.clone() }
    }
}

impl Kind {
    /// The kind and API version as a manifest spells them.
    pub const ALL: [(Kind, &'static str, &'static str); 9] = [
        (Kind::Node, "v1", "Node"),
        (Kind::Pod, "v1", "Pod"),
        (Kind::Namespace, "v1", "Namespace"),
        (Kind::Secret, "v1", "Secret"),
        (Kind::BgpConfiguration, "projectcalico.org/v3", "BGPConfiguration"),
        (Kind::BgpPeer, "projectcalico.org/v3", "BGPPeer"),
        (Kind::IpPool, "projectcalico.org/v3", "IPPool"),
        (Kind::BgpFilter, "projectcalico.org/v3", "BGPFilter"),
        (Kind::CalicoNodeStatus, "projectcalico.org/v3", "CalicoNodeStatus"),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(k, ..)| k == self).map_or("?", |(_, _, name)| name);
        f.write_str(name)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}
impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
