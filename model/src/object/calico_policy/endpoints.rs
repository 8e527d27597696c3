//! Which of the cluster's endpoints a policy or a rule means: by their own labels, their namespace's, their account's.

use serde::{Deserialize, Serialize};

use crate::selector::{Labels, Selector};

/// Pods, host endpoints and network sets, by labels. All of the parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Where they lie.
    pub namespaces: Namespaces,
    /// `selector`: what labels they have. Besides its own, an endpoint has those of [`Endpoints::NAMESPACE`] and the
    /// following.
    pub labels: Selector,
    /// `serviceAccounts`: as whom a pod runs. None: it does not matter.
    pub service_accounts: Option<ServiceAccounts>,
}

/// Where endpoints lie. Host endpoints and GlobalNetworkSets lie in no namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Namespaces {
    /// Anywhere, or in no namespace.
    Any,
    /// In this one: a policy's own.
    Named(String),
    /// Where `namespaceSelector` chooses; see [`Namespaces::chooses`].
    Chosen(Selector),
}

/// As whom a pod runs: both must hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccounts {
    /// `names`; empty: any.
    pub names: Vec<String>,
    /// `selector`, of the ServiceAccount's labels.
    pub labels: Selector,
}

impl Endpoints {
    /// The label of an endpoint that names its namespace; of a namespaced one only.
    pub const NAMESPACE: &str = "projectcalico.org/namespace";
    /// The label of a pod: [`Endpoints::KUBERNETES`].
    pub const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
    /// What [`Endpoints::ORCHESTRATOR`] says of every pod.
    pub const KUBERNETES: &str = "k8s";
    /// The label of a pod that names its ServiceAccount.
    pub const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
    /// Before the labels of its namespace among the labels of an endpoint.
    pub const OF_NAMESPACE: &str = "pcns.";
    /// Before the labels of its ServiceAccount among the labels of a pod.
    pub const OF_SERVICE_ACCOUNT: &str = "pcsa.";
    /// The label of a namespace or ServiceAccount that names it.
    pub const NAME: &str = "projectcalico.org/name";
}

impl Namespaces {
    /// Whether something in a namespace with this name and these labels is meant ([`Endpoints::NAME`] need not be among
    /// them); of None, whether something in no namespace is.
    pub fn chooses(&self, namespace: Option<(&str, &Labels)>) -> bool {
        match (self, namespace) {
            (Namespaces::Any, _) => true,
            (Namespaces::Named(wanted), place) => place.is_some_and(|(name, _)| name == wanted),
            (Namespaces::Chosen(selector), Some((name, labels))) => selector.chooses_holder(Some(&named(name, labels))),
            (Namespaces::Chosen(selector), None) => selector.chooses_holder(None),
        }
    }
}

impl ServiceAccounts {
    /// Whether a pod that runs as an account with this name and these labels is meant; of None, whether something that is
    /// no pod is.
    pub fn chooses(&self, account: Option<(&str, &Labels)>) -> bool {
        let of_name = self.names.is_empty() || account.is_some_and(|(name, _)| self.names.iter().any(|n| n == name));
        let labels = account.map(|(name, labels)| named(name, labels));
        of_name && self.labels.chooses_holder(labels.as_ref())
    }
}

/// Labels with the name among them.
fn named(name: &str, labels: &Labels) -> Labels {
    let mut all = labels.clone();
    all.entry(Endpoints::NAME.into()).or_insert_with(|| name.into());
    all
}
