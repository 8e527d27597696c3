//! From what we want and what is there to the steps between: pure, and the same for a few keys as for all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::actual::{Actual, ActualRoute};
use crate::nexthop;
use crate::ours::{Marked, Ours};
use crate::want::{NextHop, NextHops, Route, RouteKey, RouteKind};
use crate::wanted::Wanted;

/// One change to table `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nobody holds the place: make the route.
    Add(Route),
    /// Ours holds it and is other than wanted: put this in its place without a gap.
    Replace {
        /// What is there.
        old: Ours<ActualRoute>,
        /// What is wanted there.
        new: Route,
    },
    /// Ours, and nobody wants it.
    Delete(Ours<ActualRoute>),
}

impl Step {
    /// The place it changes.
    pub fn key(&self) -> RouteKey {
        match self {
            Step::Add(route) => route.key(),
            Step::Replace { new, .. } => new.key(),
            Step::Delete(old) => old.key(),
        }
    }

    /// Why it is needed.
    pub fn reason(&self) -> String {
        match self {
            Step::Add(_) => "missing".into(),
            Step::Replace { old, .. } => format!("was {}", **old),
            Step::Delete(_) => "not wanted".into(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Add(route) => write!(f, "add {route}"),
            Step::Replace { new, .. } => write!(f, "replace {new}"),
            Step::Delete(old) => write!(f, "delete {}", **old),
        }
    }
}

/// Why a wanted route is not even tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Another's route holds its place.
    By(ActualRoute),
    /// Every next hop is on one of these links without a signal, where the kernel takes none.
    NoCarrier(BTreeSet<String>),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::By(route) => {
                write!(f, "{} is held by proto {} route", route.key(), crate::actual::Protocol(route.protocol))
            }
            Held::NoCarrier(links) => {
                let links: Vec<&str> = links.iter().map(String::as_str).collect();
                write!(f, "no carrier on {}", links.join(", "))
            }
        }
    }
}

/// What is to be done, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// In order: what others lean on first, deletions last, so that no packet meets a gap.
    pub steps: Vec<Step>,
    /// Wanted, and not tried as things are: there are no steps for these.
    pub held: BTreeMap<RouteKey, Held>,
}

/// Which places are compared.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// All that are wanted or ours.
    All,
    /// Only these.
    Only(&'a BTreeSet<RouteKey>),
}

/// The steps from `actual` to `want`. What is as it should be gets none; what is not ours is never touched.
pub fn routes(want: &Wanted, actual: &Actual, keys: Keys<'_>) -> Steps {
    let mut out = Steps::default();
    match keys {
        Keys::Only(keys) => keys.iter().for_each(|key| one(key, want, actual, &mut out)),
        Keys::All => {
            let others = actual.routes.keys().filter(|key| want.get(key).is_none());
            want.keys().chain(others).for_each(|key| one(key, want, actual, &mut out));
        }
    }
    out.steps.sort_by_key(rank);
    out
}

/// Compares one place.
fn one(key: &RouteKey, want: &Wanted, actual: &Actual, out: &mut Steps) {
    let by_object = want.by_object(key, actual);
    let mut ours = Vec::new();
    let mut foreign = None;
    for route in actual.routes.at(key) {
        match Ours::recognise(route.clone()) {
            Ok(route) => ours.push(route),
            Err(route) => foreign = Some(route),
        }
    }
    let possible = want.get(key).map(|want| if by_object { possible(want, actual) } else { Ok(Cow::Borrowed(want)) });
    let want = possible.and_then(|possible| possible.map_err(|held| out.held.insert(*key, held)).ok());
    let Some(want) = want else {
        out.steps.extend(ours.into_iter().map(Step::Delete));
        return;
    };
    if let Some(right) = ours.iter().position(|route| route.fulfils(&want) && is_laid(route, by_object, actual)) {
        ours.remove(right);
        out.steps.extend(ours.into_iter().map(Step::Delete));
        return;
    }
    if let Some(by) = foreign {
        // To replace could hit either of the two; ours goes, and the wanted one waits for the place.
        out.steps.extend(ours.into_iter().map(Step::Delete));
        out.held.insert(*key, Held::By(by));
        return;
    }
    let mut ours = ours.into_iter();
    let want = want.into_owned();
    out.steps.push(match ours.next() {
        Some(old) => Step::Replace { old, new: want },
        None => Step::Add(want),
    });
    out.steps.extend(ours.map(Step::Delete));
}

