//! The program, kept up to date object by object: what a change costs depends on what it changes, not on how much there is.
//!
//! - What selectors can't tell apart is one class ([`class`], [`crowd`]); policies and sets look for classes, and classes for
//!   them, by an index of labels and namespaces ([`buckets`], [`choose`]).
//! - Only policies that are about an endpoint of this node have sets and steps ([`policies`], [`sets`], [`steps`]).
//! - [`Engine::update`] compiles the chains of the classes that something happened to ([`chains`]).

mod buckets;
mod chains;
mod choose;
mod class;
mod crowd;
mod learn;
mod places;
mod policies;
mod services;
mod sets;
mod slab;
mod steps;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use model::object::{Object, ObjectKey};
use model::{NodeName, PodRef};

use crate::delta::Delta;
use crate::program::{Chain, ChainKey, Chains, End, EndpointKey, HostChains, Program, Rest, TierChain};
use crate::rules::Direction;
use buckets::Buckets;
use chains::{Stage, chain};
use choose::{class_spots, finding_spots, found_at};
use class::{ClassKey, Kind};
use crowd::{Addresses, Crowd, shortest};
use places::Places;
use policies::{Policies, is_about};
use services::Services;
use sets::{Facts, Sets};
use slab::Id;

/// Whose endpoints the program is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All pods and hosts.
    Cluster,
    /// Those that are attached, and this node's host endpoints.
    Node(NodeName),
}

/// Objects, and the program that follows from them.
#[derive(Debug, Clone)]
pub struct Engine {
    scope: Scope,
    places: Places,
    services: Services,
    crowd: Crowd,
    policies: Policies,
    sets: Sets,
    pods: BTreeMap<PodRef, PodState>,
    /// Host endpoints, network sets and nodes, as members.
    others: HashMap<ObjectKey, Other>,
    /// Classes with endpoints of this node.
    locals: HashMap<Id, Local>,
    local_index: Buckets<Id>,
    /// Of which class every endpoint of this node is.
    homes: BTreeMap<EndpointKey, Id>,
    /// Attached pods whose objects were not seen yet.
    unknown: BTreeSet<PodRef>,
    /// Whether policies came or went, of which some may be about them.
    unknown_stale: bool,
    program: Program,
    chain_users: HashMap<ChainKey, usize>,
    /// Classes whose chains have to be compiled.
    dirty: BTreeSet<Id>,
    /// Endpoints that may have other chains.
    touched: BTreeSet<EndpointKey>,
}

/// A pod.
#[derive(Debug, Clone, Default)]
struct PodState {
    seen: Option<SeenPod>,
    /// Its addresses on this node, if it is attached.
    lease: Option<Addresses>,
    member: Option<Id>,
}

/// What a pod's object tells.
#[derive(Debug, Clone, PartialEq)]
struct SeenPod {
    class: Arc<ClassKey>,
    addresses: Addresses,
    /// It has ended: its addresses count only while it is attached.
    ended: bool,
}

#[derive(Debug, Clone)]
struct Other {
    key: Arc<ClassKey>,
    member: Id,
}

/// What a class with endpoints of this node has.
#[derive(Debug, Clone, Default)]
struct Local {
    endpoints: BTreeSet<EndpointKey>,
    policies: BTreeSet<Id>,
    chains: Chains,
}

