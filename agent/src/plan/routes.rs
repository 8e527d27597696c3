//! Routes that should be in the kernel, each with its reasons: pods, own blocks, and what was learned.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use bgp::speaker::Best;
use dataplane::want::{NextHop, NextHops, Route};
use model::api::show::RouteSource;
use model::{Prefix, kernel};

use super::aggregates::{self, aggregates, of_aggregate};
use super::encap::{Encap, Encaps};
use super::gateways::gateways;
use super::services::block_around;
use crate::world::World;

/// One route: where it comes from, and what should be in the kernel for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// Who wants it.
    pub source: RouteSource,
    /// What should be there, or why nothing can be.
    pub route: Result<Route, Unusable>,
    /// For each next hop as learned: the tunnel decision.
    pub encap: Arc<[(IpAddr, Encap)]>,
}

/// Why a wanted route can't be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// None of the next hops can be reached.
    Unreachable(Vec<IpAddr>),
    /// The tunnel device is not there.
    NoTunnel,
    /// The pod's link is not there.
    NoLink(String),
    /// It lies in a block of service addresses: packets to them are for this node's own kube-proxy.
    ServiceAddresses(Prefix),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreachable(hops) => {
                let hops: Vec<String> = hops.iter().map(IpAddr::to_string).collect();
                write!(f, "next hop {} can't be reached: no route to it", hops.join(", "))
            }
            Unusable::ServiceAddresses(block) => {
                write!(f, "lies in service addresses {block}, which every node's own kube-proxy serves")
            }
            Unusable::NoTunnel => write!(
                f,
                "{} is not there: has the kernel an ipip module, and does no FelixConfiguration say ipipEnabled: false?",
                kernel::TUNNEL
            ),
            Unusable::NoLink(name) => write!(f, "link {name} is not there"),
        }
    }
}

/// Every prefix that some source has a route for.
pub fn prefixes(world: &World) -> BTreeSet<Prefix> {
    let mut prefixes: BTreeSet<Prefix> = world.learned.prefixes().copied().collect();
    prefixes.extend(world.leases.iter().flat_map(|lease| lease.addresses.iter().copied().map(Prefix::host)));
    prefixes.extend(gateways(world).into_keys().map(Prefix::host));
    prefixes.extend(world.own_prefixes());
    prefixes.extend(aggregates(world).into_keys());
    prefixes
}

/// The planner of routes for one state of the world: what many routes share is looked up once.
#[derive(Debug)]
pub struct Router<'a> {
    world: &'a World,
    own: Vec<Prefix>,
    encaps: Encaps<'a>,
    tunnel: Option<u32>,
    ways: HashMap<IpAddr, Vec<NextHop>>,
    gateways: BTreeMap<IpAddr, IpAddr>,
    aggregates: BTreeSet<Prefix>,
    /// By the pool that covers the prefix, and the next hops as learned.
    leads: HashMap<(Option<usize>, bgp::speaker::NextHops), Lead>,
}

/// What the routes of one pool to the same next hops share.
#[derive(Debug, Clone)]
struct Lead {
    hops: Result<NextHops, Unusable>,
    encap: Arc<[(IpAddr, Encap)]>,
}

impl<'a> Router<'a> {
    /// For the world as it is.
    pub fn new(world: &'a World) -> Router<'a> {
        Router {
            world,
            own: world.own_prefixes(),
            encaps: Encaps::new(world),
            tunnel: world.kernel.link(kernel::TUNNEL).map(|link| link.index),
            ways: HashMap::new(),
            gateways: gateways(world),
            aggregates: aggregates::prefixes(world).collect(),
            leads: HashMap::new(),
        }
    }

    /// As if the tunnel device were there already.
    pub fn with_tunnel(self, index: u32) -> Router<'a> {
        Router { tunnel: Some(index), ..self }
    }

    /// The route of one prefix, if any source has one: a pod before a block before a peer with a gateway before what was
    /// learned.
    pub fn route(&mut self, prefix: &Prefix) -> Option<RoutePlan> {
        let own = of_pod(self.world, prefix).or_else(|| of_block(&self.own, prefix));
        let own = own.or_else(|| self.of_gateway(prefix)).or_else(|| self.of_aggregate(prefix));
        own.or_else(|| self.of_learned(prefix))
    }

    fn of_aggregate(&self, prefix: &Prefix) -> Option<RoutePlan> {
        self.aggregates.contains(prefix).then(|| of_aggregate(self.world, prefix)).flatten()
    }

    /// The way to a peer by the gateway that its BGPPeer names.
    fn of_gateway(&mut self, prefix: &Prefix) -> Option<RoutePlan> {
        let peer = prefix.is_host().then(|| prefix.address())?;
        let gateway = *self.gateways.get(&peer)?;
        let hops = NextHops::new(self.way(peer).iter().copied());
        let route = hops.map(|hops| Route::unicast(*prefix, hops)).map_err(|_| Unusable::Unreachable(vec![gateway]));
        Some(RoutePlan { source: RouteSource::Gateway, route, encap: Arc::default() })
    }

