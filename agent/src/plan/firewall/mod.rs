//! From compiled policies to packet rules: what the table is to hold, and what of it a change touches.
//!
//! Pods are found by their interfaces, in verdict maps; policies about them are chains that pods with the same policies
//! share; whom they name is in sets. So a packet meets a handful of rules whatever the number of pods and policies, and a
//! change of a pod or of a member is a change of some elements.

mod asked;
mod base;
mod bounds;
mod chains;
mod draft;
mod hosts;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dataplane::ruleset::{Key, KeyType, Range, Ruleset, Set, Transaction, Verdict, apart};
use model::object::SourceSpoofing;
use model::{Family, PodRef};
use policy::program::{ChainKey, Chains, EndpointKey, Members, MembersKind, Program, SetKey};
use policy::{Delta, SetChange};

pub use self::asked::{Answer, Passage};
pub use self::base::{Base, FILTER, Invalid, LOCAL, Permission, SOURCES, base};
pub use bounds::{Bounded, bounded};
pub use chains::{LOG_GROUP, Meaning, Rendered, Way, render};
pub use draft::Touched;
pub use hosts::{Hosts, hosts, on};

use crate::world::endpoints::{Endpoints, Interface};
use crate::world::{Dirty, World};
use chains::{of_family, own, set_name};
use draft::Draft;

/// What the table is to hold.
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    draft: Draft,
    /// Names that the base gave to sets and chains.
    base: Names,
    /// How many endpoints lead to a chain.
    users: BTreeMap<(Way, ChainKey), usize>,
    /// The chains of pods, as they are rendered.
    pods: BTreeMap<PodRef, Chains>,
    /// The chains that HostEndpoints lead to.
    hosts: Vec<(Way, ChainKey)>,
    /// Pods' interfaces, as they are rendered.
    interfaces: BTreeMap<String, Interface>,
    /// The interfaces behind which an address is.
    holders: BTreeMap<IpAddr, BTreeSet<String>>,
    /// What policies ask for that is not in the table, since this was last asked.
    cut_short: Vec<String>,
}

/// Names of sets and of chains.
#[derive(Debug, Clone, Default)]
struct Names {
    sets: BTreeSet<String>,
    maps: BTreeSet<String>,
    chains: BTreeSet<String>,
}

impl Firewall {
    /// The table.
    pub fn table(&self) -> &Ruleset {
        self.draft.table()
    }

    /// Whether anything was touched since this was last taken.
    pub fn is_touched(&self) -> bool {
        self.draft.is_touched()
    }

    /// What was touched since this was last asked.
    pub fn take_touched(&mut self) -> Touched {
        self.draft.take_touched()
    }

    /// What new chains of policies ask for that is more than the kernel takes, since this was last asked.
    pub fn take_cut_short(&mut self) -> Vec<String> {
        std::mem::take(&mut self.cut_short)
    }

    /// What leads there from what the kernel has, which differs in nothing but what was touched.
    pub fn transaction(&self, have: &Ruleset, touched: &Touched) -> Transaction {
        self.draft.transaction(have, touched)
    }

    /// Makes what does not depend on pods so.
    pub fn lay_base(&mut self, base: &Base, program: &Program) {
        let hosts = base.hosts.users();
        hosts.iter().for_each(|(way, key)| self.take_up(*way, key, program));
        let before = std::mem::replace(&mut self.hosts, hosts);
        before.iter().for_each(|(way, key)| self.let_go(*way, key));
        let mut table = base.table();
        let of_pods = base::of_pods(base.mode);
        for (name, map) in of_pods.maps {
            if !self.table().maps.contains_key(&name) {
                self.draft.map(&name, Some(map));
            }
        }
        for (name, set) in of_pods.sets {
            if !self.table().sets.contains_key(&name) {
                self.draft.set(&name, Some(set));
            }
        }
        table.chains.extend(of_pods.chains);
        let names = Names {
            sets: table.sets.keys().cloned().collect(),
            maps: table.maps.keys().cloned().collect(),
            chains: table.chains.keys().cloned().collect(),
        };
        let before = std::mem::replace(&mut self.base, names);
        before.sets.difference(&self.base.sets).for_each(|name| self.draft.set(name, None));
        before.maps.difference(&self.base.maps).for_each(|name| self.draft.map(name, None));
        before.chains.difference(&self.base.chains).for_each(|name| self.draft.chain(name, None));
        table.sets.into_iter().for_each(|(name, set)| self.draft.set(&name, Some(set)));
        table.maps.into_iter().for_each(|(name, map)| self.draft.map(&name, Some(map)));
        for (name, chain) in table.chains {
            self.draft.chain(&name, Some(std::sync::Arc::unwrap_or_clone(chain)));
        }
    }

