//! NetworkPolicy without a network: what the objects allow, compiled into a program of few steps per pod.
//!
//! - [`scene`]: what policies are about: pods, namespaces, addresses.
//! - [`rules`]: policies in one common form, in tiers.
//! - [`ranges`]: sets of addresses, as disjoint ranges.
//! - [`program`]: what runs: sets of addresses, and for each pod and direction a chain of steps; and what it decides.
//! - [`compile`]: from rules to the program, a pod or a set at a time.
//! - [`oracle`]: the same question answered slowly from the objects, to hold the program against.
//! - [`matrix`]: who may reach whom, for all pairs of pods.

pub mod compile;
pub mod matrix;
pub mod oracle;
pub mod program;
pub mod ranges;
pub mod rules;
pub mod scene;

pub use matrix::{Row, matrix};
pub use program::{Decision, Packet, Program, Verdict};
pub use scene::Scene;
