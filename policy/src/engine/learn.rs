//! What objects tell, put where it belongs.

use std::net::IpAddr;
use std::sync::Arc;

use model::PodRef;
use model::object::{HostEndpoint, Kind as ObjectKind, Meta, Node, Object, ObjectKey, Pod};

use super::choose::class_spots;
use super::class::{ClassKey, Kind};
use super::crowd::{Addresses, Content, Novelty};
use super::slab::Id;
use super::{Engine, Other, PodState, Scope, SeenPod};
use crate::lower;
use crate::program::EndpointKey;

impl Engine {
    /// An object is there, or is another than before. Objects that policies have nothing to do with are passed over.
    pub fn learn(&mut self, object: &Object) {
        match object {
            Object::Pod(pod) => self.learn_pod(pod),
            Object::Namespace(namespace) => self.set_namespace(&namespace.meta.name, Some(&namespace.meta)),
            Object::ServiceAccount(account) => {
                let namespace = account.meta.namespace.as_deref().unwrap_or("default");
                self.set_account(namespace, &account.meta.name, Some(&account.meta));
            }
            Object::Node(node) => self.learn_node(object.key(), node),
            Object::HostEndpoint(host) => self.learn_host(object.key(), host),
            Object::NetworkSet(set) | Object::GlobalNetworkSet(set) => {
                let key = object.key();
                let class = self.crowd.of_meta(Kind::Nets, &set.meta, key.namespace.as_deref());
                self.set_other(key, Some((class, Content::Nets(set.nets.as_slice().into()))));
            }
            Object::Tier(tier) => {
                let policies = self.policies.set_tier(&tier.meta.name, Some(tier));
                self.reorder(policies);
            }
            Object::EndpointSlice(slice) => {
                let namespace = slice.meta.namespace.as_deref().unwrap_or("default");
                for service in self.services.set(namespace, &slice.meta.name, Some(slice)) {
                    self.sets.service_changed(&service);
                }
            }
            _ => self.learn_policy(object),
        }
    }

    /// An object is there no more.
    pub fn forget(&mut self, key: &ObjectKey) {
        let namespace = key.namespace.as_deref().unwrap_or("default");
        match key.kind {
            ObjectKind::Pod => {
                let pod = PodRef { namespace: namespace.to_string(), name: key.name.clone() };
                self.place_pod(pod, |state| state.seen.take());
            }
            ObjectKind::Namespace => self.set_namespace(&key.name, None),
            ObjectKind::ServiceAccount => self.set_account(namespace, &key.name, None),
            ObjectKind::Node | ObjectKind::NetworkSet | ObjectKind::GlobalNetworkSet => {
                self.set_other(key.clone(), None);
            }
            ObjectKind::HostEndpoint => {
                self.unsettle(&EndpointKey::Host(key.name.clone()));
                self.set_other(key.clone(), None);
            }
            ObjectKind::Tier => {
                let policies = self.policies.set_tier(&key.name, None);
                self.reorder(policies);
            }
            ObjectKind::EndpointSlice => {
                for service in self.services.set(namespace, &key.name, None) {
                    self.sets.service_changed(&service);
                }
            }
            _ => self.forget_policy(key),
        }
    }

    /// A pod of this node has these addresses: those of its lease, which are known before its status tells of them. Without
    /// any, its status counts. Until its object is seen, everything to and from it is denied, if a policy may be about it. A pod
    /// without a namespace may be of any.
    pub fn attach(&mut self, pod: PodRef, addresses: Vec<IpAddr>) {
        self.place_pod(pod, |state| {
            state.lease = Some(addresses.into());
            None
        });
    }

    /// A pod is not on this node any more.
    pub fn detach(&mut self, pod: &PodRef) {
        self.place_pod(pod.clone(), |state| {
            state.lease = None;
            None
        });
    }

    fn learn_pod(&mut self, pod: &Pod) {
        // What is on its host's network is the host's.
        let seen = (!pod.host_network).then(|| SeenPod {
            class: self.crowd.of_pod(pod),
            addresses: pod.addresses.as_slice().into(),
            ended: pod.ended,
        });
        self.place_pod(pod.reference(), |state| std::mem::replace(&mut state.seen, seen));
    }