/// What of a route by an object the kernel can take now: no next hop on a link without a signal.
fn possible<'a>(want: &'a Route, actual: &Actual) -> Result<Cow<'a, Route>, Held> {
    let RouteKind::Unicast(hops) = &want.kind else { return Ok(Cow::Borrowed(want)) };
    let silent = |hop: &NextHop| {
        let link = actual.links.get(&hop.device?)?;
        (!nexthop::carries(link)).then(|| link.name.clone())
    };
    if hops.as_slice().iter().all(|hop| silent(hop).is_none()) {
        return Ok(Cow::Borrowed(want));
    }
    match NextHops::new(hops.as_slice().iter().filter(|hop| silent(hop).is_none()).copied()) {
        Ok(hops) => Ok(Cow::Owned(Route { kind: RouteKind::Unicast(hops), ..want.clone() })),
        Err(_) => Err(Held::NoCarrier(hops.as_slice().iter().filter_map(silent).collect())),
    }
}

/// Whether a route names an object of ours, if it should, and none otherwise.
fn is_laid(route: &ActualRoute, by_object: bool, actual: &Actual) -> bool {
    let ours = |id| actual.nexthops.as_ref().and_then(|all| all.at(id)).is_some_and(Marked::is_ours);
    route.nexthop.map_or(!by_object, |id| by_object && ours(id))
}