    /// Follows a change of the program.
    pub fn follow(&mut self, program: &Program, delta: &Delta, endpoints: &Endpoints) {
        for (key, change) in &delta.sets {
            match (change, program.sets.get(key)) {
                (SetChange::Members { added, removed }, Some(_)) if added.kind() != MembersKind::Nets => {
                    self.change_members(key, added, removed);
                }
                (_, Some(set)) => self.make_set(key, &set.members),
                (_, None) => Family::ALL.into_iter().for_each(|family| self.draft.set(&set_name(key, family), None)),
            }
        }
        for endpoint in &delta.endpoints {
            let EndpointKey::Pod(pod) = endpoint else { continue };
            self.follow_pod(program, pod, endpoints);
        }
    }

    /// Makes interfaces as they are now.
    pub fn follow_interfaces<'a>(&mut self, names: impl IntoIterator<Item = &'a String>, endpoints: &Endpoints) {
        for name in names {
            self.follow_interface(name, endpoints.interface(name));
        }
    }

    /// The interfaces that have a place in the table.
    pub fn interfaces(&self) -> impl Iterator<Item = &String> {
        self.interfaces.keys()
    }

    fn make_set(&mut self, key: &SetKey, members: &Members) {
        for family in Family::ALL {
            self.draft.set(&set_name(key, family), Some(set(members, family)));
        }
    }

    fn change_members(&mut self, key: &SetKey, added: &Members, removed: &Members) {
        for family in Family::ALL {
            let name = set_name(key, family);
            set(removed, family).elements.iter().for_each(|element| self.draft.take(&name, element));
            set(added, family).elements.into_iter().for_each(|element| self.draft.put(&name, element));
        }
    }

    fn follow_pod(&mut self, program: &Program, pod: &PodRef, endpoints: &Endpoints) {
        let chains = program.endpoints.get(&EndpointKey::Pod(pod.clone())).cloned();
        let before = match &chains {
            Some(chains) => self.pods.insert(pod.clone(), chains.clone()),
            None => self.pods.remove(pod),
        };
        for (way, key) in chains.iter().flat_map(ways) {
            self.take_up(way, key, program);
        }
        for (way, key) in before.iter().flat_map(ways) {
            self.let_go(way, key);
        }
        for name in endpoints.interfaces_of(pod) {
            if let Some(interface) = endpoints.interface(name) {
                self.lead(name, interface);
            }
        }
    }

    fn take_up(&mut self, way: Way, key: &ChainKey, program: &Program) {
        let users = self.users.entry((way, key.clone())).or_default();
        *users += 1;
        if *users == 1
            && let Some(chain) = program.chains.get(key)
        {
            self.cut_short.extend(bounded(chain).cut_short);
            for rendered in render(way, key, chain) {
                let (name, chain) = rendered.chain();
                self.draft.chain(&name, Some(chain));
            }
        }
    }

    fn let_go(&mut self, way: Way, key: &ChainKey) {
        let place = (way, key.clone());
        let Some(users) = self.users.get_mut(&place) else { return };
        *users -= 1;
        if *users > 0 {
            return;
        }
        self.users.remove(&place);
        // All that begin with its name are its own: the key is as long as any other.
        let name = way.name(key);
        let of_chain: Vec<String> = self
            .table()
            .chains
            .range(name.clone()..)
            .map(|(name, _)| name.clone())
            .take_while(|n| n.starts_with(&name))
            .collect();
        of_chain.iter().for_each(|name| self.draft.chain(name, None));
    }

    fn follow_interface(&mut self, name: &str, interface: Option<&Interface>) {
        let before = match interface {
            Some(interface) => self.interfaces.insert(name.into(), interface.clone()),
            None => self.interfaces.remove(name),
        };
        let of_link =
            |address: &IpAddr| (base::sources(Family::of(*address)), Key::InterfaceAddress(name.into(), *address));
        for address in before.iter().flat_map(|before| &before.addresses) {
            let (set, key) = of_link(address);
            self.draft.take(&set, &key);
            if let Some(holders) = self.holders.get_mut(address) {
                holders.remove(name);
            }
        }
        for address in interface.iter().flat_map(|interface| &interface.addresses) {
            let (set, key) = of_link(address);
            self.draft.put(&set, key);
            self.holders.entry(*address).or_default().insert(name.into());
        }
        match interface {
            Some(interface) => self.lead(name, interface),
            None => {
                for map in [base::EGRESS, base::INGRESS] {
                    self.draft.lead(map, Key::Interface(name.into()), None);
                }
            }
        }
        before.iter().flat_map(|before| &before.addresses).for_each(|address| self.follow_address(*address));
    }

    /// Makes an address as it is held now: while one pod goes, another may have it already. Of several the first by name
    /// says which policies it meets.
    fn follow_address(&mut self, address: IpAddr) {
        let family = Family::of(address);
        let places = [(own(family), Key::Pair(address, address)), (base::pods(family), Key::Address(address))];
        let holder = self.holders.get(&address).and_then(|holders| self.interfaces.get(holders.first()?));
        let leads = holder.map(|holder| self.verdicts(holder)).unzip();
        match holder.is_some() {
            true => places.into_iter().for_each(|(set, key)| self.draft.put(&set, key)),
            false => {
                places.iter().for_each(|(set, key)| self.draft.take(set, key));
                self.holders.remove(&address);
            }
        }
        self.draft.lead(&of_family(base::EGRESS, family), Key::Address(address), leads.0);
        self.draft.lead(&of_family(base::INGRESS, family), Key::Address(address), leads.1);
    }

    /// Where packets by an interface go, either way.
    fn lead(&mut self, name: &str, interface: &Interface) {
        let (egress, ingress) = self.verdicts(interface);
        self.draft.lead(base::EGRESS, Key::Interface(name.into()), Some(egress));
        self.draft.lead(base::INGRESS, Key::Interface(name.into()), Some(ingress));
        interface.addresses.iter().for_each(|address| self.follow_address(*address));
    }

    /// What becomes of packets from an interface's pod, and of those to it.
    fn verdicts(&self, interface: &Interface) -> (Verdict, Verdict) {
        let chains = interface.pod.as_ref().and_then(|pod| self.pods.get(pod));
        let egress = chains.and_then(|chains| chains.egress.as_ref()).map(|key| Verdict::Jump(Way::Egress.name(key)));
        let ingress =
            chains.and_then(|chains| chains.ingress.as_ref()).map(|key| Verdict::Goto(Way::Ingress.name(key)));
        (egress.unwrap_or(Verdict::Continue), ingress.unwrap_or(Verdict::Accept))
    }
}

