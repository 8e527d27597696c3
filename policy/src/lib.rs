//! NetworkPolicy without a network: what the objects allow, compiled into a program of few steps per pod.
//!
//! - [`rules`]: policies in one common form, in tiers; `lower` brings every kind of object into it.
//! - [`engine`]: the program, kept up to date object by object.
//! - [`program`]: what runs: sets, chains of steps, and which chains are whose.
//! - [`delta`]: what changed from one program to the next.
//! - [`decide`]: what a program says of a packet, and why.
//! - [`ranges`]: sets of addresses, as disjoint ranges.
//! - [`oracle`]: the same question answered slowly from the objects, to hold the program against.
//! - [`matrix`]: who may reach whom, for all pairs of pods.

pub mod decide;
pub mod delta;
pub mod engine;
mod lower;
pub mod matrix;
pub mod oracle;
pub mod program;
pub mod ranges;
pub mod rules;

pub use decide::{Decision, Head, Packet, Verdict};
pub use delta::{Delta, SetChange};
pub use engine::{Engine, Scope};
pub use matrix::{Row, matrix};
pub use program::{EndpointKey, Program};
pub use rules::Direction;
