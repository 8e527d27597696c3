//! Which BMP stations are told of this node's sessions and routes.

use bgp::bmp::{Monitoring, Station, Table};
use model::object::{BgpConfiguration, BmpStation, BmpTable};

/// The stations of the node's own BGPConfiguration; of the default one if that names none.
pub(super) fn monitoring(own: Option<&BgpConfiguration>, default: Option<&BgpConfiguration>, node: &str) -> Monitoring {
    let named = [own, default].into_iter().flatten().map(|configuration| &configuration.bmp);
    let stations = named.into_iter().find(|stations| !stations.is_empty()).into_iter().flatten();
    let station = |station: &BmpStation| {
        let tables = station.tables.iter().map(|table| match table {
            BmpTable::AdjInPrePolicy => Table::AdjInPre,
            BmpTable::AdjInPostPolicy => Table::AdjInPost,
            BmpTable::AdjOut => Table::AdjOut,
            BmpTable::LocRIB => Table::Loc,
        });
        (station.address(), Station { tables: tables.collect() })
    };
    Monitoring { name: node.into(), stations: stations.map(station).collect(), ..Monitoring::default() }
}
