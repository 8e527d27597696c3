//! The sets that the policies in use name, kept up to date member by member.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use model::object::ServiceName;
use model::{Prefix, Protocol};

use super::buckets::{Buckets, Spot, spot};
use super::choose::{Wanted, choice_spots, chooses, class_spots, found_at};
use super::class::{ClassKey, Kind};
use super::crowd::{Content, Crowd, Member};
use super::places::Places;
use super::services::Services;
use super::slab::{Id, Slab};
use crate::delta::{Delta, SetChange};
use crate::program::{Members, MembersKind, Program, Set, SetKey, Socket};
use crate::ranges::Ranges;
use crate::rules::Choice;

/// What a set is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The addresses of whom any of these chooses.
    Addresses(Vec<Choice>),
    /// The nets of the network sets that any of these chooses.
    NetsOf(Vec<Choice>),
    /// Nets less others.
    Nets(Vec<(Prefix, Vec<Prefix>)>),
    /// Ports with any of these names, and whose they are.
    Ports(Vec<String>, Protocol),
    /// The addresses of a Service's endpoints.
    ServiceAddresses(ServiceName),
    /// The addresses and ports of a Service's endpoints.
    ServicePorts(ServiceName),
}

impl Source {
    fn kind(&self) -> MembersKind {
        match self {
            Source::Addresses(_) | Source::ServiceAddresses(_) => MembersKind::Addresses,
            Source::NetsOf(_) | Source::Nets(_) => MembersKind::Nets,
            Source::Ports(..) | Source::ServicePorts(_) => MembersKind::Sockets,
        }
    }

    /// The same text, the same set, in whatever order it was written.
    fn about(&self) -> String {
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts.dedup();
            texts.join(" | ")
        };
        let net = |(net, except): &(Prefix, Vec<Prefix>)| {
            except.iter().fold(net.to_string(), |text, prefix| format!("{text} except {prefix}"))
        };
        match self {
            Source::Addresses(choices) => sorted(choices.iter().map(Choice::to_string).collect()),
            Source::NetsOf(choices) => {
                format!("network sets among {}", sorted(choices.iter().map(Choice::to_string).collect()))
            }
            Source::Nets(nets) => sorted(nets.iter().map(net).collect()),
            Source::Ports(names, protocol) => format!("{protocol} ports {}", names.join(" ")),
            Source::ServiceAddresses(of) => format!("addresses of service {}/{}", of.namespace, of.name),
            Source::ServicePorts(of) => format!("ports of service {}/{}", of.namespace, of.name),
        }
    }

    /// Whether it is left out of the program while it has no members.
    fn may_be_void(&self) -> bool {
        matches!(self, Source::NetsOf(_))
    }

    fn spots(&self) -> Vec<Spot> {
        match self {
            Source::Addresses(choices) | Source::NetsOf(choices) => {
                let mut spots: Vec<Spot> = choices.iter().flat_map(choice_spots).collect();
                spots.sort_unstable();
                spots.dedup();
                spots
            }
            Source::Ports(names, _) => names.iter().map(|name| spot(&Wanted::Port(name))).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the members of a class are in it.
    fn wants(&self, class: &ClassKey, places: &Places) -> bool {
        match self {
            Source::Addresses(choices) => {
                class.kind != Kind::Nets && choices.iter().any(|choice| chooses(choice, class, places))
            }
            Source::NetsOf(choices) => {
                class.kind == Kind::Nets && choices.iter().any(|choice| chooses(choice, class, places))
            }
            Source::Ports(names, protocol) => class.ports_named(names, *protocol).next().is_some(),
            _ => false,
        }
    }

    /// The classes that are in it.
    fn classes(&self, crowd: &Crowd, places: &Places) -> BTreeSet<Id> {
        let candidates: Vec<Id> = match self {
            Source::Addresses(choices) | Source::NetsOf(choices) => {
                choices.iter().flat_map(|choice| crowd.found(&found_at(choice, places))).collect()
            }
            Source::Ports(..) => crowd.found(&[self.spots()]),
            _ => Vec::new(),
        };
        let wanted = |id: &Id| crowd.class(*id).is_some_and(|class| self.wants(&class.key, places));
        candidates.into_iter().filter(wanted).collect()
    }
}

/// A set that a policy in use names.
#[derive(Debug, Clone)]
struct State {
    key: SetKey,
    about: Arc<str>,
    source: Source,
    users: usize,
    classes: BTreeSet<Id>,
    /// Policies whose steps name it only while it has members: only then it is in the program.
    dependents: BTreeSet<Id>,
}

/// A member of a set of addresses or sockets.
#[derive(Debug, Clone, Copy)]
enum Element {
    Address(IpAddr),
    Socket(Socket),
}

/// What the sets are made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who can be chosen.
    pub crowd: &'a Crowd,
    /// By what of where they lie.
    pub places: &'a Places,
    /// Endpoints of Services.
    pub services: &'a Services,
}

