//! IPAM blocks: small ranges of a pool that nodes claim, fill, lend and give back, in Calico's form.
//!
//! ```text
//! edit     one block: who holds an ordinal, from when                              pure
//! search   which block of a pool a node tries first                                pure
//! picture  what this node has seen of the API, and what it may give by that        pure
//! level    how many addresses are kept ready                                       pure
//! plan     from the picture and what is wanted to the next compare-and-swaps       pure
//! ```
//! Nobody waits for an API: a node marks addresses as its *stock* ahead of need, by compare-and-swap, and gives to pods from
//! that stock alone. What nobody else can take any more needs no asking. Whose an address has become is written afterwards.
//!
//! Every step is planned anew from what was last seen; a step that was lost, or that came to nothing since another was
//! faster, needs no memory of itself. What makes that safe is told in [`picture`].

pub mod edit;
pub mod keep;
pub mod level;
pub mod picture;
pub mod plan;
pub mod search;
mod stock;

pub use edit::Holding;
pub use keep::Kept;
pub use level::Level;
pub use picture::{Picture, Told, Version};
pub use plan::{Op, Plan, PoolWant, Wants, plan};
pub use stock::disputed;

/// What Calico's plugin calls the addresses of a container: `k8s-pod-network.<container id>`.
pub const POD_HANDLE: &str = "k8s-pod-network.";
/// The handle of a node's tunnel device, before the node's name.
pub const TUNNEL_HANDLE: &str = "ipip-tunnel-addr-";
/// The handle of what a node keeps ready, before the node's name.
pub const STOCK_HANDLE: &str = "margay-stock-";
