//! The objects that configure margay: the very ones a cluster holds, read from YAML text.
//!
//! `v1` Node, Pod, Namespace, Secret, Service, ServiceAccount · `discovery.k8s.io/v1` EndpointSlice ·
//! `networking.k8s.io/v1` NetworkPolicy · `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy ·
//! `projectcalico.org/v3` BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration,
//! IPPool, those of address management (IPAMBlock, BlockAffinity, IPAMHandle, IPAMConfiguration, IPReservation), and those
//! of policy (NetworkPolicy, GlobalNetworkPolicy, their staged forms, Tier, NetworkSet, GlobalNetworkSet, HostEndpoint).
//! Of Kubernetes' own kinds only the fields that margay uses are read, as their other fields are another's business.
//! Of Calico's kinds every field is read: one that is not understood is an error that names it.

mod add_path;
mod bfd;
mod bgp_configuration;
mod bgp_filter;
mod bgp_peer;
mod bgp_role;
mod block_affinity;
mod bmp;
mod calico_node_status;
mod calico_policy;
mod cluster_information;
mod cluster_network_policy;
pub mod crd;
mod duration;
mod endpoint_slice;
pub mod felix_configuration;
mod fields;
mod host_endpoint;
mod ip_pool;
mod ip_reservation;
mod ipam_block;
mod ipam_configuration;
mod ipam_handle;
mod label_selector;
mod max_prefixes;
mod meta;
mod nets;
mod network_policy;
mod network_set;
mod node;
mod order;
mod parse;
mod pod;
mod port;
mod secret;
mod service;
mod service_account;
mod service_blocks;
mod staged;
mod text;
mod tier;
mod whom;
mod zero;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use add_path::AddPath;
pub use bfd::Bfd;
pub use bgp_configuration::{Aggregate, BgpConfiguration, BindMode, Community, NamedCommunity, PrefixAdvertisement};
pub use bgp_filter::BgpFilter;
pub use bgp_peer::{BgpPeer, NextHopMode, ReversePeering};
pub use bgp_role::BgpRole;
pub use block_affinity::{AffinityState, BlockAffinity, BlockAffinitySpec, Deleted};
pub use bmp::{BmpStation, BmpTable};
pub use calico_node_status::{CalicoNodeStatus, StatusClass};
pub use calico_policy::{
    CalicoPolicy, CalicoRule, Endpoints, Entity, HostTraffic, IcmpMatch, Namespaces, RuleAction, ServiceAccounts,
    ServiceName,
};
pub use cluster_information::ClusterInformation;
pub use cluster_network_policy::{ClusterNetworkPolicy, ClusterPeer, ClusterPods, ClusterRule, ClusterTier};
pub use duration::GoDuration;
pub use endpoint_slice::{EndpointSlice, Socket};
pub use felix_configuration::{
    EndpointToHost, FailsafePort, FelixConfiguration, FelixScope, FelixSettings, NatOutgoingExclusions,
    ServiceLoopPrevention, SourceSpoofing, Switch,
};
pub use host_endpoint::{HostEndpoint, HostInterface};
pub use ip_pool::{AllowedUse, AssignmentMode, EncapMode, IpPool};
pub use ip_reservation::IpReservation;
pub use ipam_block::{AllocationAttribute, IpamBlock, IpamBlockSpec, cidr_name};
pub use ipam_configuration::IpamConfiguration;
pub use ipam_handle::{IpamHandle, IpamHandleSpec};
pub use max_prefixes::{MaxPrefixes, MaxPrefixesAction};
pub use meta::Meta;
pub use network_policy::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortMatch};
pub use network_set::NetworkSet;
pub use node::{
    EXCLUDE_FROM_LOAD_BALANCERS, GRACEFUL_SHUTDOWN, IPV4_ADDRESS, IPV4_FOUND, IPV6_ADDRESS, IPV6_FOUND, Node,
    NodeAddress, Standing,
};
pub use order::Order;
pub use parse::{Document, Found, ObjectError, Parsed, Warning, parse, read_value};
pub use pod::{ALLOWED_SOURCES, ContainerPort, IP_ADDRS, IPV4_POOLS, IPV6_POOLS, KEEP_ADDRESS, Namespace, Pod};
pub use secret::{Password, Secret, SecretKeyRef};
pub use service::{Service, ServiceType, TrafficPolicy};
pub use service_account::ServiceAccount;
pub use service_blocks::{Aggregation, ServiceBlocks};
pub use staged::{Staged, StagedAction};
pub use text::{TEXT_LIMIT, values};
pub use tier::{DefaultAction, Tier};
pub use whom::{PeerAddress, SourceAddress, Whom};

/// From one line for each kind: [`Object`], [`Kind`], and what is the same for all of them. A kind whose name another group
/// has, too, is written with its group, as `kubectl` has it.
macro_rules! kinds {
    ($($variant:ident($type:ty): $version:literal $name:literal $scope:ident,)*) => {
        /// One object of any kind that margay reads.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "object")]
        pub enum Object {
            $(#[doc = concat!("`", $version, "` ", $name, ".")] #[serde(rename = $name)] $variant($type),)*
        }

        /// The kinds of [`Object`], spelled as in `kind:`; with the group behind where two have the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = concat!("`", $version, "` ", $name, ".")] #[serde(rename = $name)] $variant,)*
        }

        impl Object {
            fn kind_and_meta(&self) -> (Kind, &Meta) {
                match self {
                    $(Object::$variant(object) => (Kind::$variant, &object.meta),)*
                }
            }
        }

        impl Kind {
            /// Every kind, with its API version and name as a manifest spells them.
            pub const ALL: &[(Kind, &'static str, &'static str)] = &[$((Kind::$variant, $version, without_group($name)),)*];

            /// As it is shown: the name alone, with its group where two have the same.
            pub fn shown(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }

            /// Whether its objects lie in namespaces.
            pub fn scope(self) -> Scope {
                match self {
                    $(Kind::$variant => Scope::$scope,)*
                }
            }
        }
    };
}

