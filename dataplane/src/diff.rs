//! From what we want and what is there to the steps between: pure, and the same for a few keys as for all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::actual::{ActualRoute, RouteTable};
use crate::ours::Ours;
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
}

/// The step and why.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Add(route) => write!(f, "add {route} (missing)"),
            Step::Replace { old, new } => write!(f, "replace {new} (was {})", **old),
            Step::Delete(old) => write!(f, "delete {} (not wanted)", **old),
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