/// All sets.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    states: Slab<State>,
    by_key: HashMap<SetKey, Id>,
    waiting: Buckets<Id>,
    /// To be made anew: of nets and Services.
    stale: BTreeSet<Id>,
    /// Without users, maybe.
    idle: BTreeSet<Id>,
    fresh: BTreeSet<SetKey>,
    /// That have no members any more and are left out.
    void: BTreeSet<SetKey>,
    changed: BTreeMap<SetKey, (Members, Members)>,
}

impl Sets {
    /// A set for one more user; it is made if it is not there.
    pub fn take(&mut self, source: Source, facts: Facts<'_>, program: &mut Program) -> Id {
        let about = source.about();
        let key = SetKey::of(source.kind(), &about);
        if let Some(id) = self.by_key.get(&key) {
            if let Some(state) = self.states.at_mut(*id) {
                state.users += 1;
            }
            return *id;
        }
        let classes = source.classes(facts.crowd, facts.places);
        let members = members(&source, &classes, facts);
        let spots = source.spots();
        let about: Arc<str> = about.into();
        if !source.may_be_void() || !members.is_empty() {
            program.sets.insert(key.clone(), Set { about: about.clone(), members });
            self.fresh.insert(key.clone());
        }
        let state = State { key: key.clone(), about, source, users: 1, classes, dependents: BTreeSet::new() };
        let id = self.states.insert(state);
        self.waiting.insert(&spots, &id);
        self.by_key.insert(key, id);
        id
    }

    /// One user less. It stays until [`Sets::settle`].
    pub fn give_back(&mut self, id: Id) {
        let Some(state) = self.states.at_mut(id) else { return };
        state.users = state.users.saturating_sub(1);
        if state.users == 0 {
            self.idle.insert(id);
        }
    }

    /// A set's name.
    pub fn key(&self, id: Id) -> Option<&SetKey> {
        self.states.at(id).map(|state| &state.key)
    }

