//! What is shown of the BFD session beside a BGP session.

use serde::{Deserialize, Serialize};

use crate::object::GoDuration;

/// The BFD session with a peer (RFC 5880).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdView {
    /// Ours.
    pub state: BfdState,
    /// The peer's, as it said last; none while nothing is heard of it.
    pub remote_state: Option<BfdState>,
    /// Why our state changed last, in the words of RFC 5880 §4.1.
    pub diag: String,
    /// The peer's word for it.
    pub remote_diag: Option<String>,
    /// How often we would like to send (bfd.DesiredMinTxInterval): at least a second while not Up.
    pub min_tx_interval: GoDuration,
    /// How often we can hear (bfd.RequiredMinRxInterval).
    pub min_rx_interval: GoDuration,
    /// So many of our packets may be lost before the peer gives us up.
    pub multiplier: u8,
    /// How often the peer would like to send.
    pub remote_min_tx_interval: Option<GoDuration>,
    /// How often the peer can hear.
    pub remote_min_rx_interval: Option<GoDuration>,
    /// So many of its packets may be lost before we give it up.
    pub remote_multiplier: Option<u8>,
    /// How often we send, before jitter; none if the peer wants to hear nothing.
    pub tx_interval: Option<GoDuration>,
    /// How long the peer may be silent; none while nothing is heard of it.
    pub detection_time: Option<GoDuration>,
    /// My Discriminator.
    pub discriminator: u32,
    /// The peer's.
    pub remote_discriminator: Option<u32>,
    /// How often the session came up.
    pub up_count: u64,
}

/// The states of RFC 5880 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BfdState {
    /// Held down by an operator, or about to go: says nothing of the path.
    AdminDown,
    /// Nothing is heard of the other side, or it hears nothing of this one.
    Down,
    /// The other side is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl BfdState {
    /// The RFC's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            BfdState::AdminDown => "AdminDown",
            BfdState::Down => "Down",
            BfdState::Init => "Init",
            BfdState::Up => "Up",
        }
    }
}
