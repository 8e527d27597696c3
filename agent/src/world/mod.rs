//! The one picture of what is true. It learns facts and says which keys they touch; it decides nothing and does nothing.

pub mod autodetection;
mod blocks;
pub mod claims;
pub mod cni;
pub mod endpoints;
pub mod kernel;
pub mod learned;
pub mod mode;
pub mod objects;
pub mod policies;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::num::NonZeroU32;

use dataplane::actual::KernelEvent;
use dataplane::want::RouteKey;
use model::object::{Kind, Object, Pod};
use model::{NodeName, PodRef, Prefix};

use crate::fact::{ApiServerState, Fact, Source};
pub use autodetection::Autodetection;
pub use claims::Claims;
pub use endpoints::Endpoints;
pub use kernel::Kernel;
pub use learned::Learned;
pub use mode::Mode;
pub use objects::Objects;
pub use policies::Policies;

/// Routers that are known of one link: whoever may send on it could make up any number.
pub const ROUTERS_OF_A_LINK: usize = 4;

/// All that this agent knows.
#[derive(Debug)]
pub struct World {
    /// Who we are.
    pub node: NodeName,
    /// How much of its network is ours.
    pub mode: Mode,
    /// How its addresses are to be found.
    pub autodetection: Autodetection,
    /// The configuration.
    pub objects: Objects,
    /// How it is with the API server; none where the objects are files.
    pub api_server: Option<ApiServerState>,
    /// The kernel's links, addresses and routes that are not ours.
    pub kernel: Kernel,
    /// What the speaker believes.
    pub learned: Learned,
    /// The routers that have advertised themselves, with the interface's index.
    pub routers: BTreeSet<(NonZeroU32, Ipv6Addr)>,
    /// Who holds which address.
    pub leases: ipam::Leases,
    /// The pods that leases without a pod may be of.
    pub claims: Claims,
    /// Pods' interfaces, as the leases have them.
    pub endpoints: Endpoints,
    /// What policies say of the pods of this node.
    pub policies: Policies,
    /// Blocks as the API server has them.
    pub picture: ipam::block::Picture,
    /// How far we are installed on the node; none if nobody asked for it.
    pub cni: Option<cni::Installed>,
    /// Why packets between pods of one bridge may pass their policies by.
    pub bridged: Option<String>,
    /// Set while an operator has the node out of service: the message for its peers.
    pub drained: Option<String>,
    synced: BTreeSet<Source>,
}

/// Which keys a fact touches: what has to be planned again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Sessions, identity, what is originated.
    pub bgp: bool,
    /// The tunnel device.
    pub tunnel: bool,
    /// Packet rules beside policies: masquerading and what guards pods.
    pub nat: bool,
    /// What policies say.
    pub policies: bool,
    /// Pods' interfaces, by name, whose addresses or pods changed.
    pub interfaces: BTreeSet<String>,
    /// Our table of packet rules, which others have changed.
    pub table: bool,
    /// Routes.
    pub routes: DirtyRoutes,
    /// Links of pods, by name.
    pub links: BTreeSet<String>,
    /// Places in the kernel's table where something changed: to be compared with what is wanted, which is as before.
    pub installed: BTreeSet<RouteKey>,
}

/// Which routes have to be planned again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirtyRoutes {
    /// These.
    Some(BTreeSet<Prefix>),
    /// All.
    All,
}

impl Default for DirtyRoutes {
    fn default() -> DirtyRoutes {
        DirtyRoutes::Some(BTreeSet::new())
    }
}

impl Dirty {
    /// Nothing.
    pub fn nothing() -> Dirty {
        Dirty::default()
    }
    /// Everything: what a newborn agent plans.
    pub fn everything() -> Dirty {
        Dirty { bgp: true, tunnel: true, nat: true, policies: true, routes: DirtyRoutes::All, ..Dirty::default() }
    }
    /// These routes only.
    pub fn routes(prefixes: impl IntoIterator<Item = Prefix>) -> Dirty {
        Dirty { routes: DirtyRoutes::Some(prefixes.into_iter().collect()), ..Dirty::default() }
    }
    /// Both together.
    pub fn and(mut self, other: Dirty) -> Dirty {
        self.bgp |= other.bgp;
        self.tunnel |= other.tunnel;
        self.nat |= other.nat;
        self.policies |= other.policies;
        self.interfaces.extend(other.interfaces);
        self.table |= other.table;
        self.routes = match (self.routes, other.routes) {
            (DirtyRoutes::Some(mut a), DirtyRoutes::Some(b)) => {
                a.extend(b);
                DirtyRoutes::Some(a)
            }
            _ => DirtyRoutes::All,
        };
        self.links.extend(other.links);
        self.installed.extend(other.installed);
        self
    }
    /// Whether there is nothing to plan.
    pub fn is_nothing(&self) -> bool {
        *self == Dirty::default()
    }
}

