//! What is wanted, laid into the kernel: steps are worked out by `dataplane::diff`, done by a thread that may block.

pub mod bench;
pub mod names;
pub mod worker;

pub use bench::Bench;
pub use worker::{Done, Job, Shared, Worker};
