//! Which service addresses this node announces, each with its reason (Calico `confd/pkg/backends/calico/routes.go`).
//!
//! A block of them is announced by every node; an address by itself by those nodes that its traffic policy lets serve it,
//! or by all where its block is that address alone or is not announced. What two Services share is announced while
//! either has a reason.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use model::api::show::ServiceAddressKind as AddressKind;
use model::object::{
    Aggregation, BgpConfiguration, EXCLUDE_FROM_LOAD_BALANCERS, Service, ServiceBlocks, ServiceType, TrafficPolicy,
};
use model::{Family, Prefix};

use crate::world::World;

/// A block of service addresses, and whether this node announces it as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPlan {
    /// What it spans.
    pub cidr: Prefix,
    /// Of which addresses.
    pub kind: AddressKind,
    /// Why, or why not.
    pub verdict: Verdict,
}

/// A Service, and what this node announces of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan<'a> {
    /// What its object says.
    pub service: &'a Service,
    /// Families of its endpoints that are ready on this node.
    pub ready_here: BTreeSet<Family>,
    /// Its addresses in order: cluster, external, load balancer.
    pub addresses: Vec<AddressPlan>,
}

/// One address of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPlan {
    /// Which.
    pub address: IpAddr,
    /// What it is an address of.
    pub kind: AddressKind,
    /// Why it is announced by itself, or why not.
    pub verdict: Verdict,
}

/// Whether this node announces a block or an address, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Announced: a block, as by every node.
    Everywhere,
    /// Announced: an endpoint here is ready, and this policy lets nobody else serve it.
    ReadyHere(Policy),
    /// Announced: its block is this address alone.
    Single,
    /// Announced: blocks of its kind are not.
    NotAggregated,
    /// Not by itself: this block leads to it.
    InBlock(Prefix),
    /// Not: no endpoint here is ready, and this policy lets nobody else serve it.
    NotReadyHere(Policy),
    /// Not: no block has it.
    NoBlock(AddressKind),
    /// Not: a block of one address, which is announced when a Service has it.
    OnlyWithService,
    /// Not: a block of load balancers' addresses, each of which is announced by itself.
    Disaggregated,
    /// Not: the node is labelled so.
    Excluded,
}

/// The traffic policy that is Local.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `externalTrafficPolicy`.
    External,
    /// `internalTrafficPolicy`.
    Internal,
}

impl Verdict {
    /// Whether this node announces what the verdict is about.
    pub fn announces(self) -> bool {
        use Verdict::{Everywhere, NotAggregated, ReadyHere, Single};
        matches!(self, Everywhere | ReadyHere(_) | Single | NotAggregated)
    }
}

impl AddressPlan {
    /// What this node announces that leads to it: the address, or its block.
    pub fn advertised(&self) -> Option<Prefix> {
        match self.verdict {
            Verdict::InBlock(block) => Some(block),
            verdict => verdict.announces().then(|| Prefix::host(self.address)),
        }
    }
}

/// The lists of BGPConfiguration default; where it names none, no Service has to be known.
pub fn configured(world: &World) -> Option<&ServiceBlocks> {
    let configuration = world.objects.bgp_configuration("default").filter(|c| announces_services(c))?;
    Some(&configuration.services)
}

/// Whether a BGPConfiguration makes it necessary to know Services: only that for all nodes is asked.
pub fn announces_services(configuration: &BgpConfiguration) -> bool {
    configuration.meta.name == "default" && !configuration.services.is_empty()
}

/// The block of service addresses that a prefix lies in, or is.
pub fn block_around(world: &World, prefix: &Prefix) -> Option<Prefix> {
    configured(world)?.all().filter(|block| block.covers(prefix)).min_by_key(|block| block.length()).copied()
}

/// The blocks.
pub fn blocks(world: &World) -> Vec<BlockPlan> {
    let Some(configured) = configured(world) else { return Vec::new() };
    let excluded = is_excluded(world);
    let plan = |kind: AddressKind| {
        let verdict = move |cidr: &Prefix| match kind {
            _ if excluded => Verdict::Excluded,
            _ if cidr.is_host() => Verdict::OnlyWithService,
            AddressKind::LoadBalancer if configured.aggregation == Aggregation::Disabled => Verdict::Disaggregated,
            _ => Verdict::Everywhere,
        };
        of_kind(configured, kind).iter().map(move |cidr| BlockPlan { cidr: *cidr, kind, verdict: verdict(cidr) })
    };
    KINDS.into_iter().flat_map(plan).collect()
}

/// Every Service that has addresses, in order of namespace and name.
pub fn services(world: &World) -> Vec<ServicePlan<'_>> {
    let blocks = blocks(world);
    if blocks.is_empty() {
        return Vec::new();
    }
    let here = world.objects.endpoint_slices().filter(|slice| slice.ready_on.contains(&world.node));
    let ready: BTreeSet<(Option<&str>, &str, Family)> = here
        .filter_map(|slice| Some((slice.meta.namespace.as_deref(), slice.service.as_deref()?, slice.family?)))
        .collect();
    let with_addresses = world.objects.services().filter(|service| has_addresses(service));
    let plans = with_addresses.map(|service| {
        let (namespace, name) = (service.meta.namespace.as_deref(), service.meta.name.as_str());
        let is_ready = |family: &Family| ready.contains(&(namespace, name, *family));
        let ready_here: BTreeSet<Family> = Family::ALL.into_iter().filter(is_ready).collect();
        let plan = |(kind, address)| AddressPlan {
            address,
            kind,
            verdict: judge(service, kind, address, &ready_here, &blocks),
        };
        ServicePlan { service, addresses: addresses(service).map(plan).collect(), ready_here }
    });
    plans.collect()
}

