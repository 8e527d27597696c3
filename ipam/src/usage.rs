//! How full the blocks are, and whose an address is: what `margayctl ipam show` tells.

use std::net::IpAddr;

use model::Prefix;
use serde::Serialize;

use crate::lease::Lease;
use crate::leases::{Leases, describe};
use crate::space::{Openness, Space};

/// One block and how much of it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockView {
    /// The pod CIDR.
    pub block: Prefix,
    /// Name of the pool.
    pub pool: String,
    /// CIDR of the pool.
    pub pool_cidr: Prefix,
    /// Number of addresses. A text where it does not fit 64 bits would be worse than the largest number: it saturates.
    pub size: u64,
    /// Held by pods.
    pub used: u64,
    /// Kept back for the node.
    pub reserved: u64,
    /// Still to be given.
    pub free: u64,
    /// Why it gives none, or only to pods that name it; absent if open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressView {
    /// The address.
    pub address: IpAddr,
    /// The block it lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Prefix>,
    /// The pool it lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// For a person: held by whom, free, reserved, or not ours.
    pub reason: String,
}

impl Leases {
    /// All blocks, in the order in which they are filled.
    pub fn usage(&self, space: &Space) -> Vec<BlockView> {
        let within = |prefix: &Prefix, address: &IpAddr| prefix.contains(*address);
        let view = |block: &crate::space::Block| {
            let size = u64::try_from(block.size()).unwrap_or(u64::MAX);
            let used = self.holders.keys().filter(|a| within(&block.prefix, a)).count() as u64;
            let reserved =
                space.reserved.iter().filter(|a| within(&block.prefix, a) && !self.holders.contains_key(*a)).count()
                    as u64;
            BlockView {
                block: block.prefix,
                pool: block.pool.clone(),
                pool_cidr: block.pool_cidr,
                size,
                used,
                reserved,
                free: size.saturating_sub(used).saturating_sub(reserved),
                reason: match &block.openness {
                    Openness::Open => None,
                    Openness::Named(reason) => Some(format!("only for pods that name it: {reason}")),
                    Openness::Closed(reason) => Some(reason.clone()),
                },
            }
        };
        space.blocks.iter().map(view).collect()
    }

    /// One address.
    pub fn whose(&self, address: IpAddr, space: &Space) -> AddressView {
        let block = space.block_of(address);
        let lease = self.holder(address);
        let reason = match (lease, block) {
            (Some(lease), _) => format!("held by {}", describe(lease)),
            (None, _) if space.reserved.contains(&address) => "reserved for the node itself".into(),
            (None, Some(_)) => "free".into(),
            (None, None) => "in no pod CIDR of this node within a pool".into(),
        };
        AddressView {
            address,
            block: block.map(|block| block.prefix),
            pool: block.map(|block| block.pool.clone()),
            lease: lease.cloned(),
            reason,
        }
    }
}
