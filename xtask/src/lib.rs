//! Chores of the project in Rust, and the tests of the house rules.

pub mod crds;
pub mod image;
pub mod manifests;
pub mod rfcs;
pub mod rules;