/// On-link routes before those whose gateways may need them, additions before deletions.
fn rank(step: &Step) -> u8 {
    let route = match step {
        Step::Add(route) | Step::Replace { new: route, .. } => route,
        Step::Delete(_) => return 2,
    };
    match &route.kind {
        RouteKind::Unicast(hops) => u8::from(hops.as_slice().iter().any(|hop: &NextHop| hop.gateway.is_some())),
        RouteKind::Blackhole => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::actual::{KernelEvent, Snapshot};
    use crate::nexthop::{ActualNexthop, NexthopKind, OF_ROUTES};
    use crate::requests::{Request, Work};

    /// A kernel that keeps the rules of places and objects, and fails where it is told to.
    struct FakeKernel {
        actual: Actual,
        /// Each request takes one; true fails it.
        faults: Vec<bool>,
    }

    impl FakeKernel {
        fn apply(&mut self, work: &Work) {
            for request in &work.requests {
                let fails = self.faults.pop().unwrap_or_default();
                if !fails && self.takes(request, work) {
                    self.actual.learn(work.effect(request).unwrap());
                }
            }
        }

        fn takes(&self, request: &Request, work: &Work) -> bool {
            let has = |id: u32| self.actual.nexthops.as_ref().is_some_and(|all| all.at(id).is_some());
            let whole = |kind: &NexthopKind| match kind {
                NexthopKind::Group(members) => members.iter().all(|member| has(member.id)),
                _ => true,
            };
            match request {
                Request::Make(new) => !has(new.id) && whole(&new.kind),
                Request::Move { old, new, .. } => has(old.id) && whole(&new.kind),
                Request::Remove(_) => true,
                Request::Route { step, object } => {
                    let step = &work.steps[*step];
                    let held = self.actual.routes.at(&step.key());
                    object.is_none_or(has)
                        && match step {
                            Step::Add(_) => held.is_empty(),
                            Step::Replace { .. } => !held.is_empty(),
                            Step::Delete(old) => held.contains(old),
                        }
                }
            }
        }
    }

    fn route(n: u8, kind: RouteKind) -> Route {
        Route { kind, ..Route::blackhole(model::Prefix::host([10, 0, 0, n].into())) }
    }

    fn kinds() -> impl Strategy<Value = RouteKind> {
        let hop = (1u8..4, 1u32..3).prop_map(|(last, device)| NextHop::via([192, 0, 2, last].into(), device));
        prop_oneof![
            Just(RouteKind::Blackhole),
            prop::collection::vec(hop, 1..3).prop_map(|hops| RouteKind::Unicast(NextHops::new(hops).unwrap())),
        ]
    }

    fn wants() -> impl Strategy<Value = Wanted> {
        (prop::collection::vec((0u8..12, kinds()), 0..12), 1usize..4).prop_map(|(routes, shared_from)| {
            let mut wanted = Wanted::sharing_from(shared_from);
            routes.into_iter().for_each(|(n, kind)| _ = wanted.insert(route(n, kind)));
            wanted
        })
    }

    fn objects() -> impl Strategy<Value = Option<Vec<ActualNexthop>>> {
        let object =
            (0u32..4, 1u8..4, prop_oneof![4 => Just(109u8), 1 => Just(4u8)]).prop_map(|(n, last, protocol)| {
                let hop = NextHop::via([192, 0, 2, last].into(), 1);
                ActualNexthop { id: OF_ROUTES.start() + n, protocol, kind: NexthopKind::One(hop) }
            });
        prop_oneof![1 => Just(None), 3 => prop::collection::vec(object, 0..6).prop_map(Some)]
    }

    fn kernels() -> impl Strategy<Value = Actual> {
        let some = (0u8..12, kinds(), prop_oneof![3 => Just(109u8), 1 => Just(4u8)], prop::option::of(0u32..4));
        (prop::collection::vec(some, 0..16), objects()).prop_map(|(routes, nexthops)| {
            let routes = routes.into_iter().map(|(n, kind, protocol, object)| {
                let id = object.map(|n| OF_ROUTES.start() + n);
                let known = |id: &u32| nexthops.iter().flatten().any(|object| object.id == *id);
                ActualRoute { protocol, nexthop: id.filter(known), ..route(n, kind).made() }
            });
            let mut actual = Actual::default();
            let routes = routes.collect();
            actual.learn(KernelEvent::Snapshot(Snapshot { routes, nexthops, ..Snapshot::default() }));
            actual
        })
    }

    fn foreign(actual: &Actual) -> (Vec<ActualRoute>, Vec<ActualNexthop>) {
        let objects = actual.nexthops.iter().flat_map(|all| all.iter());
        (
            actual.routes.iter().filter(|route| route.protocol != 109).cloned().collect(),
            objects.filter(|object| object.protocol != 109).cloned().collect(),
        )
    }

    fn with_routes(routes: impl IntoIterator<Item = ActualRoute>) -> Actual {
        Actual { routes: crate::table::RouteTable::new(routes), ..Actual::default() }
    }

    proptest! {
        #[test]
        fn steps_lead_to_what_is_wanted_whatever_fails_and_others_stay(
            want in wants(), actual in kernels(), faults in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let others = foreign(&actual);
            let mut kernel = FakeKernel { actual, faults };
            for _ in 0..80 {
                let plan = routes(&want, &kernel.actual, Keys::All);
                kernel.apply(&Work::new(plan.steps, &want, &kernel.actual));
                kernel.apply(&Work::of_unused(&kernel.actual));
            }
            let last = routes(&want, &kernel.actual, Keys::All);
            prop_assert_eq!(&last.steps, &[], "converged, and then touches nothing");
            prop_assert!(Work::of_unused(&kernel.actual).is_empty());
            prop_assert_eq!(foreign(&kernel.actual), others);
            for route in want.values() {
                let key = &route.key();
                let mine = |have: &&ActualRoute| have.protocol == 109 && have.fulfils(route);
                let fulfilled = kernel.actual.routes.at(key).iter().find(mine);
                prop_assert!(fulfilled.is_some() || last.held.contains_key(key), "{}", route);
                let by_object = want.by_object(key, &kernel.actual);
                prop_assert!(fulfilled.is_none_or(|have| have.nexthop.is_some() == by_object), "{}", route);
            }
            let unwanted = |have: &&ActualRoute| have.protocol == 109 && want.get(&have.key()).is_none();
            prop_assert_eq!(kernel.actual.routes.iter().find(unwanted), None);
        }

        #[test]
        fn the_same_is_planned_for_all_keys_as_for_each(want in wants(), actual in kernels()) {
            let all = routes(&want, &actual, Keys::All);
            let keys: BTreeSet<RouteKey> = want.keys().chain(actual.routes.keys()).copied().collect();
            let mut each = Steps::default();
            for key in keys {
                let one = routes(&want, &actual, Keys::Only(&BTreeSet::from([key])));
                each.steps.extend(one.steps);
                each.held.extend(one.held);
            }
            let text = |steps: &[Step]| steps.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            prop_assert_eq!(text(&all.steps), text(&each.steps));
            prop_assert_eq!(all.held, each.held);
        }
    }

    #[test]
    fn routes_come_before_those_that_lean_on_them_and_deletions_last() {
        let pod = route(1, RouteKind::Unicast(NextHops::one(NextHop::on_link(2))));
        let far = route(0, RouteKind::Unicast(NextHops::one(NextHop::via([10, 0, 0, 1].into(), 2))));
        let want = [pod, far].into_iter().collect();
        let actual = with_routes([route(9, RouteKind::Blackhole).made()]);
        let steps: Vec<String> = routes(&want, &actual, Keys::All).steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "add 10.0.0.1/32 dev if2 proto margay metric 1024",
                "add 10.0.0.0/32 via 10.0.0.1 dev if2 proto margay metric 1024",
                "delete blackhole 10.0.0.9/32 proto margay metric 1024",
            ]
        );
    }

    #[test]
    fn a_place_held_by_another_is_named_with_its_holder() {
        let want = route(1, RouteKind::Blackhole);
        let by = ActualRoute { protocol: 4, ..want.made() };
        let plan = routes(&[want.clone()].into_iter().collect(), &with_routes([by.clone()]), Keys::All);
        assert_eq!(plan.steps, []);
        assert_eq!(plan.held[&want.key()].to_string(), "10.0.0.1/32 metric 1024 is held by proto static route");
        assert_eq!(plan.held[&want.key()], Held::By(by));
    }
}
