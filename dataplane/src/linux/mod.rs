//! The only place that touches the kernel: netlink, nftables, sysctls, network namespaces.
//!
//! Synchronous, without a runtime, so that the shim uses it as it is and the agent wraps it.

pub mod attribute;
mod batch;
pub mod decode;
pub mod links;
pub mod monitor;
pub mod netlink;
pub mod netns;
pub mod nexthops;
pub mod nflog;
pub mod nft;
pub mod pod;
mod route_message;
pub mod routes;
pub mod socket;
pub mod sysctl;
pub mod tunnel;