/// All that this node announces for Services.
pub fn announced(world: &World) -> BTreeSet<Prefix> {
    let blocks = blocks(world).into_iter().filter(|block| block.verdict.announces()).map(|block| block.cidr);
    let of_service = |plan: ServicePlan<'_>| plan.addresses.into_iter().filter(|plan| plan.verdict.announces());
    let addresses = services(world).into_iter().flat_map(of_service).map(|plan| Prefix::host(plan.address));
    blocks.chain(addresses).collect()
}

const KINDS: [AddressKind; 3] = [AddressKind::Cluster, AddressKind::External, AddressKind::LoadBalancer];

fn of_kind(configured: &ServiceBlocks, kind: AddressKind) -> &[Prefix] {
    match kind {
        AddressKind::Cluster => &configured.cluster,
        AddressKind::External => &configured.external,
        AddressKind::LoadBalancer => &configured.load_balancer,
    }
}

fn is_excluded(world: &World) -> bool {
    world.objects.node(&world.node).is_some_and(|node| node.is_excluded_from_load_balancers())
}

/// A headless Service has none, and one that is only a name.
fn has_addresses(service: &Service) -> bool {
    service.kind != ServiceType::ExternalName && !service.cluster_ips.is_empty()
}

fn addresses(service: &Service) -> impl Iterator<Item = (AddressKind, IpAddr)> {
    let of =
        |kind: AddressKind, list: &'_ [IpAddr]| list.iter().map(move |address| (kind, *address)).collect::<Vec<_>>();
    let cluster = of(AddressKind::Cluster, &service.cluster_ips);
    let external = of(AddressKind::External, &service.external_ips);
    let balanced = of(AddressKind::LoadBalancer, &service.load_balancer_ips);
    cluster.into_iter().chain(external).chain(balanced)
}

/// One address. As Calico has it, blocks of cluster addresses say that all of these are announced, those of the other
/// kinds which.
fn judge(
    service: &Service,
    kind: AddressKind,
    address: IpAddr,
    ready_here: &BTreeSet<Family>,
    blocks: &[BlockPlan],
) -> Verdict {
    let of_kind = || blocks.iter().filter(|block| block.kind == kind);
    let around: Vec<&BlockPlan> = of_kind().filter(|block| block.cidr.contains(address)).collect();
    let any_will_do = kind == AddressKind::Cluster && of_kind().next().is_some();
    if around.is_empty() && !any_will_do {
        return Verdict::NoBlock(kind);
    }
    if of_kind().any(|block| block.verdict == Verdict::Excluded) {
        return Verdict::Excluded;
    }
    match local(service, kind) {
        Some(policy) if ready_here.contains(&Family::of(address)) => return Verdict::ReadyHere(policy),
        Some(policy) => return Verdict::NotReadyHere(policy),
        None => {}
    }
    let around_as = |verdict: Verdict| around.iter().find(|block| block.verdict == verdict);
    if around_as(Verdict::OnlyWithService).is_some() {
        Verdict::Single
    } else if let Some(block) = around_as(Verdict::Everywhere) {
        Verdict::InBlock(block.cidr)
    } else if around_as(Verdict::Disaggregated).is_some() {
        Verdict::NotAggregated
    } else {
        Verdict::NoBlock(kind)
    }
}

/// The policy by which only nodes with an endpoint may serve an address. kube-proxy holds packets to a ClusterIP to the
/// internal one wherever they come from; Calico announces it by the external one, too.
fn local(service: &Service, kind: AddressKind) -> Option<Policy> {
    let is_local = |policy: TrafficPolicy| policy == TrafficPolicy::Local;
    if is_local(service.external_traffic_policy) {
        return Some(Policy::External);
    }
    (kind == AddressKind::Cluster && is_local(service.internal_traffic_policy)).then_some(Policy::Internal)
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::External => "externalTrafficPolicy",
            Policy::Internal => "internalTrafficPolicy",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Everywhere => f.write_str("every node announces it"),
            Verdict::ReadyHere(policy) => write!(f, "{policy} is Local, and an endpoint on this node is ready"),
            Verdict::Single => f.write_str("named by itself in BGPConfiguration default: every node announces it"),
            Verdict::NotAggregated => {
                f.write_str("serviceLoadBalancerAggregation is Disabled: every node announces it by itself")
            }
            Verdict::InBlock(block) => write!(f, "in {block}, which every node announces"),
            Verdict::NotReadyHere(policy) => write!(f, "{policy} is Local, and no endpoint on this node is ready"),
            Verdict::NoBlock(kind) => write!(f, "in none of {} of BGPConfiguration default", kind.field()),
            Verdict::OnlyWithService => f.write_str("one address: announced when a Service has it"),
            Verdict::Disaggregated => {
                f.write_str("serviceLoadBalancerAggregation is Disabled: its addresses are announced one by one")
            }
            Verdict::Excluded => write!(f, "this node has label {EXCLUDE_FROM_LOAD_BALANCERS}"),
        }
    }
}
