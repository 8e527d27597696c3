//! The speaker's table as an MRT file, piece by piece.

use serde::{Deserialize, Serialize};

use crate::Family;

/// Some records of an MRT file (RFC 6396).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpPage {
    /// The octets in base64.
    pub records: String,
    /// What to ask after next; none at the end.
    pub next: Option<DumpCursor>,
}

/// Where to go on. The speaker's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpCursor {
    /// In which table.
    pub family: Family,
    /// The first destination that is not in the file yet.
    pub destination: u32,
    /// The number of the next record.
    pub sequence: u32,
    /// Stands for the peers that the file has numbered.
    pub peers: u64,
}