/// Where objects of a kind lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In no namespace.
    Cluster,
    /// Each in a namespace.
    Namespaced,
}

// In the order in which keys sort; a new kind goes to the end. `read` in parse.rs says how each is read.
kinds! {
    Node(Node): "v1" "Node" Cluster,
    Pod(Pod): "v1" "Pod" Namespaced,
    Namespace(Namespace): "v1" "Namespace" Cluster,
    Secret(Secret): "v1" "Secret" Namespaced,
    BgpConfiguration(BgpConfiguration): "projectcalico.org/v3" "BGPConfiguration" Cluster,
    BgpPeer(Box<BgpPeer>): "projectcalico.org/v3" "BGPPeer" Cluster,
    IpPool(IpPool): "projectcalico.org/v3" "IPPool" Cluster,
    BgpFilter(BgpFilter): "projectcalico.org/v3" "BGPFilter" Cluster,
    CalicoNodeStatus(CalicoNodeStatus): "projectcalico.org/v3" "CalicoNodeStatus" Cluster,
    FelixConfiguration(Box<FelixConfiguration>): "projectcalico.org/v3" "FelixConfiguration" Cluster,
    ClusterInformation(ClusterInformation): "projectcalico.org/v3" "ClusterInformation" Cluster,
    NetworkPolicy(Box<NetworkPolicy>): "networking.k8s.io/v1" "NetworkPolicy" Namespaced,
    IpReservation(IpReservation): "projectcalico.org/v3" "IPReservation" Cluster,
    IpamConfiguration(IpamConfiguration): "projectcalico.org/v3" "IPAMConfiguration" Cluster,
    IpamBlock(Box<IpamBlock>): "projectcalico.org/v3" "IPAMBlock" Cluster,
    BlockAffinity(Box<BlockAffinity>): "projectcalico.org/v3" "BlockAffinity" Cluster,
    IpamHandle(Box<IpamHandle>): "projectcalico.org/v3" "IPAMHandle" Cluster,
    Service(Service): "v1" "Service" Namespaced,
    EndpointSlice(EndpointSlice): "discovery.k8s.io/v1" "EndpointSlice" Namespaced,
    ServiceAccount(ServiceAccount): "v1" "ServiceAccount" Namespaced,
    CalicoNetworkPolicy(Box<CalicoPolicy>): "projectcalico.org/v3" "NetworkPolicy.projectcalico.org" Namespaced,
    GlobalNetworkPolicy(Box<CalicoPolicy>): "projectcalico.org/v3" "GlobalNetworkPolicy" Cluster,
    Tier(Tier): "projectcalico.org/v3" "Tier" Cluster,
    NetworkSet(NetworkSet): "projectcalico.org/v3" "NetworkSet" Namespaced,
    GlobalNetworkSet(NetworkSet): "projectcalico.org/v3" "GlobalNetworkSet" Cluster,
    HostEndpoint(Box<HostEndpoint>): "projectcalico.org/v3" "HostEndpoint" Cluster,
    StagedNetworkPolicy(Box<Staged<CalicoPolicy>>): "projectcalico.org/v3" "StagedNetworkPolicy" Namespaced,
    StagedGlobalNetworkPolicy(Box<Staged<CalicoPolicy>>): "projectcalico.org/v3" "StagedGlobalNetworkPolicy" Cluster,
    StagedKubernetesNetworkPolicy(Box<Staged<NetworkPolicy>>):
        "projectcalico.org/v3" "StagedKubernetesNetworkPolicy" Namespaced,
    ClusterNetworkPolicy(Box<ClusterNetworkPolicy>):
        "policy.networking.k8s.io/v1alpha2" "ClusterNetworkPolicy" Cluster,
}

/// What stands before the first dot.
const fn without_group(name: &'static str) -> &'static str {
    let mut at = 0;
    while at < name.len() {
        if name.as_bytes()[at] == b'.' {
            return name.split_at(at).0;
        }
        at += 1;
    }
    name
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
        let (kind, meta) = self.kind_and_meta();
        ObjectKey { kind, namespace: kind.namespace(meta.namespace.clone()), name: meta.name.clone() }
    }
}

impl Kind {
    /// The namespace of an object of this kind, given what is written: `default` where nothing is; none if the kind has none.
    pub(crate) fn namespace(self, written: Option<String>) -> Option<String> {
        match self.scope() {
            Scope::Cluster => None,
            Scope::Namespaced => Some(written.unwrap_or_else(|| "default".into())),
        }
    }
}

impl Kind {
    /// The kind that the older storage (`crd.projectcalico.org/v1`) has in the same form, where it is one of address management.
    pub(crate) fn of_older_storage(api_version: &str, name: &str) -> Option<Kind> {
        if api_version != "crd.projectcalico.org/v1" {
            return None;
        }
        match name {
            "IPAMBlock" => Some(Kind::IpamBlock),
            "BlockAffinity" => Some(Kind::BlockAffinity),
            "IPAMHandle" => Some(Kind::IpamHandle),
            "IPAMConfig" => Some(Kind::IpamConfiguration),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Kind, UnknownKind> {
        let found = Kind::ALL.iter().find(|(kind, ..)| kind.shown() == text).map(|(kind, ..)| *kind);
        found.ok_or_else(|| UnknownKind(text.to_string()))
    }
}

/// No kind of object is shown so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind of object")]
pub struct UnknownKind(String);

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