    /// The classes of a set.
    pub fn classes(&self, id: Id) -> Vec<Id> {
        self.states.at(id).map(|state| state.classes.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether a set is one that steps name only while it has members, and has none. If it is such a set, the policy is told
    /// of when that changes, see [`Sets::refresh`].
    pub fn is_void(&mut self, id: Id, policy: Id, program: &Program) -> bool {
        let Some(state) = self.states.at_mut(id) else { return false };
        if !state.source.may_be_void() {
            return false;
        }
        state.dependents.insert(policy);
        !program.sets.contains_key(&state.key)
    }

    /// A policy is no longer to be told of a set.
    pub fn forget_dependent(&mut self, id: Id, policy: Id) {
        if let Some(state) = self.states.at_mut(id) {
            state.dependents.remove(&policy);
        }
    }

    /// The sets that a class is in, as things are.
    pub fn of_class(&self, class: &ClassKey, places: &Places) -> BTreeSet<Id> {
        let candidates = self.waiting.any(&class_spots(class, places));
        let wants = |id: &Id| self.states.at(*id).is_some_and(|state| state.source.wants(class, places));
        candidates.into_iter().filter(wants).collect()
    }

    /// A class joins a set, its members later.
    pub fn join(&mut self, set: Id, class: Id) {
        if let Some(state) = self.states.at_mut(set) {
            state.classes.insert(class);
        }
    }

    /// A class leaves a set, its members before.
    pub fn part(&mut self, set: Id, class: Id) {
        if let Some(state) = self.states.at_mut(set) {
            state.classes.remove(&class);
        }
    }

    /// What a set has of a member is added to it.
    pub fn add(&mut self, set: Id, class: &ClassKey, member: &Member, program: &mut Program) {
        let Some(state) = self.states.at(set) else { return };
        if matches!(member.content, Content::Nets(_)) {
            self.stale.insert(set);
            return;
        }
        let Some(held) = program.sets.get_mut(&state.key) else { return };
        for element in elements(&state.source, class, member) {
            if insert(&mut held.members, element) && !self.fresh.contains(&state.key) {
                let change = self.changed.entry(state.key.clone()).or_insert_with(|| none(&state.source));
                if !remove(&mut change.1, element) {
                    insert(&mut change.0, element);
                }
            }
        }
    }

    /// What a set has of a member is taken from it, unless it has it of another, too.
    pub fn subtract(&mut self, set: Id, class: &ClassKey, member: &Member, crowd: &Crowd, program: &mut Program) {
        let Some(state) = self.states.at(set) else { return };
        if matches!(member.content, Content::Nets(_)) {
            self.stale.insert(set);
            return;
        }
        let Some(held) = program.sets.get_mut(&state.key) else { return };
        for element in elements(&state.source, class, member) {
            let address = match element {
                Element::Address(address) | Element::Socket((address, ..)) => address,
            };
            let others = crowd.holders(address).filter(|other| !std::ptr::eq(*other, member));
            let has = |other: &Member| {
                let class = crowd.class(other.class).filter(|_| state.classes.contains(&other.class));
                class.is_some_and(|class| elements(&state.source, &class.key, other).any(|e| same(e, element)))
            };
            if others.into_iter().any(has) {
                continue;
            }
            if remove(&mut held.members, element) && !self.fresh.contains(&state.key) {
                let change = self.changed.entry(state.key.clone()).or_insert_with(|| none(&state.source));
                if !remove(&mut change.0, element) {
                    insert(&mut change.1, element);
                }
            }
        }
    }

    /// A Service has other endpoints.
    pub fn service_changed(&mut self, service: &ServiceName) {
        for source in [Source::ServiceAddresses(service.clone()), Source::ServicePorts(service.clone())] {
            let key = SetKey::of(source.kind(), &source.about());
            self.stale.extend(self.by_key.get(&key).copied());
        }
    }

    /// Makes anew what can't be kept up member by member. Returns the policies whose steps name other sets from now on.
    pub fn refresh(&mut self, facts: Facts<'_>, program: &mut Program) -> BTreeSet<Id> {
        let mut flipped = BTreeSet::new();
        for id in std::mem::take(&mut self.stale) {
            let Some(state) = self.states.at(id) else { continue };
            let new = members(&state.source, &state.classes, facts);
            if state.source.may_be_void() && new.is_empty() {
                if program.sets.remove(&state.key).is_some() {
                    flipped.extend(&state.dependents);
                    if !self.fresh.remove(&state.key) {
                        self.void.insert(state.key.clone());
                    }
                }
                continue;
            }
            let Some(held) = program.sets.get_mut(&state.key) else {
                program.sets.insert(state.key.clone(), Set { about: state.about.clone(), members: new });
                self.fresh.insert(state.key.clone());
                flipped.extend(&state.dependents);
                continue;
            };
            let before = std::mem::replace(&mut held.members, new);
            if !self.fresh.contains(&state.key) {
                let (added, removed) = (held.members.less(&before), before.less(&held.members));
                let change = self.changed.entry(state.key.clone()).or_insert_with(|| none(&state.source));
                *change = (added, removed);
            }
        }
        flipped
    }

    /// Takes away what nobody uses, and tells what changed since the last time.
    pub fn settle(&mut self, program: &mut Program, crowd: &mut Crowd, delta: &mut Delta) {
        let mut gone = std::mem::take(&mut self.void);
        for id in std::mem::take(&mut self.idle) {
            if self.states.at(id).is_none_or(|state| state.users > 0) {
                continue;
            }
            let Some(state) = self.states.remove(id) else { continue };
            for class in &state.classes {
                if let Some(class) = crowd.class_mut(*class) {
                    class.sets.remove(&id);
                }
            }
            self.waiting.remove(&state.source.spots(), &id);
            self.by_key.remove(&state.key);
            if program.sets.remove(&state.key).is_some() {
                gone.insert(state.key);
            }
        }
        let fresh = std::mem::take(&mut self.fresh);
        for (key, (added, removed)) in std::mem::take(&mut self.changed) {
            let is_change = !added.is_empty() || !removed.is_empty();
            if is_change && !gone.contains(&key) {
                delta.sets.insert(key, SetChange::Members { added, removed });
            }
        }
        let made = fresh.difference(&gone).map(|key| (key.clone(), SetChange::Made));
        delta.sets.extend(made);
        delta.sets.extend(gone.difference(&fresh).map(|key| (key.clone(), SetChange::Gone)));
    }
}

fn members(source: &Source, classes: &BTreeSet<Id>, facts: Facts<'_>) -> Members {
    let Facts { crowd, services, .. } = facts;
    let nets_of = || {
        let nets = classes.iter().flat_map(|class| crowd.members_of(*class)).flat_map(|member| match &member.content {
            Content::Nets(nets) => nets.iter().map(|net| (*net, Vec::new())).collect::<Vec<_>>(),
            Content::Addresses(_) => Vec::new(),
        });
        Ranges::new([], nets)
    };
    match source {
        Source::Nets(nets) => Members::Nets(Ranges::new([], nets.iter().cloned())),
        Source::NetsOf(_) => Members::Nets(nets_of()),
        Source::ServiceAddresses(service) => Members::Addresses(services.addresses(service)),
        Source::ServicePorts(service) => Members::Sockets(services.sockets(service)),
        Source::Addresses(_) | Source::Ports(..) => {
            let mut all = Members::none(source.kind());
            for class in classes {
                let Some(key) = crowd.class(*class).map(|class| &class.key) else { continue };
                for element in crowd.members_of(*class).flat_map(|member| elements(source, key, member)) {
                    insert(&mut all, element);
                }
            }
            all
        }
    }
}

/// What a set of addresses or sockets has of a member.
fn elements<'a>(source: &'a Source, class: &'a ClassKey, member: &'a Member) -> impl Iterator<Item = Element> + 'a {
    let ports = match source {
        Source::Ports(names, protocol) => Some((names.as_slice(), *protocol)),
        _ => None,
    };
    member.content.addresses().iter().flat_map(move |address| {
        let sockets = ports.into_iter().flat_map(move |(names, protocol)| {
            class.ports_named(names, protocol).map(move |port| Element::Socket((*address, protocol, port)))
        });
        sockets.chain(ports.is_none().then_some(Element::Address(*address)))
    })
}

fn none(source: &Source) -> (Members, Members) {
    (Members::none(source.kind()), Members::none(source.kind()))
}

fn same(one: Element, other: Element) -> bool {
    match (one, other) {
        (Element::Address(one), Element::Address(other)) => one == other,
        (Element::Socket(one), Element::Socket(other)) => one == other,
        _ => false,
    }
}

fn insert(members: &mut Members, element: Element) -> bool {
    match (members, element) {
        (Members::Addresses(addresses), Element::Address(address)) => addresses.insert(address),
        (Members::Sockets(sockets), Element::Socket(socket)) => sockets.insert(socket),
        _ => false,
    }
}

fn remove(members: &mut Members, element: Element) -> bool {
    match (members, element) {
        (Members::Addresses(addresses), Element::Address(address)) => addresses.remove(&address),
        (Members::Sockets(sockets), Element::Socket(socket)) => sockets.remove(&socket),
        _ => false,
    }
}
