//! Prefixes and addresses that policies name.

use std::net::IpAddr;

use super::parse::{Invalid, Warnings};
use crate::Prefix;

/// A prefix, or an address for a prefix of its own. As API servers have always taken it: host bits mean nothing.
pub(super) fn prefix(text: &str, field: &str, warnings: &mut Warnings) -> Result<Prefix, Invalid> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Prefix::host(address)),
        Err(_) => masked(text, field, warnings),
    }
}

/// The same, of a prefix only.
pub(super) fn masked(text: &str, field: &str, warnings: &mut Warnings) -> Result<Prefix, Invalid> {
    let bad = || Invalid::field(field, format!("{text:?} is not a CIDR such as 10.0.0.0/24"));
    let (address, length) = text.split_once('/').ok_or_else(bad)?;
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let length: u8 = length.parse().map_err(|_| bad())?;
    let prefix = Prefix::masked(address, length).map_err(|error| Invalid::field(field, error.to_string()))?;
    if prefix.address() != address {
        warnings.add(field, format!("{text} has host bits set and is read as {prefix}"));
    }
    Ok(prefix)
}
