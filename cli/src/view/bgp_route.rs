//! `bgp routes`.

use model::api::show::{AsPathItem, RouteView};

use crate::output::{Detail, column, columns, joined, optional, wide};

/// The list.
pub fn list(routes: &[RouteView], detail: Detail) -> String {
    if routes.is_empty() {
        return "No routes.\n".to_string();
    }
    let path_id = |r: &RouteView| optional(&r.path_id);
    let numbered = routes.iter().any(|route| route.path_id.is_some());
    columns(
        routes,
        detail,
        &[
            column("PREFIX", |r: &RouteView| r.prefix.to_string()),
            column("NEXT-HOP", |r: &RouteView| optional(&r.next_hop)),
            column("PEER", |r: &RouteView| optional(&r.peer)),
            if numbered { column("PATH-ID", path_id) } else { wide("PATH-ID", path_id) },
            column("AS-PATH", as_path),
            wide("ORIGIN", |r: &RouteView| r.origin.clone()),
            column("LOCAL-PREF", |r: &RouteView| optional(&r.local_pref)),
            column("MED", |r: &RouteView| optional(&r.med)),
            wide("COMMUNITIES", |r: &RouteView| joined(&r.communities)),
            wide("LARGE-COMMUNITIES", |r: &RouteView| joined(&r.large_communities)),
            wide("EXTENDED-COMMUNITIES", |r: &RouteView| joined(&r.extended_communities)),
            wide("ORIGINATOR", |r: &RouteView| optional(&r.originator_id)),
            wide("CLUSTERS", |r: &RouteView| joined(&r.cluster_list)),
            wide("OTC", |r: &RouteView| optional(&r.only_to_customer)),
            wide("OTHER", |r: &RouteView| joined(&r.other_attributes)),
            column("BEST", |r: &RouteView| marks(r)),
            column("REASON", |r: &RouteView| r.reason.clone()),
        ],
    )
}

fn as_path(route: &RouteView) -> String {
    let item = |item: &AsPathItem| match item {
        AsPathItem::As(asn) => asn.to_string(),
        AsPathItem::Set(set) => format!("{{{}}}", joined(set)),
    };
    route.as_path.iter().map(item).collect::<Vec<_>>().join(" ")
}

fn marks(route: &RouteView) -> String {
    let marks = [
        (route.best, "best"),
        (route.multipath && !route.best, "multipath"),
        (route.stale && !route.long_lived_stale, "stale"),
        (route.long_lived_stale, "llgr-stale"),
    ];
    marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect::<Vec<_>>().join(",")
}
