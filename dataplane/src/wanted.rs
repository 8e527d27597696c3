//! All routes that we want, and how many of them share their next hops.

use std::collections::BTreeMap;

use crate::actual::Actual;
use crate::nexthop::can_be_shared;
use crate::ours::Marked;
use crate::want::{NextHops, Route, RouteKey, RouteKind};

/// So many routes to the same next hops go by a nexthop object. To rewrite fewer takes less than a millisecond, and as they
/// are people and tools know them (`ip route flush` of iproute2 6.1 fails on a route with an object).
pub const SHARED_FROM: usize = 64;

/// The routes that we want in table `main`, by what identifies them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    routes: BTreeMap<RouteKey, Route>,
    sharing: BTreeMap<NextHops, usize>,
    shared_from: usize,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted::sharing_from(SHARED_FROM)
    }
}

impl Wanted {
    /// None yet; so many routes to the same next hops will go by an object.
    pub fn sharing_from(routes: usize) -> Wanted {
        Wanted { routes: BTreeMap::new(), sharing: BTreeMap::new(), shared_from: routes }
    }

    /// Wants a route instead of what was wanted in its place.
    ///
    /// Returns next hops that are shared from now on: the other routes to them should go by an object too.
    pub fn insert(&mut self, route: Route) -> Option<NextHops> {
        let hops = sharable(&route).cloned();
        let before = self.routes.insert(route.key(), route);
        if before.as_ref().and_then(sharable) == hops.as_ref() {
            return None;
        }
        self.leave(before.as_ref());
        hops.filter(|hops| {
            let sharing = self.sharing.entry(hops.clone()).or_default();
            *sharing += 1;
            *sharing == self.shared_from
        })
    }

    /// Wants nothing there any more.
    pub fn remove(&mut self, key: &RouteKey) {
        let before = self.routes.remove(key);
        self.leave(before.as_ref());
    }

    fn leave(&mut self, route: Option<&Route>) {
        let Some(hops) = route.and_then(sharable) else { return };
        if let Some(sharing) = self.sharing.get_mut(hops) {
            *sharing -= 1;
            if *sharing == 0 {
                self.sharing.remove(hops);
            }
        }
    }

    /// What is wanted in a place.
    pub fn get(&self, key: &RouteKey) -> Option<&Route> {
        self.routes.get(key)
    }

    /// All, in order.
    pub fn values(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    /// All places, in order.
    pub fn keys(&self) -> impl Iterator<Item = &RouteKey> {
        self.routes.keys()
    }

    /// The places of all routes to these next hops.
    pub fn places_to(&self, hops: &NextHops) -> impl Iterator<Item = RouteKey> {
        self.values().filter(move |route| sharable(route) == Some(hops)).map(Route::key)
    }

    /// How many routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Whether what is wanted in a place goes by a nexthop object: if enough routes share its next hops, or it goes by one
    /// already, and the kernel knows objects.
    pub fn by_object(&self, key: &RouteKey, actual: &Actual) -> bool {
        let Some(objects) = &actual.nexthops else { return false };
        let Some(hops) = self.get(key).and_then(sharable) else { return false };
        let by_ours = || {
            let named = actual.routes.at(key).iter().filter(|route| route.is_ours()).filter_map(|route| route.nexthop);
            named.filter_map(|id| objects.at(id)).any(Marked::is_ours)
        };
        self.sharing.get(hops).is_some_and(|sharing| *sharing >= self.shared_from) || by_ours()
    }
}

fn sharable(route: &Route) -> Option<&NextHops> {
    match &route.kind {
        RouteKind::Unicast(hops) if can_be_shared(hops) => Some(hops),
        _ => None,
    }
}

impl FromIterator<Route> for Wanted {
    fn from_iter<T: IntoIterator<Item = Route>>(routes: T) -> Wanted {
        let mut wanted = Wanted::default();
        routes.into_iter().for_each(|route| _ = wanted.insert(route));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::want::NextHop;

    #[test]
    fn next_hops_are_shared_from_so_many_routes_on() {
        let hops = |last: u8| NextHops::one(NextHop::via([192, 0, 2, last].into(), 2));
        let route = |n: u8, last| Route::unicast(model::Prefix::host([10, 0, 0, n].into()), hops(last));
        let mut wanted = Wanted::sharing_from(2);
        assert_eq!(wanted.insert(route(1, 1)), None);
        assert_eq!(wanted.insert(route(1, 1)), None, "told again, it is one");
        assert_eq!(wanted.insert(route(2, 1)), Some(hops(1)));
        assert_eq!(wanted.places_to(&hops(1)).count(), 2);
        assert_eq!(wanted.insert(route(3, 1)), None);
        wanted.remove(&route(3, 1).key());
        assert_eq!(wanted.insert(route(2, 2)), None);
        assert_eq!(wanted.insert(route(2, 1)), Some(hops(1)));
        for n in [1, 2] {
            wanted.remove(&route(n, 1).key());
        }
        assert_eq!(wanted, Wanted::sharing_from(2));
    }
}
