//! NetworkPolicy without a network: what the objects allow, compiled into a program of few steps per pod.
//!
//! - [`scene`]: what policies are about: pods, namespaces, addresses.
//! - [`rules`]: policies in one common form, in tiers.
//! - [`ranges`]: sets of addresses, as disjoint ranges.
//! - [`program`]: what runs: sets, chains of steps, and which chains are whose.
//! - [`decide`]: what a program says of a packet, and why.
//! - [`delta`]: what changed from one program to the next.
//! - [`compile`]: from rules to the program.
//! - [`oracle`]: the same question answered slowly from the objects, to hold the program against.
//! - [`matrix`]: who may reach whom, for all pairs of pods.

pub mod compile;
pub mod decide;
pub mod delta;
pub mod matrix;
pub mod oracle;
pub mod program;
pub mod ranges;
pub mod rules;
pub mod scene;

pub use decide::{Decision, Head, Packet, Verdict};
pub use delta::{Delta, SetChange};
pub use matrix::{Row, matrix};
pub use program::{EndpointKey, Program};
pub use rules::Direction;
pub use scene::Scene;