impl World {
    /// Knows nothing but its name.
    pub fn new(node: NodeName) -> World {
        World {
            mode: Mode::default(),
            autodetection: Autodetection::default(),
            objects: Objects::default(),
            api_server: None,
            kernel: Kernel::default(),
            learned: Learned::default(),
            routers: BTreeSet::new(),
            leases: ipam::Leases::default(),
            claims: Claims::default(),
            endpoints: Endpoints::default(),
            policies: Policies::of(node.clone()),
            picture: ipam::block::Picture::default(),
            cni: None,
            bridged: None,
            drained: None,
            synced: BTreeSet::new(),
            node,
        }
    }

    /// Takes a fact in.
    pub fn learn(&mut self, fact: Fact) -> Dirty {
        match fact {
            Fact::Autodetection(autodetection) => {
                self.autodetection = autodetection;
                Dirty::everything()
            }
            Fact::Mode(mode) => {
                self.mode = mode;
                Dirty::everything()
            }
            Fact::Object(mut fact) => {
                if let Object::EndpointSlice(slice) = &mut fact.object {
                    // A cluster has many endpoints; which are ready is asked of this node only.
                    slice.keep_only(&self.node);
                    fact.written = serde_json::Value::Null;
                }
                self.policies.learn(&fact.object);
                let dirty = match &fact.object {
                    Object::Pod(pod) => self.place(&pod.reference(), Some(pod)).and(self.claim(pod)),
                    _ => Dirty::nothing(),
                };
                if let Object::Pod(pod) = &mut fact.object
                    && pod.node.as_ref() != Some(&self.node)
                {
                    // A cluster has many pods. Whom policies choose is kept by their engine; here, whose address it is.
                    pod.keep_only_whereabouts();
                    fact.written = serde_json::Value::Null;
                }
                Dirty { policies: true, ..dirty }.and(self.objects.learn(*fact))
            }
            Fact::ObjectGone(key) => {
                self.policies.forget(&key);
                let dirty = match (key.kind, &key.namespace) {
                    (Kind::Pod, Some(namespace)) => {
                        let pod = PodRef { namespace: namespace.clone(), name: key.name.clone() };
                        self.claims.forget(&pod);
                        self.place(&pod, None)
                    }
                    _ => Dirty::nothing(),
                };
                Dirty { policies: true, ..dirty }.and(self.objects.forget(&key))
            }
            Fact::ObjectErrors(errors) => {
                self.objects.errors = errors;
                Dirty::nothing()
            }
            Fact::ApiServer(state) => {
                // Which namespace its Secrets are in is said where one is missing.
                let before = self.api_server.as_ref().map(|before| before.namespace.clone());
                let moved = before.as_ref() != Some(&state.namespace);
                self.api_server = Some(state);
                Dirty { bgp: moved, ..Dirty::nothing() }
            }
            Fact::Kernel(event) => self.learn_kernel(event),
            Fact::Learned(change) => self.learned.learn(change),
            Fact::Session(change) => self.learned.learn_session(change),
            Fact::Router { interface, address } => {
                if self.routers.iter().filter(|(link, _)| *link == interface).count() < ROUTERS_OF_A_LINK {
                    self.routers.insert((interface, address));
                }
                Dirty { bgp: true, ..Dirty::nothing() }
            }
            Fact::RouterGone { interface, address } => {
                self.routers.remove(&(interface, address));
                Dirty { bgp: true, ..Dirty::nothing() }
            }
            Fact::Lease(record) => self.learn_lease(record),
            Fact::Blocks(told) => self.learn_block(*told),
            Fact::BlocksDone(_) => Dirty::nothing(),
            Fact::Cni(installed) => {
                self.cni = Some(installed);
                Dirty::nothing()
            }
            Fact::Bridged(problem) => {
                self.bridged = problem;
                Dirty::nothing()
            }
            Fact::Drained(message) => {
                self.drained = message;
                Dirty { bgp: true, ..Dirty::nothing() }
            }
            Fact::InSync(source) => {
                self.synced.insert(source);
                Dirty::everything()
            }
        }
    }

