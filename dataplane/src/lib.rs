//! The kernel as we want it and as it is: `want`, `ours` and `diff` are pure; only `linux` touches the kernel.
#![deny(unsafe_code)]

pub mod linux;
