//! The routes of table `main` as the kernel's events and dumps leave them.

use std::collections::BTreeMap;

use model::Prefix;

use crate::actual::{ActualKind, ActualRoute};
use crate::want::{NextHop, NextHops, RouteKey};

/// The routes of table `main` by what identifies them. IPv6 knows several with the same prefix and metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    slots: BTreeMap<RouteKey, Vec<ActualRoute>>,
}

impl RouteTable {
    /// From a dump.
    pub fn new(routes: impl IntoIterator<Item = ActualRoute>) -> RouteTable {
        let mut table = RouteTable::default();
        for route in routes {
            table.insert(route);
        }
        table
    }

    /// All routes with a prefix and metric.
    pub fn at(&self, key: &RouteKey) -> &[ActualRoute] {
        self.slots.get(key).map_or(&[], Vec::as_slice)
    }

    /// All routes to a prefix, the lowest metric first.
    pub fn to(&self, prefix: Prefix) -> impl Iterator<Item = &ActualRoute> {
        let places = RouteKey { prefix, metric: 0 }..=RouteKey { prefix, metric: u32::MAX };
        self.slots.range(places).flat_map(|(_, routes)| routes)
    }

    /// All routes, by prefix and metric.
    pub fn iter(&self) -> impl Iterator<Item = &ActualRoute> {
        self.slots.values().flatten()
    }

    /// All keys that hold a route.
    pub fn keys(&self) -> impl Iterator<Item = &RouteKey> {
        self.slots.keys()
    }

    /// A route is new, or told again. One of the same maker over some of its next hops is the same route before it grew
    /// (IPv6).
    pub fn insert(&mut self, route: ActualRoute) {
        let slot = self.slots.entry(route.key()).or_default();
        slot.retain(|known| *known != route && (known.protocol != route.protocol || !within(known, &route)));
        slot.push(route);
    }

    /// A route took the place of those with its prefix and metric.
    pub fn replace(&mut self, route: ActualRoute) {
        self.slots.insert(route.key(), vec![route]);
    }

    /// A route is gone, or those of its next hops that are named.
    pub fn remove(&mut self, route: &ActualRoute) {
        let key = route.key();
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let of_same_maker = |known: &ActualRoute| known.protocol == route.protocol && within(route, known);
        if let Some(position) = slot.iter().position(|known| known == route) {
            slot.remove(position);
        } else if let Some(position) = slot.iter().position(of_same_maker) {
            let mut known = slot.remove(position);
            let rest = known.next_hops().iter().filter(|hop| !has_hop(route, hop)).copied();
            if let Ok(hops) = NextHops::new(rest) {
                known.kind = ActualKind::Unicast(hops);
                slot.push(known);
            }
        } else {
            // Not the route we knew: what is left is found by the next dump, or by a refused step.
            slot.retain(|known| known.protocol != route.protocol);
        }
        if slot.is_empty() {
            self.slots.remove(&key);
        }
    }

    /// A link went down or away: the kernel drops the IPv4 routes that have no other next hop, and says nothing.
    ///
    /// Returns what was dropped.
    pub fn link_lost(&mut self, index: u32) -> Vec<RouteKey> {
        let mut lost = Vec::new();
        self.slots.retain(|key, slot| {
            let before = slot.len();
            slot.retain(|route| {
                let hops = route.next_hops();
                hops.is_empty() || hops.iter().any(|hop| hop.device != Some(index))
            });
            if slot.len() < before {
                lost.push(*key);
            }
            !slot.is_empty()
        });
        lost
    }
}

/// Whether all next hops of `part` are among those of `whole`; neither is without.
fn within(part: &ActualRoute, whole: &ActualRoute) -> bool {
    !part.next_hops().is_empty() && part.next_hops().iter().all(|hop| has_hop(whole, hop))
}

/// Whether a route has a next hop, whatever its weight: a weight of one alone is not told. A device that was left to the
/// kernel is any.
fn has_hop(route: &ActualRoute, hop: &NextHop) -> bool {
    let same_device = |known: &NextHop| known.device.is_none() || hop.device.is_none() || known.device == hop.device;
    route.next_hops().iter().any(|known| known.gateway == hop.gateway && same_device(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(last: u8, device: u32) -> NextHop {
        NextHop::via([192, 0, 2, last].into(), device)
    }

    fn route(protocol: u8, hops: &[NextHop]) -> ActualRoute {
        let kind = match NextHops::new(hops.iter().copied()) {
            Ok(hops) => ActualKind::Unicast(hops),
            Err(_) => ActualKind::Blackhole,
        };
        ActualRoute { prefix: "10.1.0.0/26".parse().unwrap(), metric: 1024, protocol, kind }
    }

    fn shown(table: &RouteTable) -> Vec<String> {
        table.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_route_that_grew_by_a_next_hop_is_one_route_and_shrinks_again() {
        let mut table = RouteTable::new([route(109, &[hop(1, 2)])]);
        table.insert(route(109, &[hop(1, 2), hop(2, 3)]));
        assert_eq!(shown(&table).len(), 1);
        table.remove(&route(109, &[hop(1, 2)]));
        assert_eq!(shown(&table), ["10.1.0.0/26 via 192.0.2.2 dev if3 proto margay metric 1024"]);
        table.remove(&route(109, &[hop(2, 3)]));
        assert_eq!(shown(&table), [""; 0]);
    }

    #[test]
    fn a_route_made_without_a_device_is_the_one_that_the_kernel_tells_with_one() {
        let open = NextHop::via_any([192, 0, 2, 1].into());
        let mut table = RouteTable::new([route(109, &[open])]);
        table.insert(route(109, &[hop(1, 2)]));
        assert_eq!(shown(&table), ["10.1.0.0/26 via 192.0.2.1 dev if2 proto margay metric 1024"]);
        table.insert(route(109, &[open]));
        table.remove(&route(109, &[hop(1, 2)]));
        assert_eq!(shown(&table), [""; 0]);
    }

    #[test]
    fn routes_of_two_makers_in_one_place_stay_apart_until_one_replaces_both() {
        let mut table = RouteTable::new([route(109, &[hop(1, 2)]), route(4, &[hop(1, 2)])]);
        table.remove(&route(4, &[hop(1, 2)]));
        assert_eq!(shown(&table), ["10.1.0.0/26 via 192.0.2.1 dev if2 proto margay metric 1024"]);
        table.insert(route(4, &[hop(1, 2)]));
        table.replace(route(12, &[]));
        assert_eq!(shown(&table), ["blackhole 10.1.0.0/26 proto bird metric 1024"]);
    }
}