/// Whether what happened to policies, pods and sessions concerns more than pods: HostEndpoints, or sources beyond pods'
/// addresses.
pub fn asks_for_base(world: &World, dirty: &Dirty, delta: &Delta) -> bool {
    let spoofs = || world.objects.felix(&world.node).workload_source_spoofing == Some(SourceSpoofing::Any);
    let hosts = delta.endpoints.iter().any(|endpoint| matches!(endpoint, EndpointKey::Host(_)));
    let sessions = dirty.bgp && world.objects.host_endpoints().any(|endpoint| endpoint.node == world.node);
    hosts || sessions || ((dirty.policies || !dirty.interfaces.is_empty()) && spoofs())
}

/// Everything that a program has, as a change from nothing.
pub fn everything(program: &Program) -> Delta {
    Delta {
        sets: program.sets.keys().map(|key| (key.clone(), SetChange::Made)).collect(),
        chains_made: program.chains.keys().cloned().collect(),
        chains_gone: BTreeSet::new(),
        endpoints: program.endpoints.keys().cloned().collect(),
    }
}

fn ways(chains: &Chains) -> impl Iterator<Item = (Way, &ChainKey)> {
    let egress = chains.egress.iter().map(|key| (Way::Egress, key));
    egress.chain(chains.ingress.iter().map(|key| (Way::Ingress, key)))
}

/// The members of a family.
fn set(members: &Members, family: Family) -> Set {
    match members {
        Members::Addresses(addresses) => {
            let of_family = addresses.iter().filter(|address| Family::of(**address) == family);
            Set::of(KeyType::Address(family), of_family.map(|address| Key::Address(*address)))
        }
        Members::Nets(ranges) => {
            let ranges = apart(ranges.iter(family).map(|(first, last)| Range { first, last }));
            Set::of(KeyType::Ranges(family), ranges.into_iter().map(Key::Range))
        }
        Members::Sockets(sockets) => {
            let of_family = sockets.iter().filter(|(address, ..)| Family::of(*address) == family);
            let keys = of_family.map(|(address, protocol, port)| Key::Socket(*address, protocol.0, *port));
            Set::of(KeyType::Socket(family), keys)
        }
    }
}