    /// Whether this source has told all it had at first.
    pub fn is_in_sync(&self, source: Source) -> bool {
        self.synced.contains(&source)
    }

    /// A pod that another plugin has wired is where the API says.
    fn place(&mut self, reference: &PodRef, pod: Option<&Pod>) -> Dirty {
        if self.mode != Mode::PolicyOnly {
            return Dirty::nothing();
        }
        let here = pod.filter(|pod| pod.node.as_ref() == Some(&self.node) && !pod.host_network && !pod.ended);
        let touched = self.endpoints.place(reference, here.map(|pod| pod.addresses.as_slice()).unwrap_or_default());
        self.policies.attach(reference, self.endpoints.addresses_of(reference));
        Dirty { interfaces: touched.interfaces, ..Dirty::nothing() }
    }

    /// Gives a pod its leases that were read back from the kernel.
    fn claim(&mut self, pod: &Pod) -> Dirty {
        if !self.claims.learn(pod, &self.node) {
            return Dirty::nothing();
        }
        let reference = pod.reference();
        let is_its = |lease: &&ipam::Lease| lease.lacks_its_pod() && lease.has_link_of(Some(&reference));
        let its: Vec<ipam::Lease> = self.leases.iter().filter(is_its).cloned().collect();
        its.into_iter().fold(Dirty::nothing(), |dirty, lease| dirty.and(self.learn_lease(ipam::Record::Lease(lease))))
    }

    fn learn_kernel(&mut self, event: KernelEvent) -> Dirty {
        let links = || self.routers.iter().map(|(link, _)| link.get());
        let before: BTreeSet<u32> = links().filter(|link| self.kernel.actual.links.contains_key(link)).collect();
        let mut dirty = self.kernel.learn(event);
        if dirty.routes == DirtyRoutes::All && self.autodetection.asks_for_routes() {
            (dirty.bgp, dirty.tunnel) = (true, true);
        }
        // A link that has gone: its number may be another's later.
        let links = &self.kernel.actual.links;
        self.routers.retain(|(link, _)| links.contains_key(&link.get()) || !before.contains(&link.get()));
        dirty
    }

    fn learn_lease(&mut self, mut record: ipam::Record) -> Dirty {
        if let ipam::Record::Lease(lease) = &mut record
            && let Some(pod) = self.claims.owner(lease)
        {
            lease.pod = Some(pod.clone());
        }
        let touched = match &record {
            ipam::Record::Lease(lease) => {
                let before = self.leases.of(&lease.attachment).map(|l| l.addresses.clone());
                [before.unwrap_or_default(), lease.addresses.clone()].concat()
            }
            ipam::Record::Plumbed { attachment, .. } | ipam::Record::Release { attachment } => {
                self.leases.of(attachment).map(|l| l.addresses.clone()).unwrap_or_default()
            }
            ipam::Record::Freed(_) => Vec::new(),
        };
        let attachment = match &record {
            ipam::Record::Lease(lease) => Some(lease.attachment.clone()),
            ipam::Record::Release { attachment } => Some(attachment.clone()),
            ipam::Record::Plumbed { .. } | ipam::Record::Freed(_) => None,
        };
        let before = attachment.as_ref().and_then(|attachment| self.leases.of(attachment).cloned());
        let stood_in = match &record {
            // What stood for its link goes.
            ipam::Record::Lease(lease) => self.leases.of_link(&lease.host_interface).cloned(),
            _ => None,
        };
        self.leases.apply(record);
        let gone = stood_in.filter(|lease| self.leases.of(&lease.attachment).is_none());
        let now = attachment.as_ref().and_then(|attachment| self.leases.of(attachment));
        let endpoints = self.endpoints.learn(gone.as_ref(), None).and(self.endpoints.learn(before.as_ref(), now));
        for pod in &endpoints.pods {
            self.policies.attach(pod, self.endpoints.addresses_of(pod));
        }
        // An address beyond what is this node's own is announced by itself.
        let own = self.own_prefixes();
        let lone = touched.iter().any(|address| !own.iter().any(|prefix| prefix.contains(*address)));
        let policies = !endpoints.pods.is_empty();
        let routes = Dirty::routes(touched.into_iter().map(Prefix::host));
        Dirty { bgp: lone, policies, interfaces: endpoints.interfaces, ..routes }
    }
}
