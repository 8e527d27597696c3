//! The routes of table `main` as the kernel's events and dumps leave them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use model::Prefix;

use crate::actual::{ActualKind, ActualRoute};
use crate::want::{NextHop, NextHops, RouteKey};

/// The routes of table `main` by what identifies them. IPv6 knows several with the same prefix and metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    slots: BTreeMap<RouteKey, Vec<ActualRoute>>,
    /// How many routes name a nexthop object.
    users: BTreeMap<u32, usize>,
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

    /// How many routes name a nexthop object.
    pub fn users(&self, object: u32) -> usize {
        self.users.get(&object).copied().unwrap_or_default()
    }

    /// A route is new, or told again. One of the same maker over some of its next hops is the same route before it grew
    /// (IPv6).
    pub fn insert(&mut self, route: ActualRoute) {
        self.change(route.key(), |slot| {
            slot.retain(|known| *known != route && (known.protocol != route.protocol || !within(known, &route)));
            slot.push(route);
        });
    }

    /// A route took the place of those with its prefix and metric.
    pub fn replace(&mut self, route: ActualRoute) {
        self.change(route.key(), |slot| {
            slot.clear();
            slot.push(route);
        });
    }

    /// A route is gone, or those of its next hops that are named.
    pub fn remove(&mut self, route: &ActualRoute) {
        self.change(route.key(), |slot| take_out(slot, route));
    }

    /// A link went down or away: the kernel drops the IPv4 routes that have no other next hop, and says nothing.
    ///
    /// Returns what was dropped.
    pub fn link_lost(&mut self, index: u32) -> Vec<RouteKey> {
        let lost = |route: &ActualRoute| {
            let hops = route.next_hops();
            !hops.is_empty() && hops.iter().all(|hop| hop.device == Some(index))
        };
        let keys: Vec<RouteKey> = self.iter().filter(|route| lost(route)).map(ActualRoute::key).collect();
        keys.iter().for_each(|key| self.change(*key, |slot| slot.retain(|route| !lost(route))));
        keys
    }

    /// Nexthop objects lead elsewhere now, or (none) are gone, and their routes with them. Of an object that leads nowhere
    /// we know (some none) the routes stay as they are.
    ///
    /// Returns the places of all their routes.
    pub fn lead(&mut self, objects: &BTreeMap<u32, Option<Option<NextHops>>>) -> Vec<RouteKey> {
        if objects.keys().all(|object| self.users(*object) == 0) {
            return Vec::new();
        }
        let of = |route: &ActualRoute| objects.get(&route.nexthop?);
        let keys: Vec<RouteKey> = self.iter().filter(|route| of(route).is_some()).map(ActualRoute::key).collect();
        for key in &keys {
            self.change(*key, |slot| {
                slot.retain(|route| of(route) != Some(&None));
                for route in slot {
                    if let Some(Some(Some(hops))) = of(route) {
                        route.kind = ActualKind::Unicast(hops.clone());
                    }
                }
            });
        }
        keys
    }

    /// The only way a slot changes: the objects' users are counted along.
    fn change(&mut self, key: RouteKey, change: impl FnOnce(&mut Vec<ActualRoute>)) {
        let slot = self.slots.entry(key).or_default();
        for object in slot.iter().filter_map(|route| route.nexthop) {
            if let Entry::Occupied(mut users) = self.users.entry(object) {
                *users.get_mut() -= 1;
                if *users.get() == 0 {
                    users.remove();
                }
            }
        }
        change(slot);
        for object in slot.iter().filter_map(|route| route.nexthop) {
            *self.users.entry(object).or_default() += 1;
        }
        if slot.is_empty() {
            self.slots.remove(&key);
        }
    }
}

fn take_out(slot: &mut Vec<ActualRoute>, route: &ActualRoute) {
    let of_same_object = |known: &ActualRoute| {
        route.nexthop.is_some() && (known.nexthop, known.protocol) == (route.nexthop, route.protocol)
    };
    let of_same_maker = |known: &ActualRoute| known.protocol == route.protocol && within(route, known);
    if let Some(position) = slot.iter().position(|known| known == route || of_same_object(known)) {
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
        ActualRoute { prefix: "10.1.0.0/26".parse().unwrap(), metric: 1024, protocol, nexthop: None, kind }
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
