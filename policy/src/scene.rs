//! What policies are about: the pods of a cluster with what selectors see of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::object::{ContainerPort, Namespace, NetworkPolicy, Object, Pod};
use model::selector::Labels;
use model::{Family, PodRef, Protocol};

use crate::rules::Tier;

/// A pod with an address of its own: something that policies can choose, as subject or as peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which pod.
    pub pod: PodRef,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Its ports that have names.
    pub ports: Vec<ContainerPort>,
}

impl Endpoint {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The numbers of its ports with a name.
    pub fn named_ports<'a>(&'a self, name: &'a str, protocol: Protocol) -> impl Iterator<Item = u16> + 'a {
        self.ports.iter().filter(move |port| port.name == name && port.protocol == protocol).map(|port| port.port)
    }
}

/// Pods, namespaces and policies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scene {
    endpoints: BTreeMap<PodRef, Endpoint>,
    namespaces: BTreeMap<String, Labels>,
    tiers: Vec<Tier>,
}

impl Scene {
    /// From objects; those that policies have nothing to do with are passed over. So are pods on their host's network,
    /// whose addresses are the node's, and pods that have ended.
    pub fn new<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Scene {
        let mut scene = Scene::default();
        let mut policies: Vec<&NetworkPolicy> = Vec::new();
        for object in objects {
            match object {
                Object::Pod(pod) => scene.add_pod(pod),
                Object::Namespace(namespace) => scene.add_namespace(namespace),
                Object::NetworkPolicy(policy) => policies.push(policy),
                _ => {}
            }
        }
        scene.tiers = Tier::of_network_policies(policies).into_iter().collect();
        scene
    }

    fn add_pod(&mut self, pod: &Pod) {
        if pod.host_network || pod.ended {
            return;
        }
        let (labels, addresses, ports) = (pod.meta.labels.clone(), pod.addresses.clone(), pod.ports.clone());
        let endpoint = Endpoint { pod: pod.reference(), labels, addresses, ports };
        self.endpoints.insert(pod.reference(), endpoint);
    }

    fn add_namespace(&mut self, namespace: &Namespace) {
        self.namespaces.insert(namespace.meta.name.clone(), namespace.meta.labels.clone());
    }

    /// All pods, in order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// A pod.
    pub fn endpoint(&self, pod: &PodRef) -> Option<&Endpoint> {
        self.endpoints.get(pod)
    }

    /// A namespace's labels; None while nobody has told of the namespace.
    pub fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// All policies, in the order in which they are asked.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }
}
