//! The kernel as we want it and as it is: `want`, `actual`, `ours` and `diff` are pure; only `linux` touches the kernel.
#![deny(unsafe_code)]

pub mod actual;
pub mod diff;
pub mod linux;
pub mod ours;
pub mod ruleset;
pub mod table;
pub mod want;
