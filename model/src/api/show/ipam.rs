//! Views of addresses and pods.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{PodRef, Prefix};

/// The pools as this node sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamView {
    /// In order of CIDR.
    pub pools: Vec<PoolView>,
    /// Addresses that this node's pods hold in blocks of others, or of nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub borrowed: Vec<BorrowedView>,
}

/// An address of another's block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BorrowedView {
    /// Which.
    pub ip: IpAddr,
    /// Its block, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Prefix>,
    /// The node whose block it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which pod holds it.
    pub pod: Option<PodRef>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// The IPPool's name; empty for a pod CIDR that is in no pool.
    pub name: String,
    /// What it spans.
    pub cidr: Prefix,
    /// This node takes addresses from it.
    pub active: bool,
    /// Why, or why not.
    pub reason: String,
    /// This node's blocks in it: its pod CIDRs that lie in the pool.
    pub blocks: Vec<BlockView>,
}

/// One block of this node's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockView {
    /// What it spans.
    pub cidr: Prefix,
    /// Addresses that pods may have; saturates at 2^64-1.
    pub total: u64,
    /// Addresses leased.
    pub in_use: u64,
    /// Addresses set aside (network, broadcast, gateway).
    pub reserved: u64,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressView {
    /// Which.
    pub ip: IpAddr,
    /// The pool it lies in.
    pub pool: Option<String>,
    /// The lease on it, if any.
    pub lease: Option<LeaseView>,
    /// In words: in use by whom; or free; or not ours, and whose block.
    pub reason: String,
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseView {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// Whose, as far as the runtime said.
    pub pod: Option<PodRef>,
    /// What it holds.
    pub addresses: Vec<IpAddr>,
    /// Since when; none if it was recovered from the kernel.
    pub since: Option<String>,
}

/// Leases held against pods, links and pools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamCheckView {
    /// How many blocks were looked at.
    pub blocks: u64,
    /// How many leases.
    pub leases: u64,
    /// How many of them have a living link.
    pub attached: u64,
    /// What does not fit together.
    pub problems: Vec<Problem>,
}

/// Something that does not fit together, and what will become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Which address.
    pub ip: IpAddr,
    /// Whose.
    pub pod: Option<PodRef>,
    /// The number at which a block says that it was given, where `margayctl ipam release` can take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<u64>,
    /// What is wrong, and what happens about it or what to do.
    pub message: String,
}

/// One pod interface on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Whose; empty for a call without Kubernetes arguments.
    pub namespace: String,
    /// Whose; for a call without Kubernetes arguments the container's id.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Host side.
    pub interface: String,
    /// How far it is.
    pub state: PodState,
    /// Why it is not further; empty when attached.
    pub reason: String,
    /// Octets.
    pub mtu: u32,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `name` of the network configuration.
    pub network: String,
    /// `CNI_NETNS`.
    pub netns: String,
}

/// How far a pod interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodState {
    /// Has a lease; the shim has not said that it is plumbed.
    Planned,
    /// Plumbed, and its link is there.
    Attached,
    /// It was plumbed and its link is gone.
    Lost,
}

impl PodState {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            PodState::Planned => "planned",
            PodState::Attached => "attached",
            PodState::Lost => "lost",
        }
    }
}
