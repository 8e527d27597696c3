//! The kernel's links, addresses and routes, as its events tell.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use dataplane::actual::{Actual, ActualRoute, Address, KernelEvent, Link};
use dataplane::want::RouteKey;
use ipam::PodLink;
use model::pod_link::is_pod_link;
use model::{Family, Prefix, kernel};

use super::{Dirty, DirtyRoutes};

/// The kernel as it is.
#[derive(Debug, Default)]
pub struct Kernel {
    /// All of it.
    pub actual: Actual,
}

impl Kernel {
    /// Takes an event in.
    ///
    /// A pod's link concerns that pod only; a route of ours concerns only itself. Anything else may change where next
    /// hops lead, and with that every route.
    pub fn learn(&mut self, event: KernelEvent) -> Dirty {
        let of_pod = self.concerns_pod(&event);
        let foreign = is_foreign_route(&event);
        let touched = self.actual.learn(event);
        let mut dirty = Dirty::nothing();
        if let Some(name) = of_pod {
            dirty.links.insert(name);
        } else if touched.links || touched.all_routes || foreign {
            dirty.tunnel = touched.links || touched.all_routes;
            // Rules of filters may ask for a route's interface.
            dirty.bgp = touched.links;
            dirty.routes = DirtyRoutes::All;
        }
        dirty.table = touched.nft.is_some();
        dirty.installed.extend(touched.routes);
        dirty
    }

    /// The link of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.actual.link(name)
    }

    /// The link of this name, as link-local addresses are said to be on it (RFC 4007 §11).
    pub fn scope(&self, name: &str) -> Option<NonZeroU32> {
        NonZeroU32::new(self.link(name)?.index)
    }

    /// The link that has this address.
    pub fn link_with(&self, address: IpAddr) -> Option<&Link> {
        let held = self.actual.addresses.iter().find(|a| a.address == address)?;
        self.actual.links.get(&held.index)
    }

    /// The subnets on links other than pods', with the link's name, in order.
    pub fn subnets(&self) -> Vec<(Prefix, &str)> {
        let of_node = |a: &Address| {
            let link = self.actual.links.get(&a.index).filter(|link| !is_pod_link(&link.name))?;
            Some((Prefix::masked(a.address, a.length).ok()?, link.name.as_str()))
        };
        let link_local = |a: &Address| matches!(a.address, IpAddr::V6(a) if a.is_unicast_link_local());
        let mut subnets: Vec<(Prefix, &str)> =
            self.actual.addresses.iter().filter(|a| !link_local(a)).filter_map(of_node).collect();
        subnets.sort_unstable();
        subnets
    }

    /// The link-local address of this node on the link of each of its global IPv6 subnets, other than pods'.
    pub fn link_locals(&self) -> BTreeMap<Prefix, Ipv6Addr> {
        let link_local = |a: &Address| match a.address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some((a.index, address)),
            _ => None,
        };
        let of_link: BTreeMap<u32, Ipv6Addr> = self.actual.addresses.iter().filter_map(link_local).collect();
        let subnets = self.actual.addresses.iter().filter(|a| a.address.is_ipv6() && link_local(a).is_none());
        let with_link = subnets.filter_map(|a| {
            self.actual.links.get(&a.index).filter(|link| !is_pod_link(&link.name))?;
            // A host's address shares its subnet with nobody.
            let subnet = Prefix::masked(a.address, a.length).ok().filter(|subnet| !subnet.is_host())?;
            Some((subnet, *of_link.get(&a.index)?))
        });
        with_link.collect()
    }

    /// The host sides of pods that are ours, with the addresses that our routes send to them.
    pub fn host_sides(&self) -> Vec<PodLink> {
        let links = self.actual.links.values().filter(|l| is_pod_link(&l.name) && l.group == kernel::POD_LINK_GROUP);
        let mut sides: BTreeMap<u32, PodLink> =
            links.map(|l| (l.index, PodLink::new(&l.name, l.index, l.mtu, l.alias.as_deref(), Vec::new()))).collect();
        if sides.is_empty() {
            return Vec::new();
        }
        for route in self.actual.routes.iter().filter(|r| is_ours(r) && r.prefix.is_host()) {
            let on_link = route.next_hops().iter().find(|hop| hop.gateway.is_none());
            if let Some(side) = on_link.and_then(|hop| sides.get_mut(&hop.device?)) {
                side.addresses.push(route.prefix.address());
            }
        }
        sides.into_values().collect()
    }

    /// The most specific route of another's that leads to an address, and not into nothing.
    pub fn way_to(&self, address: IpAddr) -> Option<&ActualRoute> {
        let bits = Family::of(address).bits();
        (0..=bits).rev().find_map(|length| {
            let prefix = Prefix::masked(address, length).ok()?;
            self.actual.routes.to(prefix).find(|route| !is_ours(route) && !route.next_hops().is_empty())
        })
    }

    /// What holds a place in the table.
    pub fn at(&self, key: &RouteKey) -> &[ActualRoute] {
        self.actual.routes.at(key)
    }

    /// The name of the pod link that an event is about, if it is about one and nothing else.
    fn concerns_pod(&self, event: &KernelEvent) -> Option<String> {
        let name = match event {
            KernelEvent::Link(link) => link.name.clone(),
            KernelEvent::LinkGone { name, .. } => name.clone(),
            KernelEvent::Address(address) | KernelEvent::AddressGone(address) => {
                self.actual.links.get(&address.index)?.name.clone()
            }
            KernelEvent::Route(route) | KernelEvent::RouteReplaced(route) | KernelEvent::RouteGone(route) => {
                let device = route.next_hops().first()?.device?;
                self.actual.links.get(&device)?.name.clone()
            }
            _ => return None,
        };
        is_pod_link(&name).then_some(name)
    }
}

fn is_ours(route: &ActualRoute) -> bool {
    route.protocol == kernel::ROUTE_PROTOCOL
}

fn is_foreign_route(event: &KernelEvent) -> bool {
    match event {
        KernelEvent::Route(route) | KernelEvent::RouteReplaced(route) | KernelEvent::RouteGone(route) => {
            !is_ours(route)
        }
        _ => false,
    }
}