    fn of_learned(&mut self, prefix: &Prefix) -> Option<RoutePlan> {
        let best: &Best = self.world.learned.best(prefix)?;
        if let Some(block) = block_around(self.world, prefix) {
            let route = Err(Unusable::ServiceAddresses(block));
            return Some(RoutePlan { source: RouteSource::Bgp, route, encap: Arc::default() });
        }
        let shared = (self.encaps.pool(prefix), best.next_hops.clone());
        let lead = match self.leads.get(&shared) {
            Some(lead) => lead.clone(),
            None => {
                let lead = self.lead(prefix, best);
                self.leads.entry(shared).or_insert(lead).clone()
            }
        };
        let route = lead.hops.map(|hops| Route::unicast(*prefix, hops));
        Some(RoutePlan { source: RouteSource::Bgp, route, encap: lead.encap })
    }

    /// Where the best paths of a prefix lead: the same for all of one pool with the same next hops.
    fn lead(&mut self, prefix: &Prefix, best: &Best) -> Lead {
        let mut hops = BTreeSet::new();
        let mut decisions = Vec::new();
        let mut no_tunnel = false;
        for next_hop in &best.next_hops {
            // A link-local address is its router's on the link of the session, whatever the table says.
            if let Some((gateway, device)) = self.on_link(next_hop) {
                decisions.push((gateway.into(), self.encaps.decide(prefix, gateway.into())));
                hops.extend(device.map(|device| NextHop::via(gateway.into(), device)));
                continue;
            }
            let decision = self.encaps.decide(prefix, next_hop.address);
            match (decision.is_tunnel(), self.tunnel) {
                (true, Some(tunnel)) => {
                    hops.insert(NextHop::via(next_hop.address, tunnel).onlink());
                }
                (true, None) => no_tunnel = true,
                (false, _) => hops.extend(self.way(next_hop.address)),
            }
            decisions.push((next_hop.address, decision));
        }
        let hops = match NextHops::new(hops) {
            Ok(hops) => Ok(hops),
            Err(_) if no_tunnel => Err(Unusable::NoTunnel),
            Err(_) => Err(Unusable::Unreachable(best.next_hops.iter().map(|h| h.address).collect())),
        };
        Lead { hops, encap: decisions.into() }
    }

    /// The router of a session on a link, with the link's interface if it is up (RFC 2545 §3, RFC 8950 §3).
    fn on_link(&self, next_hop: &bgp::speaker::NextHop) -> Option<(Ipv6Addr, Option<u32>)> {
        let (gateway, scope) = (next_hop.on_link()?, next_hop.peer.scope?);
        let link = self.world.kernel.actual.links.get(&scope.get());
        Some((gateway, link.filter(|link| link.up).map(|link| link.index)))
    }

    fn way(&mut self, next_hop: IpAddr) -> &[NextHop] {
        // What leads to a peer by its gateway is a route of ours, which are not looked at.
        let towards = self.gateways.get(&next_hop).copied().unwrap_or(next_hop);
        self.ways.entry(next_hop).or_insert_with(|| resolve(self.world, towards))
    }
}

/// A pod of this node: wanted once the shim has said that it is plumbed. Before that the shim is at work on it, and what
/// it has made already is left to it.
fn of_pod(world: &World, prefix: &Prefix) -> Option<RoutePlan> {
    if !prefix.is_host() {
        return None;
    }
    let lease = world.leases.holder(prefix.address())?;
    let link = world.kernel.link(&lease.host_interface);
    let to_link = link.map(|link| Route::unicast(*prefix, NextHops::one(NextHop::on_link(link.index))));
    let route = match (to_link, &lease.plumbed) {
        (Some(route), Some(_)) => Ok(route),
        (Some(route), None) if world.kernel.at(&route.key()).iter().any(|actual| actual.fulfils(&route)) => Ok(route),
        (_, None) => return None,
        (None, Some(_)) => Err(Unusable::NoLink(lease.host_interface.clone())),
    };
    Some(RoutePlan { source: RouteSource::Pod, route, encap: Arc::default() })
}

/// A block of this node: what no pod has is dropped here, lest it go back to the router and round in circles.
fn of_block(own: &[Prefix], prefix: &Prefix) -> Option<RoutePlan> {
    // The /32 of a block of one address would shadow its pod.
    let own = own.contains(prefix) && !prefix.is_host();
    own.then(|| RoutePlan { source: RouteSource::Block, route: Ok(Route::blackhole(*prefix)), encap: Arc::default() })
}

/// Where the kernel's table leads for a next hop: to itself if it is on a link, else to the routers of the way to it.
fn resolve(world: &World, next_hop: IpAddr) -> Vec<NextHop> {
    let Some(way) = world.kernel.way_to(next_hop) else { return Vec::new() };
    let via = |hop: &NextHop| {
        let device = hop.device?;
        Some(NextHop { onlink: hop.onlink, ..NextHop::via(hop.gateway.unwrap_or(next_hop), device) })
    };
    way.next_hops().iter().filter_map(via).collect()
}
