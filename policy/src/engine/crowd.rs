//! Who can be chosen: pods, host endpoints, network sets and nodes, by class, with their addresses.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use model::Prefix;
use model::object::{HostEndpoint, Meta, Pod};
use smallvec::SmallVec;

use super::buckets::{Buckets, Spot};
use super::choose::finding_spots;
use super::class::{ClassKey, Kind, Text, Texts};
use super::slab::{Id, Slab};

/// Endpoints that no selector can tell apart.
#[derive(Debug, Clone)]
pub struct Class {
    /// What they have in common.
    pub key: Arc<ClassKey>,
    /// Who they are.
    pub members: Vec<Id>,
    /// The sets that they are in.
    pub sets: BTreeSet<Id>,
}

/// One that can be chosen.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its class.
    pub class: Id,
    /// What a set that it is in has of it.
    pub content: Content,
}

/// What a set has of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Addresses.
    Addresses(Addresses),
    /// Nets, of a network set.
    Nets(Arc<[Prefix]>),
}

/// A few addresses: mostly one of each family.
pub type Addresses = SmallVec<[IpAddr; 2]>;

impl Content {
    /// Its addresses; none of a network set.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Content::Addresses(addresses) => addresses,
            Content::Nets(_) => &[],
        }
    }
}

/// Members by class and by address.
#[derive(Debug, Clone, Default)]
pub struct Crowd {
    texts: Texts,
    classes: Slab<Class>,
    by_key: HashMap<Arc<ClassKey>, Id>,
    found: Buckets<Id>,
    members: Slab<Member>,
    holders: HashMap<IpAddr, SmallVec<[Id; 2]>>,
}

impl Crowd {
    /// A class.
    pub fn class(&self, id: Id) -> Option<&Class> {
        self.classes.at(id)
    }

    /// A class, to change which sets it is in.
    pub fn class_mut(&mut self, id: Id) -> Option<&mut Class> {
        self.classes.at_mut(id)
    }

    /// A member.
    pub fn member(&self, id: Id) -> Option<&Member> {
        self.members.at(id)
    }

    /// The members of a class.
    pub fn members_of(&self, class: Id) -> impl Iterator<Item = &Member> {
        let members = self.class(class).map(|class| class.members.as_slice()).unwrap_or_default();
        members.iter().filter_map(|id| self.member(*id))
    }

    /// Who has an address: more than one for a moment, when it goes from one pod to another.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Member> {
        self.holders.get(&address).into_iter().flatten().filter_map(|id| self.member(*id))
    }

    /// Classes under the shortest of these lists of spots.
    pub fn found(&self, lists: &[Vec<Spot>]) -> Vec<Id> {
        shortest(&self.found, lists)
    }

    /// Puts someone into a class; the class's number, and whether it is a new one.
    pub fn enter(&mut self, key: &Arc<ClassKey>, content: Content) -> (Id, Id, Novelty) {
        let (class, novelty) = match self.by_key.get(key) {
            Some(id) => (*id, Novelty::Known),
            None => {
                let class = Class { key: key.clone(), members: Vec::new(), sets: BTreeSet::new() };
                let id = self.classes.insert(class);
                self.by_key.insert(key.clone(), id);
                self.found.insert(&finding_spots(key), &id);
                (id, Novelty::New)
            }
        };
        let addresses: Addresses = content.addresses().into();
        let id = self.members.insert(Member { class, content });
        for address in addresses {
            self.holders.entry(address).or_default().push(id);
        }
        if let Some(class) = self.classes.at_mut(class) {
            class.members.push(id);
        }
        (id, class, novelty)
    }

    /// Takes someone out, of whom sets have nothing any more. If the class is empty then, it is taken away, too, and
    /// returned: it must be [`Crowd::release`]d.
    pub fn leave(&mut self, id: Id) -> Option<(Id, Class)> {
        let member = self.members.remove(id)?;
        for address in member.content.addresses() {
            if let Some(holders) = self.holders.get_mut(address) {
                holders.retain(|holder| *holder != id);
                if holders.is_empty() {
                    self.holders.remove(address);
                }
            }
        }
        let class = self.classes.at_mut(member.class)?;
        if let Some(at) = class.members.iter().position(|one| *one == id) {
            class.members.swap_remove(at);
        }
        if !class.members.is_empty() {
            return None;
        }
        let class = self.classes.remove(member.class)?;
        self.by_key.remove(&class.key);
        self.found.remove(&finding_spots(&class.key), &member.class);
        Some((member.class, class))
    }

    /// Lets go of what a class had in common; its texts are forgotten with the last one who knows it.
    pub fn release(&mut self, key: Arc<ClassKey>) {
        self.texts.release(key);
    }

    /// What a pod has in common with others.
    pub fn of_pod(&mut self, pod: &Pod) -> Arc<ClassKey> {
        let namespace = pod.meta.namespace.as_deref().unwrap_or("default");
        Arc::new(ClassKey {
            kind: Kind::Pod,
            namespace: Some(self.texts.of(namespace)),
            account: Some(self.texts.of(&pod.service_account)),
            labels: self.texts.labels(&pod.meta.labels),
            ports: self.texts.ports(&pod.ports),
        })
    }

    /// What a host endpoint has in common with others.
    pub fn of_host(&mut self, host: &HostEndpoint) -> Arc<ClassKey> {
        let kind = if host.allows_by_default() { Kind::OpenHost } else { Kind::ClosedHost };
        let labels = self.texts.labels(&host.meta.labels);
        let ports = self.texts.ports(&host.ports);
        Arc::new(ClassKey { kind, namespace: None, account: None, labels, ports })
    }

    /// What a network set or a node has in common with others.
    pub fn of_meta(&mut self, kind: Kind, meta: &Meta, namespace: Option<&str>) -> Arc<ClassKey> {
        let namespace: Option<Text> = namespace.map(|name| self.texts.of(name));
        let labels = self.texts.labels(&meta.labels);
        Arc::new(ClassKey { kind, namespace, account: None, labels, ports: Box::default() })
    }
}

/// Whether something was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It was not.
    New,
    /// It was.
    Known,
}

/// What is under the spots of the list that has least under it.
pub fn shortest(buckets: &Buckets<Id>, lists: &[Vec<Spot>]) -> Vec<Id> {
    let shortest = lists.iter().min_by_key(|spots| buckets.count(spots));
    shortest.map(|spots| buckets.any(spots)).unwrap_or_default()
}
