//! The kernel as we want it and as it is: pure, but for `linux`, which alone touches the kernel.
#![deny(unsafe_code)]

pub mod actual;
pub mod diff;
pub mod linux;
pub mod nexthop;
pub mod ours;
pub mod requests;
pub mod ruleset;
pub mod table;
pub mod want;
pub mod wanted;
