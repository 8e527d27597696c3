//! From what we want and what is there to the steps between: pure, and the same for a few keys as for all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::actual::{ActualRoute, KernelEvent};
use crate::ours::Ours;
use crate::table::RouteTable;
use crate::want::{NextHop, Route, RouteKey, RouteKind};

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

    /// What the kernel's event will say if the step succeeds.
    ///
    /// A picture that learns it when the step is handed over stays right: the kernel's own events come after.
    pub fn effect(&self) -> KernelEvent {
        match self {
            Step::Add(route) => KernelEvent::Route(route.made()),
            Step::Replace { new, .. } => KernelEvent::RouteReplaced(new.made()),
            Step::Delete(old) => KernelEvent::RouteGone((**old).clone()),
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

/// Why a wanted route is not even tried: another's route holds its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds the place.
    pub by: ActualRoute,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is held by proto {} route", self.by.key(), crate::actual::Protocol(self.by.protocol))
    }
}

/// What is to be done, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// In order: what others lean on first, deletions last, so that no packet meets a gap.
    pub steps: Vec<Step>,
    /// Wanted, but in another's place.
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
pub fn routes(want: &BTreeMap<RouteKey, Route>, actual: &RouteTable, keys: Keys<'_>) -> Steps {
    let mut out = Steps::default();
    match keys {
        Keys::Only(keys) => keys.iter().for_each(|key| one(key, want.get(key), actual, &mut out)),
        Keys::All => {
            want.iter().for_each(|(key, route)| one(key, Some(route), actual, &mut out));
            actual.keys().filter(|key| !want.contains_key(key)).for_each(|key| one(key, None, actual, &mut out));
        }
    }
    out.steps.sort_by_key(rank);
    out
}

/// Compares one place.
fn one(key: &RouteKey, want: Option<&Route>, actual: &RouteTable, out: &mut Steps) {
    let mut ours = Vec::new();
    let mut foreign = None;
    for route in actual.at(key) {
        match Ours::recognise(route.clone()) {
            Ok(route) => ours.push(route),
            Err(route) => foreign = Some(route),
        }
    }
    let Some(want) = want else {
        out.steps.extend(ours.into_iter().map(Step::Delete));
        return;
    };
    if let Some(right) = ours.iter().position(|route| route.fulfils(want)) {
        ours.remove(right);
        out.steps.extend(ours.into_iter().map(Step::Delete));
        return;
    }
    if let Some(by) = foreign {
        // To replace could hit either of the two; ours goes, and the wanted one waits for the place.
        out.steps.extend(ours.into_iter().map(Step::Delete));
        out.held.insert(*key, Held { by });
        return;
    }
    let mut ours = ours.into_iter();
    out.steps.push(match ours.next() {
        Some(old) => Step::Replace { old, new: want.clone() },
        None => Step::Add(want.clone()),
    });
    out.steps.extend(ours.map(Step::Delete));
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
    use crate::actual::ActualKind;
    use crate::want::NextHops;

    /// A kernel that keeps the rules of places and fails where it is told to.
    struct FakeKernel {
        table: RouteTable,
        /// Each step takes one; true fails it.
        faults: Vec<bool>,
    }

    impl FakeKernel {
        fn apply(&mut self, steps: &[Step]) {
            for step in steps {
                if self.faults.pop().unwrap_or_default() {
                    continue;
                }
                let held = self.table.at(&step.key()).to_vec();
                match step {
                    Step::Add(_) if held.is_empty() => event(&mut self.table, step),
                    Step::Replace { .. } if !held.is_empty() => event(&mut self.table, step),
                    Step::Delete(old) if held.contains(old) => event(&mut self.table, step),
                    _ => {}
                }
            }
        }
    }

    fn event(table: &mut RouteTable, step: &Step) {
        match step.effect() {
            KernelEvent::Route(route) => table.insert(route),
            KernelEvent::RouteReplaced(route) => table.replace(route),
            KernelEvent::RouteGone(route) => table.remove(&route),
            other => panic!("{other:?}"),
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

    fn wants() -> impl Strategy<Value = BTreeMap<RouteKey, Route>> {
        prop::collection::vec((0u8..12, kinds()), 0..12)
            .prop_map(|routes| routes.into_iter().map(|(n, kind)| route(n, kind)).map(|r| (r.key(), r)).collect())
    }

    fn tables() -> impl Strategy<Value = RouteTable> {
        prop::collection::vec((0u8..12, kinds(), prop_oneof![3 => Just(109u8), 1 => Just(4u8)]), 0..16).prop_map(
            |all| {
                RouteTable::new(
                    all.into_iter().map(|(n, kind, protocol)| ActualRoute { protocol, ..route(n, kind).made() }),
                )
            },
        )
    }

    fn foreign(table: &RouteTable) -> Vec<ActualRoute> {
        table.iter().filter(|route| route.protocol != 109).cloned().collect()
    }

    proptest! {
        #[test]
        fn steps_lead_to_what_is_wanted_whatever_fails_and_others_stay(
            want in wants(), table in tables(), faults in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let others = foreign(&table);
            let mut kernel = FakeKernel { table, faults };
            for _ in 0..80 {
                let plan = routes(&want, &kernel.table, Keys::All);
                kernel.apply(&plan.steps);
            }
            let last = routes(&want, &kernel.table, Keys::All);
            prop_assert_eq!(&last.steps, &[], "converged, and then touches nothing");
            prop_assert_eq!(foreign(&kernel.table), others);
            for (key, route) in &want {
                let fulfilled = kernel.table.at(key).iter().any(|have| have.protocol == 109 && have.fulfils(route));
                prop_assert!(fulfilled || last.held.contains_key(key), "{}", route);
            }
            let unwanted = kernel.table.iter().find(|have| have.protocol == 109 && !want.contains_key(&have.key()));
            prop_assert_eq!(unwanted, None);
        }

        #[test]
        fn the_same_is_planned_for_all_keys_as_for_each(want in wants(), table in tables()) {
            let all = routes(&want, &table, Keys::All);
            let keys: BTreeSet<RouteKey> = want.keys().chain(table.keys()).copied().collect();
            let mut each = Steps::default();
            for key in keys {
                let one = routes(&want, &table, Keys::Only(&BTreeSet::from([key])));
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
        let want = [pod.clone(), far.clone()].map(|route| (route.key(), route)).into();
        let table = RouteTable::new([route(9, RouteKind::Blackhole).made()]);
        let steps: Vec<String> = routes(&want, &table, Keys::All).steps.iter().map(ToString::to_string).collect();
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
        let table = RouteTable::new([ActualRoute { protocol: 4, ..want.made() }]);
        let plan = routes(&[(want.key(), want.clone())].into(), &table, Keys::All);
        assert_eq!(plan.steps, []);
        assert_eq!(plan.held[&want.key()].to_string(), "10.0.0.1/32 metric 1024 is held by proto static route");
        assert_eq!(plan.held[&want.key()].by.kind, ActualKind::Blackhole);
    }
}
