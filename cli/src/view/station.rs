//! `bgp stations`.

use std::net::SocketAddr;

use model::api::show::StationView;

use super::when;
use crate::output::{Detail, column, columns, wide};

/// The list.
pub fn list(stations: &[StationView], detail: Detail) -> String {
    if stations.is_empty() {
        return "No BMP stations.\n".to_string();
    }
    columns(
        stations,
        detail,
        &[
            column("STATION", |s: &StationView| SocketAddr::new(s.station, s.port).to_string()),
            column("TABLES", |s: &StationView| s.tables.join(",")),
            column("STATE", |s: &StationView| s.state.name().to_string()),
            column("SINCE", |s: &StationView| when(&s.since)),
            column("SENT", |s: &StationView| s.sent.to_string()),
            wide("WAITING", |s: &StationView| s.waiting.to_string()),
            wide("CONNECTED", |s: &StationView| s.connected_count.to_string()),
            column("REASON", |s: &StationView| s.reason.clone()),
        ],
    )
}