    /// Changes what is known of a pod, and puts it where it belongs then.
    fn place_pod(&mut self, pod: PodRef, change: impl FnOnce(&mut PodState) -> Option<SeenPod>) {
        let mut state = self.pods.remove(&pod).unwrap_or_default();
        let before = change(&mut state);
        let own = state.lease.as_ref().filter(|addresses| !addresses.is_empty());
        let is_local = state.lease.is_some() || self.scope == Scope::Cluster;
        let counts = |seen: &&SeenPod| !seen.ended || state.lease.is_some();
        let wanted = state.seen.as_ref().filter(counts).map(|seen| {
            let addresses: Addresses = own.unwrap_or(&seen.addresses).clone();
            (seen.class.clone(), Content::Addresses(addresses))
        });
        let endpoint = EndpointKey::Pod(pod.clone());
        let is_unknown = state.lease.is_some() && wanted.is_none();
        let home = wanted.as_ref().filter(|_| is_local).map(|(class, _)| class.clone());
        self.rehome(endpoint.clone(), home, &mut state.member, wanted);
        let was_unknown = if is_unknown { !self.unknown.insert(pod.clone()) } else { self.unknown.remove(&pod) };
        if was_unknown != is_unknown {
            self.touched.insert(endpoint);
        }
        if let Some(before) = before {
            self.crowd.release(before.class);
        }
        if state.seen.is_some() || state.lease.is_some() {
            self.pods.insert(pod, state);
        }
    }

    fn learn_host(&mut self, key: ObjectKey, host: &HostEndpoint) {
        let is_local = match &self.scope {
            Scope::Cluster => true,
            Scope::Node(node) => *node == host.node,
        };
        let class = self.crowd.of_host(host);
        let content = Content::Addresses(host.addresses.as_slice().into());
        let before = self.others.remove(&key);
        let mut member = before.as_ref().map(|other| other.member);
        let home = is_local.then(|| class.clone());
        let endpoint = EndpointKey::Host(key.name.clone());
        self.rehome(endpoint, home, &mut member, Some((class.clone(), content)));
        if let Some(before) = before {
            self.crowd.release(before.key);
        }
        if let Some(member) = member {
            self.others.insert(key, Other { key: class, member });
        }
    }

    /// Puts an endpoint into another class, or out of any, and lets it be this node's if `home` is given.
    fn rehome(
        &mut self,
        endpoint: EndpointKey,
        home: Option<Arc<ClassKey>>,
        member: &mut Option<Id>,
        wanted: Option<(Arc<ClassKey>, Content)>,
    ) {
        let is_home = |engine: &Engine| {
            let class = engine.homes.get(&endpoint).and_then(|class| engine.crowd.class(*class));
            class.map(|class| class.key.clone()) == home
        };
        if !is_home(self) {
            self.unsettle(&endpoint);
        }
        self.replace(member, wanted);
        if home.is_some() && !is_home(self) {
            let class = member.and_then(|member| self.crowd.member(member)).map(|member| member.class);
            if let Some(class) = class {
                self.settle(endpoint, class);
            }
        }
    }

    fn learn_node(&mut self, key: ObjectKey, node: &Node) {
        let class = self.crowd.of_meta(Kind::Node, &node.meta, None);
        let written = [&node.ipv4, &node.ipv6].into_iter().flatten().map(|address| address.address);
        let mut addresses: Addresses = node.status_ips.iter().copied().chain(written).collect();
        addresses.sort_unstable();
        addresses.dedup();
        self.set_other(key, Some((class, Content::Addresses(addresses))));
    }

    fn set_other(&mut self, key: ObjectKey, wanted: Option<(Arc<ClassKey>, Content)>) {
        let before = self.others.remove(&key);
        let mut member = before.as_ref().map(|other| other.member);
        let class = wanted.as_ref().map(|(class, _)| class.clone());
        self.replace(&mut member, wanted);
        if let Some(before) = before {
            self.crowd.release(before.key);
        }
        if let (Some(member), Some(key_of_class)) = (member, class) {
            self.others.insert(key, Other { key: key_of_class, member });
        }
    }

