//! The speaker on real sockets: each test in a network namespace of its own thread, with BIRD in another one.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

mod agreed;
mod bfd;
mod bird;
mod frr;
mod hostile;
mod mrt;
mod neighbours;
mod net;
mod security;
mod sessions;
mod stations;
