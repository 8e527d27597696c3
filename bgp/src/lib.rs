//! A BGP-4 speaker without a network: no sockets, no clock, no threads; bytes, time and randomness are arguments.
//!
//! `wire` is the codec, `session` the state machine of one peer, `rib` the tables, `filter` what is believed and told,
//! `speaker` all of it together, `sim` a network of speakers under a virtual clock.

#![forbid(unsafe_code)]

pub mod config;
mod filter;
pub mod rib;
mod session;
pub mod sim;
pub mod speaker;
pub mod wire;

pub use config::{PeerConfig, PeerKey, SpeakerConfig};
pub use speaker::{Input, Output, Speaker};