    /// Puts someone else in a member's place. Sets have what they had of both all the while.
    fn replace(&mut self, member: &mut Option<Id>, wanted: Option<(Arc<ClassKey>, Content)>) {
        let is_same = |(class, content): &(Arc<ClassKey>, Content)| {
            let before = member.and_then(|member| self.crowd.member(member));
            before.is_some_and(|before| {
                before.content == *content && self.crowd.class(before.class).is_some_and(|c| c.key == *class)
            })
        };
        if wanted.as_ref().is_some_and(is_same) {
            return;
        }
        let new = wanted.map(|(class, content)| self.join(&class, content));
        if let Some(before) = std::mem::replace(member, new) {
            self.quit(before);
        }
    }

    fn join(&mut self, key: &Arc<ClassKey>, content: Content) -> Id {
        let (id, class, novelty) = self.crowd.enter(key, content);
        if novelty == Novelty::New {
            let sets = self.sets.of_class(key, &self.places);
            for set in &sets {
                self.sets.join(*set, class);
            }
            if let Some(class) = self.crowd.class_mut(class) {
                class.sets = sets;
            }
        }
        if let (Some(class), Some(member)) = (self.crowd.class(class), self.crowd.member(id)) {
            for set in &class.sets {
                self.sets.add(*set, key, member, &mut self.program);
            }
        }
        id
    }

    fn quit(&mut self, id: Id) {
        if let Some(member) = self.crowd.member(id)
            && let Some(class) = self.crowd.class(member.class)
        {
            for set in &class.sets {
                self.sets.subtract(*set, &class.key, member, &self.crowd, &mut self.program);
            }
        }
        if let Some((id, class)) = self.crowd.leave(id) {
            for set in &class.sets {
                self.sets.part(*set, id);
            }
            self.crowd.release(class.key);
        }
    }

    fn set_namespace(&mut self, name: &str, meta: Option<&Meta>) {
        if self.places.set_namespace(name, meta) {
            self.rechoose(name, |_| true);
        }
    }

    fn set_account(&mut self, namespace: &str, name: &str, meta: Option<&Meta>) {
        if self.places.set_account(namespace, name, meta) {
            self.rechoose(namespace, |class| class.account.as_deref() == Some(name));
        }
    }

    /// The classes of a namespace look different to selectors.
    fn rechoose(&mut self, namespace: &str, concerned: impl Fn(&ClassKey) -> bool) {
        use super::buckets::spot;
        use super::choose::Wanted;
        for id in self.crowd.found(&[vec![spot(&Wanted::Namespace(namespace))]]) {
            let Some(class) = self.crowd.class(id) else { continue };
            let (key, members, before) = (class.key.clone(), class.members.clone(), class.sets.clone());
            if key.namespace.as_deref() != Some(namespace) || !concerned(&key) {
                continue;
            }
            let now = self.sets.of_class(&key, &self.places);
            let members: Vec<Id> = members;
            for set in before.difference(&now) {
                self.sets.part(*set, id);
                for member in members.iter().filter_map(|member| self.crowd.member(*member)) {
                    self.sets.subtract(*set, &key, member, &self.crowd, &mut self.program);
                }
            }
            for set in now.difference(&before) {
                self.sets.join(*set, id);
                for member in members.iter().filter_map(|member| self.crowd.member(*member)) {
                    self.sets.add(*set, &key, member, &mut self.program);
                }
            }
            if let Some(class) = self.crowd.class_mut(id) {
                class.sets = now;
            }
            let Some(before) = self.locals.get(&id).map(|local| local.policies.clone()) else { continue };
            let now = self.policies.about(&class_spots(&key, &self.places), &key, &self.places);
            for policy in now.difference(&before) {
                self.begin(*policy, id);
            }
            for policy in before.difference(&now) {
                self.end(*policy, id);
            }
        }
    }

    fn learn_policy(&mut self, object: &Object) {
        let key = object.key();
        let Some(policy) = lower::policy(object) else { return self.forget_policy(&key) };
        if let Some(id) = self.policies.id(&key) {
            if self.policies.at(id).is_some_and(|state| state.policy == policy) {
                return;
            }
            self.leave(id);
        }
        let id = self.policies.insert(policy);
        self.enter(id);
    }

    fn forget_policy(&mut self, key: &ObjectKey) {
        let Some(id) = self.policies.id(key) else { return };
        self.leave(id);
    }

    /// The tier of policies came, went, or is another.
    fn reorder(&mut self, policies: Vec<Id>) {
        for id in policies {
            self.dirty.extend(self.policies.at(id).map(|state| &state.classes).into_iter().flatten());
        }
    }
}
