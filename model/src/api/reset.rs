//! Sessions that an operator begins anew, or has tell their routes again.

use serde::{Deserialize, Serialize};

/// Which sessions, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpReset {
    /// A peer's address, with its port where that is not 179, or the name of its BGPPeer.
    pub peer: String,
    /// How.
    pub how: ResetKind,
}

/// How far a reset goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResetKind {
    /// The session ends (Cease/4) and begins again; where both sides agreed on it, they keep the routes (RFC 8538).
    Session,
    /// The same, and both sides forget the routes.
    Hard,
    /// The peer is asked for its routes again (RFC 2918).
    SoftIn,
    /// The peer is told our routes again.
    SoftOut,
}
