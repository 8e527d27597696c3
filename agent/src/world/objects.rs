//! The objects in force, by kind and name.

use std::collections::BTreeMap;

use model::object::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinitySpec, CalicoNodeStatus, EndpointSlice, FelixSettings,
    HostEndpoint, IpPool, IpReservation, IpamBlockSpec, IpamConfiguration, Kind, Namespace, Node, Object, ObjectError,
    ObjectKey, Password, Pod, Secret, SecretKeyRef, Service,
};
use model::{NodeName, PodRef};

use super::{Dirty, DirtyRoutes};
use crate::fact::ObjectFact;

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    all: BTreeMap<ObjectKey, ObjectFact>,
    /// What is wrong with the objects; none of it is in force.
    pub errors: Vec<ObjectError>,
}

impl Objects {
    /// Takes an object in, new or changed.
    pub fn learn(&mut self, fact: ObjectFact) -> Dirty {
        let key = fact.object.key();
        let touched = touches(&fact.object);
        let before = self.all.insert(key.clone(), fact);
        let says_the_same = |before: &ObjectFact| {
            self.all.get(&key).is_some_and(|now| match (&now.object, &before.object) {
                (Object::EndpointSlice(now), Object::EndpointSlice(before)) => now.is_announced_like(before),
                (now, before) => now == before,
            })
        };
        if matches!(key.kind, Kind::Service | Kind::EndpointSlice) && before.as_ref().is_some_and(says_the_same) {
            // Most of what happens to endpoints happens on other nodes.
            return Dirty::nothing();
        }
        touched.and(before.map(|b| touches(&b.object)).unwrap_or_default())
    }

    /// Lets an object go.
    pub fn forget(&mut self, key: &ObjectKey) -> Dirty {
        self.all.remove(key).map(|fact| touches(&fact.object)).unwrap_or_default()
    }

    /// Every object in force, with where it comes from, in order of its key.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &ObjectFact)> {
        self.all.iter()
    }

    /// An object in force by its key.
    pub fn by_key(&self, key: &ObjectKey) -> Option<&ObjectFact> {
        self.all.get(key)
    }

    /// A node by name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        match self.object(Kind::Node, None, name.as_str())? {
            Object::Node(node) => Some(node),
            _ => None,
        }
    }

    /// All nodes, in order of name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.of(Kind::Node).filter_map(|o| if let Object::Node(n) = o { Some(n) } else { None })
    }

    /// All pools, in order of name.
    pub fn pools(&self) -> impl Iterator<Item = &IpPool> {
        self.of(Kind::IpPool).filter_map(|o| if let Object::IpPool(p) = o { Some(p) } else { None })
    }

    /// All BGPPeers, in order of name.
    pub fn bgp_peers(&self) -> impl Iterator<Item = &BgpPeer> {
        self.of(Kind::BgpPeer).filter_map(|o| if let Object::BgpPeer(p) = o { Some(&**p) } else { None })
    }

    /// All CalicoNodeStatuses, in order of name.
    pub fn node_statuses(&self) -> impl Iterator<Item = &CalicoNodeStatus> {
        self.of(Kind::CalicoNodeStatus).filter_map(|o| if let Object::CalicoNodeStatus(s) = o { Some(s) } else { None })
    }

    /// What the FelixConfigurations say of a node.
    pub fn felix(&self, node: &NodeName) -> FelixSettings {
        let Some(node) = self.node(node) else { return FelixSettings::default() };
        let all = self.of(Kind::FelixConfiguration);
        FelixSettings::of_node(
            all.filter_map(|o| if let Object::FelixConfiguration(f) = o { Some(&**f) } else { None }),
            node,
        )
    }

    /// All IPAMBlocks that are written in files.
    pub fn blocks(&self) -> impl Iterator<Item = &IpamBlockSpec> {
        self.of(Kind::IpamBlock).filter_map(|o| if let Object::IpamBlock(b) = o { Some(&b.spec) } else { None })
    }

    /// All BlockAffinities that are written in files.
    pub fn block_affinities(&self) -> impl Iterator<Item = &BlockAffinitySpec> {
        self.of(Kind::BlockAffinity).filter_map(|o| if let Object::BlockAffinity(a) = o { Some(&a.spec) } else { None })
    }

    /// All IPReservations.
    pub fn reservations(&self) -> impl Iterator<Item = &IpReservation> {
        self.of(Kind::IpReservation).filter_map(|o| if let Object::IpReservation(r) = o { Some(r) } else { None })
    }

    /// The IPAMConfiguration in force.
    pub fn ipam_configuration(&self) -> Option<&IpamConfiguration> {
        match self.object(Kind::IpamConfiguration, None, "default")? {
            Object::IpamConfiguration(configuration) => Some(configuration),
            _ => None,
        }
    }

    /// A BGPFilter by name.
    pub fn bgp_filter(&self, name: &str) -> Option<&BgpFilter> {
        match self.object(Kind::BgpFilter, None, name)? {
            Object::BgpFilter(filter) => Some(filter),
            _ => None,
        }
    }

    /// A BGPConfiguration by name.
    pub fn bgp_configuration(&self, name: &str) -> Option<&BgpConfiguration> {
        match self.object(Kind::BgpConfiguration, None, name)? {
            Object::BgpConfiguration(configuration) => Some(configuration),
            _ => None,
        }
    }

    /// All Services, in order of namespace and name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.of(Kind::Service).filter_map(|o| if let Object::Service(s) = o { Some(s) } else { None })
    }

    /// All EndpointSlices, in order of namespace and name.
    pub fn endpoint_slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.of(Kind::EndpointSlice).filter_map(|o| if let Object::EndpointSlice(s) = o { Some(s) } else { None })
    }

    /// All HostEndpoints, in order of name.
    pub fn host_endpoints(&self) -> impl Iterator<Item = &HostEndpoint> {
        self.of(Kind::HostEndpoint).filter_map(|o| if let Object::HostEndpoint(e) = o { Some(&**e) } else { None })
    }

    /// A pod by namespace and name.
    pub fn pod(&self, reference: &PodRef) -> Option<&Pod> {
        match self.object(Kind::Pod, Some(&reference.namespace), &reference.name)? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// All pods, in order of namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.of(Kind::Pod).filter_map(|o| if let Object::Pod(p) = o { Some(p) } else { None })
    }

    /// A namespace by name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        match self.object(Kind::Namespace, None, name)? {
            Object::Namespace(namespace) => Some(namespace),
            _ => None,
        }
    }

    /// The value a reference names: in whatever namespace, as long as only one Secret has that name.
    pub fn password(&self, reference: &SecretKeyRef) -> Result<&Password, String> {
        let SecretKeyRef { name, key, .. } = reference;
        let mut secrets = self.of(Kind::Secret).filter_map(|o| match o {
            Object::Secret(s) if s.meta.name == *name => Some(s),
            _ => None,
        });
        let secret: &Secret = secrets.next().ok_or_else(|| format!("Secret {name} is not there"))?;
        if secrets.next().is_some() {
            return Err(format!("more than one Secret has the name {name}"));
        }
        secret.values.get(key).ok_or_else(|| format!("Secret {name} has no key {key}"))
    }

    fn object(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Option<&Object> {
        let key = ObjectKey { kind, namespace: namespace.map(str::to_string), name: name.to_string() };
        self.all.get(&key).map(|fact| &fact.object)
    }

    /// All of a kind: kinds lie together, as they come first in the key.
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let first = ObjectKey { kind, namespace: None, name: String::new() };
        self.all.range(first..).take_while(move |(key, _)| key.kind == kind).map(|(_, fact)| &fact.object)
    }
}

