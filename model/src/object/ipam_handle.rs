//! IPAMHandle: which blocks hold addresses of one handle, and how many.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Meta;
use super::parse::{Envelope, Invalid};
use crate::Prefix;

/// A handle; its name is the handle's id in small letters. Calico `libcalico-go/lib/apis/v3/ipam_handle.go`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpamHandle {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`.
    pub spec: IpamHandleSpec,
}

/// `spec` of a handle. What is not understood is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamHandleSpec {
    /// `handleID`.
    #[serde(rename = "handleID")]
    pub handle_id: String,
    /// `block`: by block, the number of addresses.
    #[serde(default)]
    pub block: BTreeMap<Prefix, u32>,
    /// `deleted`: about to be deleted.
    #[serde(default)]
    pub deleted: bool,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Envelope<IpamHandleSpec> {
    pub(super) fn check(self) -> Result<IpamHandle, Invalid> {
        Ok(IpamHandle { meta: self.metadata, spec: self.spec })
    }
}
