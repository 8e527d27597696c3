//! The interfaces of this node's pods: whose they are, and from which addresses packets may come by them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipam::Lease;
use model::api::Attachment;
use model::{PodRef, pod_link};

/// All interfaces that have a lease, by name.
#[derive(Debug, Default)]
pub struct Endpoints {
    interfaces: BTreeMap<String, Interface>,
    /// By pod, and by interface.
    pods: BTreeMap<PodRef, BTreeSet<String>>,
    held: BTreeMap<String, BTreeMap<Attachment, Held>>,
}

/// An interface on the node's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Whose it is, where Kubernetes asked for it; a stand-in ([`pod_link::stand_in`]) where nobody can tell.
    pub pod: Option<PodRef>,
    /// The addresses behind it.
    pub addresses: BTreeSet<IpAddr>,
}

/// What a lease says of its interface.
#[derive(Debug, Clone)]
struct Held {
    pod: Option<PodRef>,
    addresses: Vec<IpAddr>,
}

/// What a lease touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Interfaces, by name.
    pub interfaces: BTreeSet<String>,
    /// Pods whose addresses may be others now.
    pub pods: BTreeSet<PodRef>,
}

impl Touched {
    /// Both together.
    pub fn and(mut self, other: Touched) -> Touched {
        self.interfaces.extend(other.interfaces);
        self.pods.extend(other.pods);
        self
    }
}

impl Endpoints {
    /// An interface by its name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(name)
    }

    /// All of them, by name.
    pub fn interfaces(&self) -> impl Iterator<Item = (&String, &Interface)> {
        self.interfaces.iter()
    }

    /// The names of a pod's interfaces.
    pub fn interfaces_of(&self, pod: &PodRef) -> impl Iterator<Item = &String> {
        self.pods.get(pod).into_iter().flatten()
    }

    /// All addresses of a pod, in order; none without a lease.
    pub fn addresses_of(&self, pod: &PodRef) -> Vec<IpAddr> {
        let interfaces = self.interfaces_of(pod).filter_map(|name| self.interface(name));
        let all: BTreeSet<IpAddr> = interfaces.flat_map(|interface| interface.addresses.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Takes in what became of a lease: what it was, and what it is.
    pub fn learn(&mut self, before: Option<&Lease>, now: Option<&Lease>) -> Touched {
        let mut touched = Touched::default();
        for lease in [before, now].into_iter().flatten() {
            touched.interfaces.insert(lease.host_interface.clone());
            touched.pods.extend(owner(lease));
        }
        if let Some(lease) = before
            && let Some(held) = self.held.get_mut(&lease.host_interface)
        {
            held.remove(&lease.attachment);
        }
        if let Some(lease) = now {
            let held = Held { pod: owner(lease), addresses: lease.addresses.clone() };
            self.held.entry(lease.host_interface.clone()).or_default().insert(lease.attachment.clone(), held);
        }
        touched.interfaces.iter().for_each(|name| self.renew(name));
        touched
    }

    /// A pod that is not ours to wire has these addresses; its name stands for its link.
    pub fn place(&mut self, pod: &PodRef, addresses: &[IpAddr]) -> Touched {
        let name = pod.to_string();
        let attachment = Attachment { container_id: String::new(), ifname: String::new() };
        match addresses.is_empty() {
            true => drop(self.held.remove(&name)),
            false => {
                let held = Held { pod: Some(pod.clone()), addresses: addresses.to_vec() };
                self.held.insert(name.clone(), BTreeMap::from([(attachment, held)]));
            }
        }
        self.renew(&name);
        Touched { interfaces: BTreeSet::from([name]), pods: BTreeSet::from([pod.clone()]) }
    }

    fn renew(&mut self, name: &str) {
        let before = self.interfaces.remove(name);
        if let Some(pod) = before.and_then(|interface| interface.pod)
            && let Some(names) = self.pods.get_mut(&pod)
        {
            names.remove(name);
            if names.is_empty() {
                self.pods.remove(&pod);
            }
        }
        let Some(held) = self.held.get(name).filter(|held| !held.is_empty()) else {
            self.held.remove(name);
            return;
        };
        let interface = Interface {
            pod: held.values().find_map(|held| held.pod.clone()),
            addresses: held.values().flat_map(|held| held.addresses.iter().copied()).collect(),
        };
        if let Some(pod) = &interface.pod {
            self.pods.entry(pod.clone()).or_default().insert(name.into());
        }
        self.interfaces.insert(name.into(), interface);
    }
}

/// Whose an interface is. A lease that lacks its pod has a stand-in, so that it is not taken for one that policies are not about.
fn owner(lease: &Lease) -> Option<PodRef> {
    let stand_in = || lease.lacks_its_pod().then(|| pod_link::stand_in(&lease.host_interface));
    lease.pod.clone().or_else(stand_in)
}
