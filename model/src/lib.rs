//! The nouns every room shares: addresses, identities, objects, and what the programs say to each other.
//!
//! No I/O, no async, no clock. A value of a type in here is valid by construction: parsing is the only way in.

pub mod api;
pub mod asn;
pub mod base64;
pub mod family;
pub mod filter;
pub mod identity;
pub mod kernel;
pub mod object;
pub mod pod_link;
pub mod prefix;
pub mod protocol;
pub mod selector;
pub mod time;

pub use asn::Asn;
pub use family::Family;
pub use identity::{ClusterId, NodeName, PodRef, RouterId};
pub use prefix::Prefix;
pub use protocol::Protocol;
pub use time::Time;
