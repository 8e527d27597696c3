//! `v1` ServiceAccount: what selectors see of it.

use serde::{Deserialize, Serialize};

use super::Meta;

/// What margay reads of a `v1` ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// `metadata`, whose labels selectors see.
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct ServiceAccountWire {
    metadata: Meta,
}
impl From<ServiceAccountWire> for ServiceAccount {
    fn from(wire: ServiceAccountWire) -> ServiceAccount {
        ServiceAccount { meta: wire.metadata }
    }
}
