//! What happens outside, turned into facts. Nothing in here decides anything.

pub mod denials;
pub mod kubernetes;
pub mod objects;
pub mod routers;
