//! `route list` and `route why`.

use model::api::show::{InstalledRouteView, RouteKind, RouteWhyView};

use super::bgp_route;
use crate::output::{Detail, NOTHING, column, columns, joined, optional, wide};

/// The list.
pub fn list(routes: &[InstalledRouteView], detail: Detail) -> String {
    if routes.is_empty() {
        return "No routes.\n".to_string();
    }
    columns(
        routes,
        detail,
        &[
            column("PREFIX", |r: &InstalledRouteView| r.prefix.to_string()),
            column("NEXT-HOPS", |r: &InstalledRouteView| match r.kind {
                RouteKind::Blackhole => "blackhole".to_string(),
                RouteKind::Unicast => joined(&r.next_hops),
            }),
            column("LINKS", |r: &InstalledRouteView| joined(&r.interfaces)),
            column("PROTOCOL", |r: &InstalledRouteView| r.protocol.word().to_string()),
            column("TUNNEL", |r: &InstalledRouteView| optional(&r.tunnel)),
            column("INSTALLED", |r: &InstalledRouteView| yes_no(r.installed).to_string()),
            column("REASON", |r: &InstalledRouteView| r.reason.clone()),
            wide("TUNNEL-REASON", |r: &InstalledRouteView| r.tunnel_reason.clone()),
        ],
    )
}

/// All about one prefix.
pub fn why(why: &RouteWhyView, detail: Detail) -> String {
    let Some(prefix) = why.prefix else {
        return format!("{}: {}\n", why.asked, why.verdict);
    };
    let mut text = match prefix == why.asked {
        true => format!("{prefix}\n"),
        false => format!("{prefix}, the longest that covers {}\n", why.asked),
    };
    text += &format!("  verdict     {}\n", why.verdict);
    if let Some(route) = &why.route {
        let ways = match (route.kind, route.next_hops.as_slice(), route.interfaces.as_slice()) {
            (RouteKind::Blackhole, ..) => "blackhole: dropped in silence".to_string(),
            (_, [], links) => format!("on link {}", joined(links)),
            (_, hops, links) => ways(hops, links),
        };
        text += &format!("  next hop    {ways}\n");
        let tunnel = route.tunnel.as_deref().unwrap_or("no");
        text += &match route.tunnel_reason.as_str() {
            "" => format!("  tunnel      {tunnel}\n"),
            reason => format!("  tunnel      {tunnel}: {reason}\n"),
        };
        text += &format!("  installed   {}: {}\n", yes_no(route.installed), route.reason);
    }
    if !why.paths.is_empty() {
        text += "\nPaths, the best first\n";
        text += &bgp_route::list(&why.paths, detail);
    }
    text
}

fn ways(hops: &[std::net::IpAddr], links: &[String]) -> String {
    let way = |(i, hop): (usize, &std::net::IpAddr)| match links.get(i) {
        Some(link) => format!("{hop} on {link}"),
        None => hop.to_string(),
    };
    match hops {
        [] => NOTHING.to_string(),
        hops => hops.iter().enumerate().map(way).collect::<Vec<_>>().join(", "),
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
