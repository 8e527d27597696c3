//! `projectcalico.org/v3` NetworkSet and GlobalNetworkSet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::{Envelope, Invalid, Warnings};
use super::{Meta, nets};
use crate::Prefix;

/// Prefixes with labels, so that selectors of rules find them as they find pods; in a namespace, or (GlobalNetworkSet) in
/// none. Calico `api/pkg/apis/projectcalico/v3/{networkset,globalnetworkset}.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSet {
    /// `metadata`, whose labels selectors see.
    pub meta: Meta,
    /// `nets`.
    pub nets: Vec<Prefix>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NetworkSetSpec {
    /// Prefixes in CIDR notation, and addresses.
    #[serde(default)]
    nets: Option<Vec<String>>,
}

impl Envelope<NetworkSetSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<NetworkSet, Invalid> {
        let texts = self.spec.nets.unwrap_or_default().into_iter().enumerate();
        let nets = texts.map(|(n, text)| nets::prefix(&text, &format!("spec.nets[{n}]"), warnings));
        Ok(NetworkSet { nets: nets.collect::<Result<_, _>>()?, meta: self.metadata })
    }
}
