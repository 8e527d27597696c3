//! The routes of table `main`: read, and changed in bulk.

use std::fmt;
use std::net::IpAddr;

use model::{Family, kernel};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};

use super::decode::{self, TABLE_MAIN};
use super::netlink::{
    Batch, CHUNK_REQUESTS, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, NetlinkError, Refusal, rtm,
};
use crate::actual::{ActualKind, ActualRoute};
use crate::diff::Step;
use crate::want::{NextHop, NextHops, Route, RouteKind};

/// Which routes of table `main` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those of our protocol number; the kernel does the choosing.
    Ours,
}

/// Reads the routes of table `main`, both families.
pub fn read(netlink: &mut Netlink, whose: Whose) -> Result<Vec<ActualRoute>, NetlinkError> {
    let mut routes = Vec::new();
    for family in Family::ALL {
        let mut request = RouteMessage::default();
        request.header.address_family = address_family(family);
        request.header.table = TABLE_MAIN;
        if whose == Whose::Ours {
            request.header.protocol = RouteProtocol::from(kernel::ROUTE_PROTOCOL);
        }
        // A kernel without the family answers with every family it has.
        let wanted = |route: &ActualRoute| {
            route.prefix.family() == family && (whose == Whose::All || route.protocol == kernel::ROUTE_PROTOCOL)
        };
        match netlink.dump(rtm::GETROUTE, &request, |message| decode::route(message).filter(wanted)) {
            Ok(found) => routes.extend(found),
            // A namespace where no IPv4 route was ever made has no such table yet.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(routes)
}

/// A step that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its position among the steps.
    pub position: usize,
    /// The step.
    pub step: Step,
    /// Why.
    pub refusal: Refusal,
}

impl Failure {
    /// The picture the step was planned by is out of date: read the routes again, then plan again.
    ///
    /// Otherwise the place is empty (or as it was), and the step may succeed later.
    pub fn is_stale(&self) -> bool {
        match self.step {
            Step::Add(_) => self.refusal.errno == libc::EEXIST,
            Step::Replace { .. } => matches!(self.refusal.errno, libc::ENOENT | libc::EEXIST),
            Step::Delete(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.refusal)
    }
}

/// Does the steps in order, in chunks; a refused one stops nothing. Returns those that failed.
///
/// `progress` hears after each chunk how many steps are behind. Something already gone counts as deleted.
/// An error means that the fate of some steps is unknown: read the routes again.
pub fn apply(
    netlink: &mut Netlink,
    steps: &[Step],
    mut progress: impl FnMut(usize),
) -> Result<Vec<Failure>, NetlinkError> {
    let mut failures = Vec::new();
    let mut batch = Batch::new();
    for (chunk, steps) in steps.chunks(CHUNK_REQUESTS).enumerate() {
        batch.clear();
        for step in steps {
            push(&mut batch, step);
        }
        for (at, refusal) in netlink.run(&mut batch)?.refused {
            let Some(step) = steps.get(at) else { continue };
            let gone = matches!(step, Step::Delete(_)) && refusal.errno == libc::ESRCH;
            if !gone {
                failures.push(Failure { position: chunk * CHUNK_REQUESTS + at, step: step.clone(), refusal });
            }
        }
        progress(chunk * CHUNK_REQUESTS + steps.len());
    }
    Ok(failures)
}

fn push(batch: &mut Batch, step: &Step) {
    match step {
        // EXCL: should somebody have taken the place meanwhile, theirs stays.
        Step::Add(route) => batch.push(rtm::NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &message(route)),
        // No CREATE: should ours be gone meanwhile, the picture is out of date. The kernel does not compare the protocol
        // here: a route that took the place of ours between its event and this step would be replaced. To delete and add
        // instead would be safe from that, and would lose packets at every change of next hops.
        Step::Replace { new, .. } => batch.push(rtm::NEWROUTE, NLM_F_REPLACE, &message(new)),
        Step::Delete(old) => batch.push(rtm::DELROUTE, 0, &deletion(old)),
    };
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// A message about a place, without saying where packets go.
fn place(prefix: model::Prefix, metric: u32, scope: RouteScope, kind: RouteType) -> RouteMessage {
    let header = RouteHeader {
        address_family: address_family(prefix.family()),
        destination_prefix_length: prefix.length(),
        table: TABLE_MAIN,
        protocol: RouteProtocol::from(kernel::ROUTE_PROTOCOL),
        scope,
        kind,
        ..RouteHeader::default()
    };
    let mut message = RouteMessage::default();
    message.header = header;
    message.attributes =
        vec![RouteAttribute::Destination(route_address(prefix.address())), RouteAttribute::Priority(metric)];
    message
}

/// The request for a wanted route.
fn message(route: &Route) -> RouteMessage {
    let (scope, kind) = match &route.kind {
        RouteKind::Blackhole => (RouteScope::Universe, RouteType::BlackHole),
        // The kernel takes an IPv4 route without a router as universe only if told nothing else; `ip` says link.
        RouteKind::Unicast(hops) if hops.as_slice().iter().all(|hop| hop.gateway.is_none()) => {
            (RouteScope::Link, RouteType::Unicast)
        }
        RouteKind::Unicast(_) => (RouteScope::Universe, RouteType::Unicast),
    };
    let mut message = place(route.prefix, route.metric, scope, kind);
    if let RouteKind::Unicast(hops) = &route.kind {
        push_hops(&mut message, route.prefix.family(), hops);
    }
    message
}

/// The request to delete what is ours. The kernel compares the protocol number too, so another's route is safe even
/// if it took the place a moment ago.
fn deletion(route: &ActualRoute) -> RouteMessage {
    let kind = match route.kind {
        ActualKind::Unicast(_) => RouteType::Unicast,
        ActualKind::Blackhole => RouteType::BlackHole,
        ActualKind::Unreachable => RouteType::Unreachable,
        ActualKind::Other(kind) => RouteType::from(kind),
    };
    // NoWhere: any scope.
    let mut message = place(route.prefix, route.metric, RouteScope::NoWhere, kind);
    // Of several routes in one place (IPv4, appended by hand) the one meant. Several next hops would be compared in
    // the kernel's order, which is not ours; without any, IPv6 deletes all of them in one go.
    if let ActualKind::Unicast(hops) = &route.kind
        && hops.as_slice().len() == 1
    {
        push_hops(&mut message, route.prefix.family(), hops);
    }
    message
}

fn push_hops(message: &mut RouteMessage, family: Family, hops: &NextHops) {
    if let [hop] = hops.as_slice() {
        message.attributes.extend(hop_attributes(family, hop));
        message.attributes.extend(hop.device.map(RouteAttribute::Oif));
        if hop.onlink {
            message.header.flags |= RouteFlags::Onlink;
        }
        return;
    }
    let hops = hops.as_slice().iter().map(|hop| {
        let mut next_hop = RouteNextHop::default();
        next_hop.interface_index = hop.device.unwrap_or_default();
        next_hop.hops = hop.weight.get() - 1;
        if hop.onlink {
            next_hop.flags = RouteNextHopFlags::Onlink;
        }
        next_hop.attributes = hop_attributes(family, hop).into_iter().collect();
        next_hop
    });
    message.attributes.push(RouteAttribute::MultiPath(hops.collect()));
}

fn hop_attributes(family: Family, hop: &NextHop) -> Option<RouteAttribute> {
    match (family, hop.gateway?) {
        (Family::Ipv4, IpAddr::V6(gateway)) => Some(RouteAttribute::Via(RouteVia::Inet6(gateway))),
        (_, gateway) => Some(RouteAttribute::Gateway(route_address(gateway))),
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
