//! One side of a rule: `source` or `destination`.

use serde::{Deserialize, Serialize};

use super::wire::{self, EntityWire};
use super::{Endpoints, Namespaces, ServiceAccounts};
use crate::object::PortMatch;
use crate::object::parse::{Invalid, Warnings};
use crate::selector::Selector;
use crate::{Family, Prefix};

/// What a packet comes from, or goes to. All of the parts must hold; none of them is anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// `nets`: in any of these; empty: anywhere.
    pub nets: Vec<Prefix>,
    /// `notNets`: in none of these.
    pub not_nets: Vec<Prefix>,
    /// `selector`, `namespaceSelector` and `serviceAccounts`: one of the cluster's endpoints. None: anyone.
    pub endpoints: Option<Endpoints>,
    /// `notSelector`: no endpoint of the cluster, in whatever namespace, with such labels.
    pub not_endpoints: Option<Selector>,
    /// `services`: an endpoint of this Service, and one of its ports.
    pub service: Option<ServiceName>,
    /// `ports`: any of these; empty: all.
    pub ports: Vec<PortMatch>,
    /// `notPorts`: none of these.
    pub not_ports: Vec<PortMatch>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceName {
    /// `namespace`.
    pub namespace: String,
    /// `name`.
    pub name: String,
}

impl Entity {
    /// The families that its prefixes are of.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> + '_ {
        self.nets.iter().chain(&self.not_nets).map(Prefix::family)
    }

    /// Whether it names ports.
    pub(super) fn has_ports(&self) -> bool {
        !self.ports.is_empty() || !self.not_ports.is_empty()
    }
}

impl EntityWire {
    /// `namespace` is that of the policy, if it lies in one; `field` is `….source` or `….destination`.
    pub(super) fn check(
        self,
        namespace: Option<&str>,
        field: &str,
        warnings: &mut Warnings,
    ) -> Result<Entity, Invalid> {
        let wrong = |name: &str, message: &str| Invalid::field(format!("{field}.{name}"), message);
        let selector = wire::no_global(self.selector, &format!("{field}.selector"))?;
        let not_selector = wire::no_global(self.not_selector, &format!("{field}.notSelector"))?;
        let namespaces = wire::given(self.namespace_selector);
        if namespaces.as_ref().is_some_and(|selector| selector.names_global() && !selector.is_global()) {
            return Err(wrong("namespaceSelector", "global() must stand alone"));
        }
        let accounts = match self.service_accounts {
            Some(accounts) => accounts.check(&format!("{field}.serviceAccounts"))?,
            None => None,
        };
        let service = match self.services {
            None => None,
            Some(service) => {
                let beside = [
                    ("selector", selector.is_some()),
                    ("notSelector", not_selector.is_some()),
                    ("namespaceSelector", namespaces.is_some()),
                    ("serviceAccounts", accounts.is_some()),
                    ("nets", self.nets.as_ref().is_some_and(|nets| !nets.is_empty())),
                    ("notNets", self.not_nets.as_ref().is_some_and(|nets| !nets.is_empty())),
                ];
                if let Some((name, _)) = beside.iter().find(|(_, given)| *given) {
                    return Err(wrong(name, "excludes services"));
                }
                let own = service.namespace.filter(|text| !text.is_empty()).or_else(|| namespace.map(str::to_string));
                let namespace = own.ok_or_else(|| wrong("services.namespace", "is missing: the policy has none"))?;
                let name = service.name.filter(|text| !text.is_empty());
                let name = name.ok_or_else(|| wrong("services.name", "is missing"))?;
                Some(ServiceName { namespace, name })
            }
        };
        let nets = wire::prefixes(self.nets, &format!("{field}.nets"), warnings)?;
        let not_nets = wire::prefixes(self.not_nets, &format!("{field}.notNets"), warnings)?;
        Ok(Entity {
            nets,
            not_nets,
            endpoints: endpoints(namespaces, selector, accounts, not_selector.is_some(), namespace),
            not_endpoints: not_selector,
            service,
            ports: wire::ports(self.ports),
            not_ports: wire::ports(self.not_ports),
        })
    }
}

/// As soon as a selector is given, and be it `notSelector`, a policy of a namespace means endpoints of its own namespace
/// unless it says which (Calico `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`).
fn endpoints(
    namespaces: Option<Selector>,
    labels: Option<Selector>,
    service_accounts: Option<ServiceAccounts>,
    negated: bool,
    own: Option<&str>,
) -> Option<Endpoints> {
    let any = namespaces.is_some() || labels.is_some() || service_accounts.is_some();
    let namespaces = match (namespaces, own) {
        (Some(selector), _) => Namespaces::Chosen(selector),
        (None, Some(own)) => Namespaces::Named(own.to_string()),
        (None, None) => Namespaces::Any,
    };
    let limited = negated && matches!(namespaces, Namespaces::Named(_));
    (any || limited).then(|| Endpoints { namespaces, labels: labels.unwrap_or_default(), service_accounts })
}
