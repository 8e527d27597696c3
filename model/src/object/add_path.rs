//! `addPath` of a BGPPeer: several paths per prefix (RFC 7911). Margay's own; Calico's BIRD has `add paths on` for every peer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::Invalid;

/// In which directions several paths per prefix may go (RFC 7911 §4), seen from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum AddPath {
    /// Not at all.
    Disabled,
    /// The peer may tell several; it is told one.
    #[default]
    Receive,
    /// The peer is told several; it may tell one.
    Send,
    /// Both ways.
    Both,
}

impl AddPath {
    /// Whether the peer may tell several paths.
    pub const fn receives(self) -> bool {
        matches!(self, AddPath::Receive | AddPath::Both)
    }
    /// Whether the peer is told several paths.
    pub const fn sends(self) -> bool {
        matches!(self, AddPath::Send | AddPath::Both)
    }
}

/// `addPathLimit`: how many paths of a prefix a peer is told at most.
pub(super) fn check_limit(limit: Option<u16>) -> Result<Option<u8>, Invalid> {
    let bad = || Invalid::field("spec.addPathLimit", "must be 1 to 128");
    limit.map(|limit| u8::try_from(limit).ok().filter(|n| (1..=128).contains(n)).ok_or_else(bad)).transpose()
}
