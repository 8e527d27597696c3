//! BMP: what a monitoring station is told of sessions and tables (RFC 7854, RFC 8671, RFC 9069), without a network.
//!
//! [`Message`] is the codec. Who is told what is in [`Monitoring`]; the speaker makes the messages as things happen
//! ([`crate::Output::Station`]), and the whole of the tables for a station that has just connected.

mod config;
mod decode;
mod message;
mod peer;

#[cfg(test)]
mod tests;

pub use config::{Monitoring, Station, Table};
pub use decode::{DecodeError, MAX_LENGTH, length};
pub(crate) use message::put_route_monitoring;
pub use message::{DownReason, Information, Message, PeerUp, Statistic, information, termination};
pub use peer::{Flags, Kind, PeerHeader};
