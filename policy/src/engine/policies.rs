//! Policies, in which order they are asked, and which of this node's classes they are about.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::object::{DefaultAction, ObjectKey, Order, Tier};

use super::buckets::Buckets;
use super::choose::{choice_spots, chooses};
use super::class::{ClassKey, Kind};
use super::places::Places;
use super::slab::{Id, Slab};
use super::steps::Template;
use crate::rules::{Among, Direction, Force, Policy};
use model::object::{HostTraffic, Namespaces};

/// A policy with what follows from it on this node.
#[derive(Debug, Clone)]
pub struct State {
    /// The policy.
    pub policy: Policy,
    /// The classes with endpoints of this node that it is about.
    pub classes: BTreeSet<Id>,
    /// The sets that its steps name: while it is about a class.
    pub sets: Vec<Id>,
    /// Its steps, for each direction: while it is about a class.
    pub templates: [Vec<Template>; 2],
}

impl State {
    /// Its steps in a direction.
    pub fn templates(&self, direction: Direction) -> &[Template] {
        let [ingress, egress] = &self.templates;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }
}

/// All policies.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    states: Slab<State>,
    by_key: HashMap<ObjectKey, Id>,
    waiting: Buckets<Id>,
    tiers: BTreeMap<String, (Order, DefaultAction)>,
    of_tier: BTreeMap<String, BTreeSet<Id>>,
    /// How many enforced policies may be about pods, by namespace and direction; None: of any namespace.
    maybe: HashMap<(Option<String>, Direction), usize>,
}

impl Policies {
    /// A policy.
    pub fn at(&self, id: Id) -> Option<&State> {
        self.states.at(id)
    }

    /// A policy, to change what follows from it.
    pub fn at_mut(&mut self, id: Id) -> Option<&mut State> {
        self.states.at_mut(id)
    }

    /// A policy's number.
    pub fn id(&self, key: &ObjectKey) -> Option<Id> {
        self.by_key.get(key).copied()
    }

    /// Keeps a policy, and puts it in force, whether its tier is there or not: what is to forbid does so from the start.
    pub fn insert(&mut self, policy: Policy) -> Id {
        let (key, tier) = (policy.key.clone(), policy.tier.clone());
        let (spots, places) = (choice_spots(&policy.subject), maybe(&policy));
        let templates = [Vec::new(), Vec::new()];
        let state = State { policy, classes: BTreeSet::new(), sets: Vec::new(), templates };
        let id = self.states.insert(state);
        self.by_key.insert(key, id);
        self.of_tier.entry(tier).or_default().insert(id);
        self.waiting.insert(&spots, &id);
        for place in places {
            *self.maybe.entry(place).or_default() += 1;
        }
        id
    }

    /// Forgets a policy that is about no class any more.
    pub fn remove(&mut self, id: Id) {
        let Some(state) = self.states.remove(id) else { return };
        self.by_key.remove(&state.policy.key);
        if let Some(ids) = self.of_tier.get_mut(&state.policy.tier) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_tier.remove(&state.policy.tier);
            }
        }
        self.waiting.remove(&choice_spots(&state.policy.subject), &id);
        for place in maybe(&state.policy) {
            if let Some(count) = self.maybe.get_mut(&place) {
                *count -= 1;
                if *count == 0 {
                    self.maybe.remove(&place);
                }
            }
        }
    }

    /// Sets a tier, or takes it away. Returns its policies, if that changes anything for them.
    pub fn set_tier(&mut self, name: &str, tier: Option<&Tier>) -> Vec<Id> {
        let new = tier.map(|tier| (tier.order, tier.default_action));
        let before = self.tier(name);
        match new {
            Some(new) => _ = self.tiers.insert(name.to_string(), new),
            None => _ = self.tiers.remove(name),
        }
        if before == self.tier(name) {
            return Vec::new();
        }
        self.of_tier.get(name).into_iter().flatten().copied().collect()
    }

    /// Order and default action of a tier that is there.
    fn tier(&self, name: &str) -> Option<(Order, DefaultAction)> {
        self.tiers.get(name).copied().or_else(|| Tier::known(name))
    }

    /// What becomes of a packet at the end of a tier; of one that is not there it is dropped.
    pub fn end(&self, name: &str) -> DefaultAction {
        self.tier(name).map_or(DefaultAction::Deny, |(_, action)| action)
    }

    /// Whether there is an enforced policy that may be about a pod of which no more is known than its namespace, or, where that
    /// is empty, not even that.
    pub fn may_be_about(&self, namespace: &str, direction: Direction) -> bool {
        if namespace.is_empty() {
            return self.maybe.keys().any(|(_, of)| *of == direction);
        }
        [None, Some(namespace.to_string())].into_iter().any(|place| self.maybe.contains_key(&(place, direction)))
    }

    /// The policies under any of these spots that are about a class.
    pub fn about(&self, spots: &[u64], class: &ClassKey, places: &Places) -> BTreeSet<Id> {
        let candidates = self.waiting.any(spots);
        candidates.into_iter().filter(|id| self.at(*id).is_some_and(|s| is_about(&s.policy, class, places))).collect()
    }

    /// In the order in which they are asked.
    pub fn sorted(&self, ids: &BTreeSet<Id>) -> Vec<&State> {
        let mut states: Vec<&State> = ids.iter().filter_map(|id| self.at(*id)).collect();
        states.sort_by(|a, b| self.order(&a.policy, &b.policy));
        states
    }

    fn order(&self, one: &Policy, other: &Policy) -> Ordering {
        // Those that are not there come after all that are.
        let place = |policy: &Policy| self.tier(&policy.tier).map_or((true, Order::LAST), |(order, _)| (false, order));
        let tiers = || place(one).cmp(&place(other)).then_with(|| one.tier.cmp(&other.tier));
        let names = || one.key.name.cmp(&other.key.name).then_with(|| one.key.namespace.cmp(&other.key.namespace));
        let tiers = if one.tier == other.tier { Ordering::Equal } else { tiers() };
        tiers.then_with(|| one.order.cmp(&other.order)).then_with(names).then_with(|| one.key.kind.cmp(&other.key.kind))
    }
}

/// Whether a policy is about a class.
pub fn is_about(policy: &Policy, class: &ClassKey, places: &Places) -> bool {
    let of_traffic = match class.kind {
        Kind::Pod => matches!(policy.traffic, HostTraffic::Local | HostTraffic::Forwarded),
        Kind::OpenHost | Kind::ClosedHost => policy.subject.among == Among::Endpoints,
        Kind::Nets | Kind::Node => false,
    };
    of_traffic && chooses(&policy.subject, class, places)
}

/// Where a policy may be about a pod of which no more is known than its namespace.
fn maybe(policy: &Policy) -> Vec<(Option<String>, Direction)> {
    if policy.force == Force::Staged || !matches!(policy.traffic, HostTraffic::Local | HostTraffic::Forwarded) {
        return Vec::new();
    }
    let namespace = match &policy.subject.endpoints.namespaces {
        Namespaces::Named(name) => Some(name.clone()),
        _ => None,
    };
    let says = |direction: &Direction| policy.rules(*direction).is_some();
    Direction::ALL.into_iter().filter(says).map(|direction| (namespace.clone(), direction)).collect()
}
