//! `bmp` of a BGPConfiguration: stations that are told of sessions and routes (RFC 7854). Margay's own; Calico has none.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::Invalid;

/// The port that most stations listen on.
const BMP_PORT: u16 = 11019;

/// A BMP station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BmpStation {
    /// Its address.
    pub station: IpAddr,
    /// Its port: 11019 by default.
    #[serde(default = "bmp_port")]
    pub port: u16,
    /// What it is told: AdjInPrePolicy by default.
    #[serde(default = "bmp_tables")]
    pub tables: Vec<BmpTable>,
}

/// A table that a station can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BmpTable {
    /// What peers have sent (RFC 7854 §5).
    AdjInPrePolicy,
    /// What of it was let in, as filters have changed it (RFC 7854 §5).
    AdjInPostPolicy,
    /// What peers are told (RFC 8671).
    AdjOut,
    /// The best paths (RFC 9069).
    LocRIB,
}

impl BmpStation {
    /// Where to dial.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.station, self.port)
    }
}

impl BmpTable {
    /// As it is written in objects.
    pub const fn name(self) -> &'static str {
        match self {
            BmpTable::AdjInPrePolicy => "AdjInPrePolicy",
            BmpTable::AdjInPostPolicy => "AdjInPostPolicy",
            BmpTable::AdjOut => "AdjOut",
            BmpTable::LocRIB => "LocRIB",
        }
    }
}

const fn bmp_port() -> u16 {
    BMP_PORT
}

fn bmp_tables() -> Vec<BmpTable> {
    vec![BmpTable::AdjInPrePolicy]
}

/// What deserialising cannot see.
pub(super) fn check(stations: &[BmpStation]) -> Result<(), Invalid> {
    for (i, station) in stations.iter().enumerate() {
        let field = |name: &str| format!("spec.bmp[{i}].{name}");
        if station.port == 0 {
            return Err(Invalid::field(field("port"), "must be 1 to 65535"));
        }
        if station.station.is_unspecified() || station.station.is_multicast() {
            return Err(Invalid::field(field("station"), format!("{} is no station's address", station.station)));
        }
        if station.tables.is_empty() {
            return Err(Invalid::field(field("tables"), "must name a table"));
        }
        if stations.iter().take(i).any(|other| other.address() == station.address()) {
            return Err(Invalid::field(field("station"), format!("{} is named twice", station.address())));
        }
    }
    Ok(())
}
