//! What the kernel makes of our messages: each test in a network namespace of its own thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod lab;
mod links;
mod monitor;
mod nexthops;
mod nft;
mod packets;
mod routes;
mod rules;
#[path = "../tables/mod.rs"]
mod tables;
mod wires;
