//! `projectcalico.org/v3` Tier.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::{Envelope, Invalid};
use super::{Meta, Order};

/// Policies that are looked at before or after those of other tiers. Calico `api/pkg/apis/projectcalico/v3/tier.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// `metadata`.
    pub meta: Meta,
    /// `order`.
    pub order: Order,
    /// `defaultAction`.
    pub default_action: DefaultAction,
}

/// What becomes of a packet that policies of a tier are about and none of their rules decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DefaultAction {
    /// It is dropped.
    #[default]
    Deny,
    /// The next tier decides.
    Pass,
}

impl Tier {
    /// The tier of policies that name none, and of Kubernetes' own.
    pub const DEFAULT: &str = "default";
    /// The tier of ClusterNetworkPolicies of tier Admin.
    pub const KUBE_ADMIN: &str = "kube-admin";
    /// The tier of ClusterNetworkPolicies of tier Baseline.
    pub const KUBE_BASELINE: &str = "kube-baseline";

    /// Order and default action of a tier that is always there, by its name.
    pub fn known(name: &str) -> Option<(Order, DefaultAction)> {
        match name {
            Tier::DEFAULT => Some((Order::of(1_000_000), DefaultAction::Deny)),
            Tier::KUBE_ADMIN => Some((Order::of(1_000), DefaultAction::Pass)),
            Tier::KUBE_BASELINE => Some((Order::of(10_000_000), DefaultAction::Pass)),
            _ => None,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TierSpec {
    /// Lower ones come first, and without one it comes last. Those with the same go by name.
    #[serde(default)]
    order: Option<Order>,
    /// What becomes of a packet that the tier's policies are about and none of their rules decides on. Default: Deny.
    #[serde(default)]
    default_action: Option<DefaultAction>,
}

impl Envelope<TierSpec> {
    pub(super) fn check(self) -> Result<Tier, Invalid> {
        let name = self.metadata.name.clone();
        let order = self.spec.order.unwrap_or(Order::LAST);
        let known = Tier::known(&name);
        let default_action = match (self.spec.default_action, known) {
            (Some(action), _) => action,
            (None, Some((_, action))) => action,
            (None, None) => DefaultAction::default(),
        };
        if let Some((must, action)) = known {
            if order != must {
                return Err(Invalid::field("spec.order", format!("of tier {name} must be {must}")));
            }
            if default_action != action {
                return Err(Invalid::field("spec.defaultAction", format!("of tier {name} must be {action:?}")));
            }
        }
        Ok(Tier { meta: self.metadata, order, default_action })
    }
}
