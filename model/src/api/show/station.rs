//! Views of BMP stations.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A BMP station and the connection with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StationView {
    /// Where it is.
    pub station: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// What it is told, as in the object.
    pub tables: Vec<String>,
    /// How far it is.
    pub state: StationState,
    /// Since when it is connected, or not.
    pub since: String,
    /// Why it is not connected; empty if it is.
    pub reason: String,
    /// Octets sent since it is connected.
    pub sent: u64,
    /// Octets that wait to be sent.
    pub waiting: u64,
    /// How often it was connected.
    pub connected_count: u64,
}

/// How far a station is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StationState {
    /// Not connected: dialled from time to time.
    Away,
    /// Being told of what there was before it connected.
    Dumping,
    /// Told of everything as it happens.
    Live,
}

impl StationState {
    /// The word of the listing.
    pub const fn name(self) -> &'static str {
        match self {
            StationState::Away => "Away",
            StationState::Dumping => "Dumping",
            StationState::Live => "Live",
        }
    }
}
