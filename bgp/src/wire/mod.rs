//! The codec: octets of BGP messages to values that cannot be wrong, and back. No I/O, no clock, no session state.
//!
//! The way in: [`Framer`] cuts the stream into [`Frame`]s or says which header rule was broken; [`Message::decode`] turns a
//! frame into a [`Message`] under a [`Context`] (what the two OPENs agreed on). What cannot be repaired comes back as the
//! [`Notification`] to send; what RFC 7606 repairs comes back inside the [`Update`] with its reason.
//! The way out: `encode` of each message type, and [`encode::updates`], which packs one set of attributes and as many prefixes as fit.

pub mod attr;
pub mod capability;
pub mod context;
pub mod encode;
pub mod framer;
pub mod message;
pub mod nlri;
pub mod notification;
pub mod open;
pub mod reader;
pub mod route_refresh;
pub mod update;

pub use attr::{
    AsPath, AttrError, Attributes, Community, Draft, Fault, LargeCommunity, NextHop, Origin, RawAttribute, Verdict,
};
pub use capability::Capability;
pub use context::{AsWidth, Context, FamilySet, FirstAs, PeerKind, Transmit};
pub use framer::{Frame, Framer, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, MessageType};
pub use message::Message;
pub use nlri::{Nlri, NlriBlock, Prefix4, Prefix6, WirePrefix};
pub use notification::{Notification, code};
pub use open::Open;
pub use route_refresh::{RefreshKind, RouteRefresh};
pub use update::{Reachable, Update};
