//! `service show`.

use model::api::show::{ServiceAddressView, ServiceBlockView, ServiceView, ServicesView};

use crate::output::{Detail, column, columns, optional};

/// Why a Service may not be there.
pub const NOT_KNOWN: &str =
    "there is none, it is headless or an ExternalName, or BGPConfiguration default names no service addresses";

/// The blocks, then every address of every Service.
pub fn show(view: &ServicesView) -> String {
    if view.blocks.is_empty() {
        return "BGPConfiguration default names no service addresses: none is announced.\n".to_string();
    }
    let blocks = columns(
        &view.blocks,
        Detail::Normal,
        &[
            column("BLOCK", |b: &ServiceBlockView| b.cidr.to_string()),
            column("OF", |b: &ServiceBlockView| b.kind.word().to_string()),
            column("ADVERTISED", |b: &ServiceBlockView| if b.advertised { "yes" } else { "no" }.to_string()),
            column("REASON", |b: &ServiceBlockView| b.reason.clone()),
        ],
    );
    let rows: Vec<(&ServiceView, &ServiceAddressView)> = view
        .services
        .iter()
        .flat_map(|service| service.addresses.iter().map(move |address| (service, address)))
        .collect();
    if rows.is_empty() {
        return blocks + "\nNo Services with addresses.\n";
    }
    type Row<'a> = (&'a ServiceView, &'a ServiceAddressView);
    let services = columns(
        &rows,
        Detail::Normal,
        &[
            column("SERVICE", |(s, _): &Row<'_>| format!("{}/{}", s.namespace, s.name)),
            column("ADDRESS", |(_, a): &Row<'_>| a.address.to_string()),
            column("OF", |(_, a): &Row<'_>| a.kind.word().to_string()),
            column("READY HERE", |(s, _): &Row<'_>| if s.ready_here { "yes" } else { "no" }.to_string()),
            column("ADVERTISED", |(_, a): &Row<'_>| optional(&a.advertised)),
            column("REASON", |(_, a): &Row<'_>| a.reason.clone()),
        ],
    );
    format!("{blocks}\n{services}")
}
