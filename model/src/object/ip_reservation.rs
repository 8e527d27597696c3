//! IPReservation: addresses that no pod gets unless it names them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Meta;
use super::parse::{Envelope, Invalid};
use crate::Prefix;

/// Addresses kept back. What is held already stays held. Calico `api/pkg/apis/projectcalico/v3/ipreservation.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpReservation {
    /// `metadata`.
    pub meta: Meta,
    /// `reservedCIDRs`.
    pub reserved_cidrs: Vec<Prefix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IpReservationSpec {
    #[serde(default, rename = "reservedCIDRs")]
    reserved_cidrs: Option<Vec<String>>,
}

impl Envelope<IpReservationSpec> {
    pub(super) fn check(self) -> Result<IpReservation, Invalid> {
        let mut reserved_cidrs = Vec::new();
        for (at, text) in self.spec.reserved_cidrs.unwrap_or_default().iter().enumerate() {
            let prefix = match text.parse::<IpAddr>() {
                Ok(address) => Ok(Prefix::host(address)),
                Err(_) => text.parse::<Prefix>().map_err(|e| e.to_string()),
            };
            let field = || format!("spec.reservedCIDRs[{at}]");
            reserved_cidrs.push(prefix.map_err(|problem| Invalid::field(field(), problem))?);
        }
        Ok(IpReservation { meta: self.metadata, reserved_cidrs })
    }
}
