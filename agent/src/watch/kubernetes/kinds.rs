//! Which kinds are watched, and how much of each. Adding a kind is a line here.

use kube::core::{ApiResource, GroupVersionKind};
use model::object::Kind;

/// Group and version of Calico's objects.
pub const CALICO: &str = "projectcalico.org/v3";
/// Where a cluster of Calico's has stored the same objects for years.
pub const OLDER: &str = "crd.projectcalico.org/v1";
/// Group and version of ClusterNetworkPolicy, which not every cluster has.
pub const CLUSTER_POLICY: &str = "policy.networking.k8s.io/v1alpha2";

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Which.
    pub kind: Kind,
    /// Its name in URLs.
    pub plural: &'static str,
    /// How much of it.
    pub part: Part,
    /// When.
    pub when: When,
}

/// How much of a kind is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All objects, whole.
    Whole,
    /// All objects, their metadata only.
    Metadata,
    /// Those with this node in `spec.nodeName`.
    OfThisNode,
    /// Those with another node there that have not ended, in outline: what a policy can know another's pod by.
    Elsewhere,
    /// One by one, in the agent's own namespace, by the names that other objects refer to.
    Named,
}

/// When a kind is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// From the start.
    Always,
    /// As soon as, and as long as, another object makes it necessary: see [`crate::plan::needs`].
    Needed,
}

/// Every kind that is watched.
pub const KINDS: &[Watched] = &[
    watched(Kind::Node, "nodes", Part::Whole, When::Always),
    watched(Kind::Pod, "pods", Part::OfThisNode, When::Always),
    watched(Kind::Pod, "pods", Part::Elsewhere, When::Needed),
    watched(Kind::Namespace, "namespaces", Part::Metadata, When::Always),
    watched(Kind::NetworkPolicy, "networkpolicies", Part::Whole, When::Always),
    watched(Kind::Secret, "secrets", Part::Named, When::Needed),
    watched(Kind::BgpConfiguration, "bgpconfigurations", Part::Whole, When::Always),
    watched(Kind::BgpPeer, "bgppeers", Part::Whole, When::Always),
    watched(Kind::IpPool, "ippools", Part::Whole, When::Always),
    watched(Kind::BgpFilter, "bgpfilters", Part::Whole, When::Always),
    watched(Kind::CalicoNodeStatus, "caliconodestatuses", Part::Whole, When::Always),
    watched(Kind::FelixConfiguration, "felixconfigurations", Part::Whole, When::Always),
    watched(Kind::ClusterInformation, "clusterinformations", Part::Whole, When::Always),
    watched(Kind::IpReservation, "ipreservations", Part::Whole, When::Always),
    watched(Kind::IpamConfiguration, "ipamconfigurations", Part::Whole, When::Always),
    watched(Kind::Service, "services", Part::Whole, When::Needed),
    watched(Kind::EndpointSlice, "endpointslices", Part::Whole, When::Needed),
    watched(Kind::ServiceAccount, "serviceaccounts", Part::Metadata, When::Needed),
    watched(Kind::Tier, "tiers", Part::Whole, When::Always),
    watched(Kind::CalicoNetworkPolicy, "networkpolicies", Part::Whole, When::Always),
    watched(Kind::GlobalNetworkPolicy, "globalnetworkpolicies", Part::Whole, When::Always),
    watched(Kind::ClusterNetworkPolicy, "clusternetworkpolicies", Part::Whole, When::Always),
    watched(Kind::NetworkSet, "networksets", Part::Whole, When::Always),
    watched(Kind::GlobalNetworkSet, "globalnetworksets", Part::Whole, When::Always),
    watched(Kind::HostEndpoint, "hostendpoints", Part::Whole, When::Always),
    watched(Kind::StagedNetworkPolicy, "stagednetworkpolicies", Part::Whole, When::Always),
    watched(Kind::StagedGlobalNetworkPolicy, "stagedglobalnetworkpolicies", Part::Whole, When::Always),
    watched(Kind::StagedKubernetesNetworkPolicy, "stagedkubernetesnetworkpolicies", Part::Whole, When::Always),
];

/// Kinds that are not watched: there are as many of them as nodes or pods, and a node needs to know but a few, which it
/// reads when it is about to change them.
pub const READ_IN_PASSING: &[Kind] = &[Kind::IpamBlock, Kind::BlockAffinity, Kind::IpamHandle];

const fn watched(kind: Kind, plural: &'static str, part: Part, when: When) -> Watched {
    Watched { kind, plural, part, when }
}

impl Watched {
    /// The row of a kind; the first, where there are more.
    pub fn of(kind: Kind) -> Option<&'static Watched> {
        KINDS.iter().find(|row| row.kind == kind)
    }

    /// Whether the kind is Calico's, and may be in either of two groups.
    pub fn is_calicos(&self) -> bool {
        spelled(self.kind).0 == CALICO
    }

    /// Whether a cluster may do without the kind.
    pub fn may_be_absent(&self) -> bool {
        [CALICO, CLUSTER_POLICY].contains(&spelled(self.kind).0)
    }
}

/// API version and kind as a manifest spells them.
pub fn spelled(kind: Kind) -> (&'static str, &'static str) {
    Kind::ALL.iter().find(|(k, ..)| *k == kind).map_or(("", ""), |(_, version, name)| (*version, *name))
}

/// Kind and plural in [`OLDER`], where they differ for some.
pub fn older(row: &Watched) -> (&'static str, &'static str) {
    match spelled(row.kind).1 {
        "IPAMConfiguration" => ("IPAMConfig", "ipamconfigs"),
        same => (same, row.plural),
    }
}

/// What a URL is made of.
pub fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_object_is_watched_or_is_said_not_to_be() {
        for (kind, ..) in Kind::ALL {
            let watched = Watched::of(*kind).is_some();
            assert!(watched != READ_IN_PASSING.contains(kind), "would {kind} ever be read from an API server?");
        }
    }
}
