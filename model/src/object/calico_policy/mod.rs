//! `projectcalico.org/v3` NetworkPolicy and GlobalNetworkPolicy, and what both are made of.

mod endpoints;
mod entity;
mod rule;
mod wire;

use serde::{Deserialize, Serialize};

pub use endpoints::{Endpoints, Namespaces, ServiceAccounts};
pub use entity::{Entity, ServiceName};
pub use rule::{CalicoRule, IcmpMatch, RuleAction};
pub(super) use wire::{CalicoNetworkPolicySpec, GlobalNetworkPolicySpec};

use super::{Meta, Order};

/// A policy in a tier: its rules are looked at in order, and the first that matches decides. Of its namespace
/// (NetworkPolicy) or of the cluster (GlobalNetworkPolicy); all that follows from the one or the other is written out.
/// Calico `api/pkg/apis/projectcalico/v3/{networkpolicy,globalnetworkpolicy}.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoPolicy {
    /// `metadata`.
    pub meta: Meta,
    /// `tier`; `default` where nothing is written.
    pub tier: String,
    /// `order` within the tier.
    pub order: Order,
    /// `selector`, `namespaceSelector` and `serviceAccountSelector`: what it is about.
    pub subject: Endpoints,
    /// `ingress`, where `types` names Ingress. None: the policy says nothing of ingress.
    pub ingress: Option<Vec<CalicoRule>>,
    /// `egress`, where `types` names Egress. None: the policy says nothing of egress.
    pub egress: Option<Vec<CalicoRule>>,
    /// `applyOnForward`, `preDNAT` and `doNotTrack`: which packets of a host endpoint.
    pub host_traffic: HostTraffic,
}

/// Which packets of a host endpoint a policy is about. Of pods' packets it is about all, or about none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HostTraffic {
    /// To and from the node itself.
    #[default]
    Local,
    /// Also what the node forwards (`applyOnForward`).
    Forwarded,
    /// All that comes in, before a service's address is translated (`preDNAT`). Pods' packets: none.
    BeforeDnat,
    /// All, before connections are tracked (`doNotTrack`). Pods' packets: none.
    Untracked,
}

impl CalicoPolicy {
    /// Whether it is about pods at all, and not about host endpoints alone.
    pub fn is_about_pods(&self) -> bool {
        matches!(self.host_traffic, HostTraffic::Local | HostTraffic::Forwarded)
    }
}

#[cfg(test)]
mod tests;