/// What has to be planned again when this object comes, changes or goes.
fn touches(object: &Object) -> Dirty {
    match object {
        // Addresses decide tunnels and what is not translated, pod CIDRs decide blocks, labels decide peers.
        Object::Node(_) => Dirty { bgp: true, tunnel: true, nat: true, routes: DirtyRoutes::All, ..Dirty::default() },
        Object::IpPool(_) => Dirty { bgp: true, tunnel: true, nat: true, routes: DirtyRoutes::All, ..Dirty::default() },
        Object::FelixConfiguration(_) => Dirty { bgp: true, tunnel: true, nat: true, ..Dirty::default() },
        Object::BgpPeer(peer) if peer.reachable_by.is_some() => {
            Dirty { bgp: true, routes: DirtyRoutes::All, ..Dirty::default() }
        }
        // Aggregates are routes, too, and the ends of packets to services are dropped.
        Object::BgpConfiguration(_) => Dirty { bgp: true, nat: true, routes: DirtyRoutes::All, ..Dirty::default() },
        Object::BgpPeer(_) | Object::BgpFilter(_) | Object::Secret(_) => Dirty { bgp: true, ..Dirty::default() },
        // What follows from them is the policies' own business.
        Object::NetworkPolicy(_) => Dirty::nothing(),
        Object::CalicoNetworkPolicy(_)
        | Object::GlobalNetworkPolicy(_)
        | Object::ClusterNetworkPolicy(_)
        | Object::StagedNetworkPolicy(_)
        | Object::StagedGlobalNetworkPolicy(_)
        | Object::StagedKubernetesNetworkPolicy(_)
        | Object::Tier(_)
        | Object::NetworkSet(_)
        | Object::GlobalNetworkSet(_)
        | Object::ServiceAccount(_) => Dirty::nothing(),
        // Its link may be another now, whatever policies say.
        Object::HostEndpoint(_) => Dirty { nat: true, ..Dirty::default() },
        Object::Service(_) | Object::EndpointSlice(_) => Dirty { bgp: true, ..Dirty::default() },
        // Read when a pod is attached; nothing follows from them by themselves.
        Object::Pod(_) | Object::Namespace(_) => Dirty::nothing(),
        // A block is a route and an announcement.
        Object::IpamBlock(_) | Object::BlockAffinity(_) => {
            Dirty { bgp: true, tunnel: true, routes: DirtyRoutes::All, ..Dirty::default() }
        }
        Object::IpReservation(_) | Object::IpamConfiguration(_) | Object::IpamHandle(_) => Dirty::nothing(),
        // Says what is to be reported, or nothing at all.
        Object::CalicoNodeStatus(_) | Object::ClusterInformation(_) => Dirty::nothing(),
    }
}
