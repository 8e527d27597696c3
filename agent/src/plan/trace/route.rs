//! Where the kernel's table leads a packet, and why: what is there counts, what should be there explains it.

use std::net::IpAddr;

use dataplane::actual::{ActualKind, ActualRoute};
use dataplane::want::{NextHop, RouteKey};
use model::api::show::{Effect, HopView, TraceOutcome, TraceStep};
use model::{Family, Prefix, kernel, pod_link};

use super::{End, Picture};
use crate::plan::routes::RoutePlan;
use crate::plan::why;

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the host itself.
    Host,
    /// To a pod of this node, by this link.
    Pod(String),
    /// Out of this node.
    Out(Out),
}

/// A way out of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// Of the route that leads there.
    pub prefix: Prefix,
    /// Routers; none is the destination itself.
    pub gateways: Vec<IpAddr>,
    /// Links, in the order of the next hops.
    pub interfaces: Vec<String>,
}

impl Out {
    /// Whether it goes in another packet.
    pub fn by_tunnel(&self) -> bool {
        self.interfaces.iter().any(|name| name == kernel::TUNNEL)
    }
}

/// What the kernel does with a packet to an address: the hop, and the way if it goes on.
pub fn look_up(picture: Picture<'_>, destination: IpAddr) -> (HopView, Result<Way, End>) {
    if let Some(link) = picture.world.kernel.link_with(destination) {
        let what = format!("{destination} is this node's own, on {}", link.name);
        return (HopView::new(TraceStep::Route, Effect::Passes, what, "table local"), Ok(Way::Host));
    }
    let wanted = wanted(picture, destination);
    let Some(route) = actual(picture, destination) else {
        let reason = match wanted {
            Some((prefix, plan)) => not_there(picture, &prefix, plan),
            None => format!("no route to {destination}: no peer has announced one, and there is no default route"),
        };
        return dropped("unreachable", reason);
    };
    let names = picture.world.kernel.actual.names();
    let what = route.display(&names).to_string();
    // A route that should be there and leads more closely than the one that packets follow.
    let closer = wanted.filter(|(prefix, _)| prefix.length() > route.prefix.length());
    let reason = match closer {
        Some((prefix, plan)) => format!("followed instead of {prefix}: {}", not_there(picture, &prefix, plan)),
        None => reason(picture, route),
    };
    let mut hop = HopView::new(TraceStep::Route, Effect::Passes, what, reason);
    hop.prefix = Some(route.prefix);
    let end = |outcome, verdict: &str| Err(End { outcome, verdict: verdict.to_string() });
    let hops = match &route.kind {
        ActualKind::Unicast(hops) => hops.as_slice(),
        ActualKind::Blackhole => {
            hop.effect = Effect::Drops;
            return (hop, end(TraceOutcome::Dropped, "dropped by the route: it leads into nothing"));
        }
        ActualKind::Unreachable => {
            hop.effect = Effect::Drops;
            return (hop, end(TraceOutcome::Dropped, "refused by the route: unreachable"));
        }
        ActualKind::Other(_) => {
            hop.effect = Effect::Elsewhere;
            return (hop, end(TraceOutcome::Unknown, "a route of a type that margay does not know decides"));
        }
    };
    let name = |hop: &NextHop| hop.device.map(|index| names.get(&index).cloned().unwrap_or(format!("if{index}")));
    hop.next_hops = hops.iter().filter_map(|hop| hop.gateway).collect();
    hop.interfaces = hops.iter().filter_map(name).collect();
    let way = match hop.interfaces.as_slice() {
        [link] if pod_link::is_pod_link(link) => Way::Pod(link.clone()),
        _ => {
            let (gateways, interfaces) = (hop.next_hops.clone(), hop.interfaces.clone());
            Way::Out(Out { prefix: route.prefix, gateways, interfaces })
        }
    };
    (hop, Ok(way))
}

fn dropped(what: &str, reason: String) -> (HopView, Result<Way, End>) {
    let verdict = format!("dropped: {reason}");
    let hop = HopView::new(TraceStep::Route, Effect::Drops, what, reason);
    (hop, Err(End { outcome: TraceOutcome::Dropped, verdict }))
}

/// Every prefix that an address lies in, the longest first.
fn around(address: IpAddr) -> impl Iterator<Item = Prefix> {
    (0..=Family::of(address).bits()).rev().filter_map(move |length| Prefix::masked(address, length).ok())
}

/// The longest route that is there, of these the one with the lowest metric.
fn actual(picture: Picture<'_>, address: IpAddr) -> Option<&ActualRoute> {
    around(address).find_map(|prefix| picture.world.kernel.actual.routes.to(prefix).next())
}

/// The longest route that should be there.
fn wanted(picture: Picture<'_>, address: IpAddr) -> Option<(Prefix, &RoutePlan)> {
    around(address).find_map(|prefix| Some((prefix, picture.desired.routes.get(&prefix)?)))
}

fn not_there(picture: Picture<'_>, prefix: &Prefix, plan: &RoutePlan) -> String {
    let place = RouteKey { prefix: *prefix, metric: kernel::ROUTE_METRIC };
    match &plan.route {
        Err(unusable) => format!("the route to {prefix} can't be made: {unusable}"),
        Ok(_) => match (picture.refused)(&place) {
            Some(refused) => format!("the kernel refused the route to {prefix}: {refused}"),
            None => format!("the route to {prefix} is about to be made"),
        },
    }
}

fn reason(picture: Picture<'_>, route: &ActualRoute) -> String {
    match picture.desired.routes.get(&route.prefix) {
        Some(plan) if route.protocol == kernel::ROUTE_PROTOCOL => {
            why::reason(picture.world, &route.prefix, plan.source)
        }
        _ if route.protocol == kernel::ROUTE_PROTOCOL => "margay's, and about to go: nobody wants it any more".into(),
        _ => "another's route".into(),
    }
}