impl Engine {
    /// That knows of nothing yet.
    pub fn new(scope: Scope) -> Engine {
        Engine {
            scope,
            places: Places::default(),
            services: Services::default(),
            crowd: Crowd::default(),
            policies: Policies::default(),
            sets: Sets::default(),
            pods: BTreeMap::new(),
            others: HashMap::new(),
            locals: HashMap::new(),
            local_index: Buckets::default(),
            homes: BTreeMap::new(),
            unknown: BTreeSet::new(),
            unknown_stale: false,
            program: Program::default(),
            chain_users: HashMap::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// For all pods and hosts, with the program of these objects.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Engine {
        let mut engine = Engine::new(Scope::Cluster);
        objects.into_iter().for_each(|object| engine.learn(object));
        engine.update();
        engine
    }

    /// The program as of the last [`Engine::update`].
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// All pods that have addresses of their own, in order.
    pub fn pods(&self) -> impl Iterator<Item = (&PodRef, &[IpAddr])> {
        self.pods.iter().filter_map(|(pod, state)| {
            let member = self.crowd.member(state.member?)?;
            Some((pod, member.content.addresses()))
        })
    }

    /// Whether any policy is about an endpoint of this node: only then peers matter.
    pub fn has_policies(&self) -> bool {
        self.locals.values().any(|local| !local.policies.is_empty())
    }

    /// Brings the program up to date, and tells what changed in it since the last time.
    pub fn update(&mut self) -> Delta {
        let mut delta = Delta::default();
        let facts = Facts { crowd: &self.crowd, places: &self.places, services: &self.services };
        for id in self.sets.refresh(facts, &mut self.program) {
            self.restep(id);
            self.dirty.extend(self.policies.at(id).map(|state| &state.classes).into_iter().flatten());
        }
        let before: BTreeSet<ChainKey> = BTreeSet::new();
        let mut idle = before;
        for class in std::mem::take(&mut self.dirty) {
            self.compile(class, &mut delta, &mut idle);
        }
        if std::mem::take(&mut self.unknown_stale) {
            self.touched.extend(self.unknown.iter().cloned().map(EndpointKey::Pod));
        }
        for endpoint in std::mem::take(&mut self.touched) {
            self.dispatch(endpoint, &mut delta, &mut idle);
        }
        for key in idle {
            if !self.chain_users.contains_key(&key) && self.program.chains.remove(&key).is_some() {
                // One that was made and is not needed was never there.
                if !delta.chains_made.remove(&key) {
                    delta.chains_gone.insert(key);
                }
            }
        }
        self.sets.settle(&mut self.program, &mut self.crowd, &mut delta);
        delta
    }

    /// Compiles the chains of a class of this node.
    fn compile(&mut self, id: Id, delta: &mut Delta, idle: &mut BTreeSet<ChainKey>) {
        let (Some(local), Some(class)) = (self.locals.get(&id), self.crowd.class(id)) else { return };
        let about = self.policies.sorted(&local.policies);
        let of = |direction, stage| chain(&self.policies, &about, &class.key, direction, stage);
        let is_host = matches!(class.key.kind, Kind::OpenHost | Kind::ClosedHost);
        let of_host = |direction, stage| if is_host { of(direction, stage) } else { None };
        let [ingress, egress] = Direction::ALL.map(|direction| of(direction, Stage::Local));
        let [forward_ingress, forward_egress] = Direction::ALL.map(|direction| of_host(direction, Stage::Forwarded));
        let [untracked_ingress, untracked_egress] =
            Direction::ALL.map(|direction| of_host(direction, Stage::Untracked));
        let pre_dnat = of_host(Direction::Ingress, Stage::BeforeDnat);
        let mut keep = |chain: Option<Chain>| chain.map(|chain| keep(&mut self.program, chain, delta, idle));
        let chains = Chains {
            ingress: keep(ingress),
            egress: keep(egress),
            host: HostChains {
                forward_ingress: keep(forward_ingress),
                forward_egress: keep(forward_egress),
                untracked_ingress: keep(untracked_ingress),
                untracked_egress: keep(untracked_egress),
                pre_dnat: keep(pre_dnat),
            },
        };
        let Some(local) = self.locals.get_mut(&id) else { return };
        if local.chains != chains {
            local.chains = chains;
            self.touched.extend(local.endpoints.iter().cloned());
        }
    }

    /// Gives an endpoint the chains of its class.
    fn dispatch(&mut self, endpoint: EndpointKey, delta: &mut Delta, idle: &mut BTreeSet<ChainKey>) {
        let chains = match (&endpoint, self.homes.get(&endpoint)) {
            (_, Some(class)) => self.locals.get(class).map(|local| local.chains.clone()).unwrap_or_default(),
            (EndpointKey::Pod(pod), None) if self.unknown.contains(pod) => {
                let [ingress, egress] = Direction::ALL.map(|direction| {
                    let unknown = self.policies.may_be_about(&pod.namespace, direction).then(unknown)?;
                    Some(keep(&mut self.program, unknown, delta, idle))
                });
                Chains { ingress, egress, host: HostChains::default() }
            }
            _ => Chains::default(),
        };
        let before = self.program.endpoints.get(&endpoint).cloned().unwrap_or_default();
        if before == chains {
            return;
        }
        for key in chains.each() {
            *self.chain_users.entry(key.clone()).or_default() += 1;
        }
        for key in before.each() {
            if let Some(users) = self.chain_users.get_mut(key) {
                *users -= 1;
                if *users == 0 {
                    self.chain_users.remove(key);
                    idle.insert(key.clone());
                }
            }
        }
        if chains == Chains::default() {
            self.program.endpoints.remove(&endpoint);
        } else {
            self.program.endpoints.insert(endpoint.clone(), chains);
        }
        delta.endpoints.insert(endpoint);
    }

    /// Makes the steps of a policy that is about an endpoint of this node, and takes the sets that they name.
    fn restep(&mut self, id: Id) {
        let Some(state) = self.policies.at(id) else { return };
        let facts = Facts { crowd: &self.crowd, places: &self.places, services: &self.services };
        let mut taken = Vec::new();
        let mut resolve = |source| {
            let set = self.sets.take(source, facts, &mut self.program);
            taken.push(set);
            let void = self.sets.is_void(set, id, &self.program);
            self.sets.key(set).filter(|_| !void).cloned()
        };
        let templates = Direction::ALL.map(|direction| steps::templates(&state.policy, direction, &mut resolve));
        for set in &taken {
            for class in self.sets.classes(*set) {
                if let Some(class) = self.crowd.class_mut(class) {
                    class.sets.insert(*set);
                }
            }
        }
        let Some(state) = self.policies.at_mut(id) else { return };
        state.templates = templates;
        for set in std::mem::replace(&mut state.sets, taken) {
            self.sets.give_back(set);
        }
    }

    /// A policy is about one more class of this node.
    fn begin(&mut self, policy: Id, class: Id) {
        let Some(state) = self.policies.at_mut(policy) else { return };
        let is_first = state.classes.is_empty();
        state.classes.insert(class);
        if let Some(local) = self.locals.get_mut(&class) {
            local.policies.insert(policy);
        }
        if is_first {
            self.restep(policy);
        }
        self.dirty.insert(class);
    }

    /// A policy is about one class less.
    fn end(&mut self, policy: Id, class: Id) {
        if let Some(local) = self.locals.get_mut(&class) {
            local.policies.remove(&policy);
        }
        self.dirty.insert(class);
        let Some(state) = self.policies.at_mut(policy) else { return };
        state.classes.remove(&class);
        if state.classes.is_empty() {
            state.templates = [Vec::new(), Vec::new()];
            for set in std::mem::take(&mut state.sets) {
                self.sets.forget_dependent(set, policy);
                self.sets.give_back(set);
            }
        }
    }

    /// Finds the classes of this node that a new policy is about.
    fn enter(&mut self, id: Id) {
        self.unknown_stale = true;
        let Some(state) = self.policies.at(id) else { return };
        let candidates = shortest(&self.local_index, &found_at(&state.policy.subject, &self.places));
        let about = |class: &Id| {
            self.crowd.class(*class).is_some_and(|class| is_about(&state.policy, &class.key, &self.places))
        };
        let classes: Vec<Id> = candidates.into_iter().filter(about).collect();
        for class in classes {
            self.begin(id, class);
        }
    }

    /// Forgets a policy.
    fn leave(&mut self, id: Id) {
        let classes = self.policies.at(id).map(|state| state.classes.clone()).unwrap_or_default();
        for class in classes {
            self.end(id, class);
        }
        self.policies.remove(id);
        self.unknown_stale = true;
    }

    /// An endpoint of this node is in a class.
    fn settle(&mut self, endpoint: EndpointKey, class: Id) {
        self.homes.insert(endpoint.clone(), class);
        self.touched.insert(endpoint.clone());
        let is_first = !self.locals.contains_key(&class);
        self.locals.entry(class).or_default().endpoints.insert(endpoint);
        if is_first {
            let Some(key) = self.crowd.class(class).map(|class| class.key.clone()) else { return };
            self.local_index.insert(&finding_spots(&key), &class);
            for policy in self.policies.about(&class_spots(&key, &self.places), &key, &self.places) {
                self.begin(policy, class);
            }
            self.dirty.insert(class);
        }
    }

    /// An endpoint is not in its class any more. Called while the class is there.
    fn unsettle(&mut self, endpoint: &EndpointKey) {
        let Some(class) = self.homes.remove(endpoint) else { return };
        self.touched.insert(endpoint.clone());
        let Some(local) = self.locals.get_mut(&class) else { return };
        local.endpoints.remove(endpoint);
        if !local.endpoints.is_empty() {
            return;
        }
        for policy in local.policies.clone() {
            self.end(policy, class);
        }
        self.locals.remove(&class);
        self.dirty.remove(&class);
        if let Some(key) = self.crowd.class(class).map(|class| class.key.clone()) {
            self.local_index.remove(&finding_spots(&key), &class);
        }
    }
}

impl Chains {
    /// Every chain that it names.
    pub fn each(&self) -> impl Iterator<Item = &ChainKey> {
        let HostChains { forward_ingress, forward_egress, untracked_ingress, untracked_egress, pre_dnat } = &self.host;
        let host = [forward_ingress, forward_egress, untracked_ingress, untracked_egress, pre_dnat];
        [&self.ingress, &self.egress].into_iter().chain(host).flatten()
    }
}

/// Keeps a chain in the program until it is known whether someone has it.
fn keep(program: &mut Program, chain: Chain, delta: &mut Delta, idle: &mut BTreeSet<ChainKey>) -> ChainKey {
    let key = ChainKey::of(&chain);
    if !program.chains.contains_key(&key) {
        program.chains.insert(key.clone(), Arc::new(chain));
        delta.chains_made.insert(key.clone());
        idle.insert(key.clone());
    }
    key
}

/// Denies everything, until the pod is known.
fn unknown() -> Chain {
    let tier = TierChain { tier: String::new(), items: Vec::new(), end: End::Unknown };
    Chain { tiers: vec![tier], rest: Rest::Deny }
}
