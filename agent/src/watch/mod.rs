//! What happens outside, turned into facts. Nothing in here decides anything.

pub mod objects;
pub mod routers;
