//! Who an address belongs to, and which address somebody has: names for people, by the objects and leases known here.

use std::net::IpAddr;

use model::api::show::{EndKind, EndView};
use model::object::{Pod, Service};
use model::{Family, PodRef};

use super::own;
use crate::world::World;

/// Somebody who sends or receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Who.
    pub who: Who,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What an address belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A pod, and the node that it is on.
    Pod(PodRef, String),
    /// A node.
    Node(String),
    /// A Service: namespace and name.
    Service(String, String),
    /// Nobody known here.
    Address,
}

impl End {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// As it is shown, with one of its addresses.
    pub fn view(&self, address: IpAddr) -> EndView {
        let (kind, name, node) = match &self.who {
            Who::Pod(pod, node) => (EndKind::Pod, pod.to_string(), node.clone()),
            Who::Node(name) => (EndKind::Node, name.clone(), name.clone()),
            Who::Service(namespace, name) => (EndKind::Service, format!("{namespace}/{name}"), String::new()),
            Who::Address => (EndKind::Address, String::new(), String::new()),
        };
        EndView { kind, name, address, node }
    }
}

/// Whom a text names: an address, `host` for this node, `node/NAME`, `service/NAMESPACE/NAME`, or `NAMESPACE/NAME` of a
/// pod, else of a Service.
pub fn named(world: &World, text: &str) -> Result<End, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(End { who: whose(world, address), addresses: vec![address] });
    }
    if text == "host" {
        return node(world, world.node.as_str());
    }
    if let Some(name) = text.strip_prefix("node/") {
        return node(world, name);
    }
    let of_service = ["service/", "svc/"].into_iter().find_map(|kind| text.strip_prefix(kind));
    let (namespace, name) =
        of_service.unwrap_or(text).split_once('/').unwrap_or(("default", of_service.unwrap_or(text)));
    let pod = PodRef { namespace: namespace.into(), name: name.into() };
    let found = match of_service {
        Some(_) => None,
        None => this_pod(world, &pod)?,
    };
    match found.or_else(|| self::service(world, namespace, name)) {
        Some(end) => Ok(end),
        None if of_service.is_some() => Err(format!(
            "no Service {pod} with addresses is known here (Services are watched where BGPConfiguration default or a \
             policy names them): ask about its address instead"
        )),
        None => Err(format!(
            "no pod {pod} is known here: `margayctl pod list` shows this node's, and of another node's pod its address \
             will do; `host` is this node, `service/NAMESPACE/NAME` a Service"
        )),
    }
}

fn node(world: &World, name: &str) -> Result<End, String> {
    let addresses = if name == world.node.as_str() {
        own::addresses(world).iter().map(|found| found.address.address).collect()
    } else {
        let known = world.objects.nodes().find(|node| node.name.as_str() == name);
        let known = known.ok_or_else(|| format!("there is no Node {name}"))?;
        [known.ipv4, known.ipv6].into_iter().flatten().map(|held| held.address).collect::<Vec<_>>()
    };
    if addresses.is_empty() {
        return Err(format!("Node {name} has no address that is known here: ask about an address instead"));
    }
    Ok(End { who: Who::Node(name.to_string()), addresses })
}

/// A pod by its lease here, else by its object. A pod that is known and has no address is an error.
fn this_pod(world: &World, pod: &PodRef) -> Result<Option<End>, String> {
    let here = world.leases.iter().find(|lease| lease.pod.as_ref() == Some(pod) && !lease.addresses.is_empty());
    if let Some(lease) = here {
        let who = Who::Pod(pod.clone(), world.node.to_string());
        return Ok(Some(End { who, addresses: lease.addresses.clone() }));
    }
    let Some(object) = world.objects.pod(pod) else { return Ok(None) };
    if object.addresses.is_empty() {
        return Err(format!("pod {pod} has no address yet"));
    }
    let who = if object.host_network { Who::Node(node_of(object)) } else { Who::Pod(pod.clone(), node_of(object)) };
    Ok(Some(End { who, addresses: object.addresses.clone() }))
}

fn service(world: &World, namespace: &str, name: &str) -> Option<End> {
    let is = |service: &&Service| service.meta.name == name && namespace_of(service) == namespace;
    let service = world.objects.services().find(is)?;
    let addresses: Vec<IpAddr> = addresses(service).collect();
    let who = Who::Service(namespace.into(), name.into());
    (!addresses.is_empty()).then_some(End { who, addresses })
}

/// Whose an address is: a pod's of this node, a node's, another pod's, a Service's, or nobody's that is known.
pub fn whose(world: &World, address: IpAddr) -> Who {
    if let Some(pod) = world.leases.holder(address).and_then(|lease| lease.pod.clone()) {
        return Who::Pod(pod, world.node.to_string());
    }
    if world.kernel.link_with(address).is_some()
        || own::addresses(world).iter().any(|own| own.address.address == address)
    {
        return Who::Node(world.node.to_string());
    }
    let has = |held: Option<model::object::NodeAddress>| held.is_some_and(|held| held.address == address);
    if let Some(node) = world.objects.nodes().find(|node| has(node.ipv4) || has(node.ipv6)) {
        return Who::Node(node.name.to_string());
    }
    let is_pods = |pod: &&Pod| !pod.host_network && !pod.ended && pod.addresses.contains(&address);
    if let Some(pod) = world.objects.pods().find(is_pods) {
        return Who::Pod(pod.reference(), node_of(pod));
    }
    let is_services = |service: &&Service| addresses(service).any(|held| held == address);
    match world.objects.services().find(is_services) {
        Some(service) => Who::Service(namespace_of(service).into(), service.meta.name.clone()),
        None => Who::Address,
    }
}

/// The addresses that clients use.
pub fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    service.cluster_ips.iter().chain(&service.external_ips).chain(&service.load_balancer_ips).copied()
}

fn namespace_of(service: &Service) -> &str {
    service.meta.namespace.as_deref().unwrap_or("default")
}

fn node_of(pod: &Pod) -> String {
    pod.node.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// The addresses of a family that both have, IPv4 first.
pub fn common(from: &End, to: &End) -> Option<(IpAddr, IpAddr)> {
    Family::ALL.into_iter().find_map(|family| Some((from.address(family)?, to.address(family)?)))
}
