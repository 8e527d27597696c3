//! Which stations there are, and what each is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Who is told of this node's sessions and tables. Nobody, by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitoring {
    /// Name of this node, for the stations (sysName, RFC 7854 §4.4).
    pub name: String,
    /// By where to dial.
    pub stations: BTreeMap<SocketAddr, Station>,
    /// From one Statistics Report of a peer to its next (RFC 7854 §4.8).
    pub statistics: Duration,
}

impl Default for Monitoring {
    fn default() -> Monitoring {
        Monitoring { name: String::new(), stations: BTreeMap::new(), statistics: Duration::from_secs(60) }
    }
}

/// A station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// What it is told.
    pub tables: BTreeSet<Table>,
}

/// A table that can be monitored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Adj-RIB-In as the peer has sent it (RFC 7854 §5).
    AdjInPre,
    /// What of it was let in, as filters have changed it (RFC 7854 §5, L flag).
    AdjInPost,
    /// Adj-RIB-Out as the peer is told (RFC 8671 §4, O and L flags).
    AdjOut,
    /// The best paths (RFC 9069).
    Loc,
}
