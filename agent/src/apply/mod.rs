//! What is wanted, laid into the kernel: steps are worked out by `dataplane::diff`, done by a thread that may block.
//! What the node's container runtime is to find is laid down by `cni`.

pub mod bench;
pub mod blocks;
pub mod bridged;
pub mod cluster;
pub mod cni;
pub mod first_pool;
pub mod names;
mod rules;
pub mod uninstall;
pub mod worker;

pub use bench::Bench;
pub use rules::{RulesOutcome, RulesWork};
pub use worker::{Done, Job, Shared, Worker};
