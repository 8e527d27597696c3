//! This node's own addresses: which they are, on which subnet, and why.
//!
//! A method that was asked for goes first. Otherwise the Node object says: its annotation, else its InternalIP, and last what
//! this agent once wrote itself; the first of them that is on a link of this node. What leads to no address on a link is
//! said, and the object believed all the same: sessions that are up are not ended because an address was looked for in the
//! wrong place.

use std::net::IpAddr;

use dataplane::actual::{Address, Link};
use model::object::{IPV4_ADDRESS, IPV4_FOUND, IPV6_ADDRESS, IPV6_FOUND, Node, NodeAddress};
use model::{Family, Prefix};

use crate::fact::Source;
use crate::world::World;
use crate::world::autodetection::Method;

/// Interfaces that are somebody's own: Calico's list of those that `first-found` leaves out, by how their names begin.
const EXCLUDED: [&str; 16] = [
    "docker",
    "cbr",
    "dummy",
    "podman",
    "virbr",
    "lxcbr",
    "veth",
    "br-",
    "cali",
    "tunl",
    "flannel",
    "kube-ipvs",
    "cni",
    "vxlan.calico",
    "wireguard.cali",
    "nodelocaldns",
];

/// This node's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// IPv4.
    pub ipv4: Option<Found>,
    /// IPv6.
    pub ipv6: Option<Found>,
    /// What is wrong with them, one sentence each.
    pub problems: Vec<String>,
}

/// An address of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The address and its subnet.
    pub address: NodeAddress,
    /// Who says so.
    pub reason: String,
    /// Whether it is on a link.
    pub place: Place,
    /// Whether somebody's annotation says it.
    pub annotated: bool,
}

/// Whether an address of this node is on one of its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is.
    OnLink,
    /// It is not, or the kernel has not been read.
    Nowhere,
}

impl Own {
    /// Of a family.
    pub fn of(&self, family: Family) -> Option<&Found> {
        match family {
            Family::Ipv4 => self.ipv4.as_ref(),
            Family::Ipv6 => self.ipv6.as_ref(),
        }
    }

    /// IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// What the annotation of the Node should say of a family (Calico `projectcalico.org/IPv4Address`): `10.0.0.1/24`, so
    /// that others know the address where it is not the InternalIP, and the subnet. None where the address is on no link, and
    /// where the annotation is somebody's already.
    pub fn annotation(&self, family: Family) -> Option<String> {
        let found = self.of(family).filter(|found| found.place == Place::OnLink && !found.annotated)?;
        Some(format!("{}/{}", found.address.address, found.address.subnet.length()))
    }
}

/// This node's Node object with the addresses that were found in place of those that it says.
pub fn node(world: &World) -> Option<(Node, Vec<String>)> {
    let own = addresses(world);
    let mut node = world.objects.node(&world.node)?.clone();
    node.ipv4 = own.ipv4.map(|found| found.address);
    node.ipv6 = own.ipv6.map(|found| found.address);
    Some((node, own.problems))
}

/// The addresses of this node; none without its Node object.
pub fn addresses(world: &World) -> Own {
    let mut own = Own::default();
    if let Some(node) = world.objects.node(&world.node) {
        own.ipv4 = address(world, node, Family::Ipv4, world.autodetection.ipv4.as_ref(), &mut own.problems);
        own.ipv6 = address(world, node, Family::Ipv6, world.autodetection.ipv6.as_ref(), &mut own.problems);
        let all: Vec<IpAddr> = own.iter().map(|found| found.address.address).collect();
        own.problems.extend(all.into_iter().filter_map(|address| taken(world, node, address)));
    }
    own
}

/// Another node that says the same address is its own.
fn taken(world: &World, node: &Node, address: IpAddr) -> Option<String> {
    let has = |other: &&Node| other.address(Family::of(address)).is_some_and(|held| held.address == address);
    let other = world.objects.nodes().filter(|other| other.name != node.name).find(has)?;
    Some(format!("Node {}: its address {address} is Node {}'s, too: they have no session", node.name, other.name))
}

fn address(
    world: &World,
    node: &Node,
    family: Family,
    method: Option<&Method>,
    problems: &mut Vec<String>,
) -> Option<Found> {
    let asked = method.map(|method| (method, detect(world, node, family, method)));
    if let Some((method, Some((link, held)))) = asked {
        let reason = format!("{method}: on {}", link.name);
        let address = NodeAddress { address: held.address, subnet: subnet(held) };
        return Some(Found { address, reason, place: Place::OnLink, annotated: false });
    }
    let said = sayings(node, family);
    let (first, others) = said.split_first()?;
    let missed = asked.map(|(method, _)| {
        let option = if family == Family::Ipv4 { "--ip-autodetection-method" } else { "--ip6-autodetection-method" };
        format!("{option} {method} finds no address on this node")
    });
    let on_link = said.iter().find_map(|saying| Some((saying, held(world, saying.address)?)));
    let found = match on_link {
        Some((saying, (link, held))) => Found {
            address: NodeAddress { address: saying.address, subnet: saying.subnet.unwrap_or_else(|| subnet(held)) },
            reason: match saying.subnet {
                Some(said) if said.length() != held.length => {
                    format!("{}, on {}, which has /{}", saying.who, link.name, held.length)
                }
                _ => format!("{}, on {}", saying.who, link.name),
            },
            place: Place::OnLink,
            annotated: saying.by == By::Somebody,
        },
        None => Found {
            address: NodeAddress {
                address: first.address,
                subnet: first.subnet.unwrap_or(Prefix::host(first.address)),
            },
            reason: first.who.to_string(),
            place: Place::Nowhere,
            annotated: first.by == By::Somebody,
        },
    };
    if world.is_in_sync(Source::Kernel) {
        let nowhere = (found.address.address != first.address || found.place == Place::Nowhere)
            .then(|| format!("its address {} ({}) is on none of its links", first.address, first.who));
        let what: Vec<String> = missed.into_iter().chain(nowhere).collect();
        let instead = match found.place {
            _ if what.is_empty() => return Some(found),
            Place::OnLink => format!("{} is used ({})", found.address.address, found.reason),
            Place::Nowhere if others.is_empty() => "no packet for it comes in here".to_string(),
            Place::Nowhere => "nor is its InternalIP".to_string(),
        };
        problems.push(format!("Node {}: {}: {instead}", node.name, what.join(", and ")));
    }
    Some(found)
}

/// An address that the Node object says.
struct Saying {
    address: IpAddr,
    /// If it says that, too.
    subnet: Option<Prefix>,
    who: &'static str,
    by: By,
}

/// Who has said it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Whoever annotates Nodes.
    Somebody,
    /// The kubelet.
    Kubelet,
    /// An agent on this node, which had found it.
    Ourselves,
}

/// What the Node object says, what counts first first.
fn sayings(node: &Node, family: Family) -> Vec<Saying> {
    let (key, found, name) = match family {
        Family::Ipv4 => (IPV4_ADDRESS, IPV4_FOUND, "annotation projectcalico.org/IPv4Address"),
        Family::Ipv6 => (IPV6_ADDRESS, IPV6_FOUND, "annotation projectcalico.org/IPv6Address"),
    };
    let written = |key| node.meta.annotations.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    // What was found once must not hold against what is found now: neither the address nor its subnet.
    let ours = written(found).is_some() && written(found) == written(key);
    let annotated = written(key).and_then(|text| {
        let said = node.address(family)?;
        let subnet = (text.contains('/') && !ours).then_some(said.subnet);
        let (who, by) = if ours { ("found before", By::Ourselves) } else { (name, By::Somebody) };
        Some(Saying { address: said.address, subnet, who, by })
    });
    let internal = node.internal_ips.iter().find(|address| Family::of(**address) == family);
    let internal =
        internal.map(|address| Saying { address: *address, subnet: None, who: "InternalIP", by: By::Kubelet });
    let mut said: Vec<Saying> = annotated.into_iter().chain(internal).collect();
    said.sort_by_key(|saying| saying.by == By::Ourselves);
    said.dedup_by_key(|saying| saying.address);
    said
}

/// The address that a method finds, and the link that has it.
fn detect<'a>(world: &'a World, node: &Node, family: Family, method: &Method) -> Option<(&'a Link, &'a Address)> {
    let included = |link: &Link| link.name != "lo" && !EXCLUDED.iter().any(|prefix| link.name.starts_with(prefix));
    match method {
        Method::FirstFound => first(world, family, included, |_| true),
        Method::KubernetesInternalIp => {
            let internal = node.internal_ips.iter().filter(|address| Family::of(**address) == family);
            internal.copied().find_map(|address| held(world, address))
        }
        Method::CanReach(to) if Family::of(*to) == family => towards(world, *to),
        Method::CanReach(_) => None,
        Method::Interface(patterns) => {
            first(world, family, |link| patterns.iter().any(|pattern| pattern.matches(&link.name)), |_| true)
        }
        Method::SkipInterface(patterns) => {
            let skipped = |link: &Link| patterns.iter().any(|pattern| pattern.matches(&link.name));
            first(world, family, |link| included(link) && !skipped(link), |_| true)
        }
        Method::Cidr(prefixes) => {
            first(world, family, |_| true, |held| prefixes.iter().any(|prefix| prefix.contains(held.address)))
        }
    }
}

/// The link that has an address.
fn held(world: &World, address: IpAddr) -> Option<(&Link, &Address)> {
    let held = world.kernel.actual.addresses.iter().find(|held| held.address == address)?;
    Some((world.kernel.actual.links.get(&held.index)?, held))
}

/// The first address of the first link, in the kernel's order; of one link those with neighbours on it before those that
/// stand alone, as addresses of services do.
fn first(
    world: &World,
    family: Family,
    of: impl Fn(&Link) -> bool,
    is: impl Fn(&Address) -> bool,
) -> Option<(&Link, &Address)> {
    let links = world.kernel.actual.links.values().filter(|link| link.up && of(link));
    links.filter_map(|link| Some((link, best(world, link, family, &is)?))).next()
}

fn best<'a>(world: &'a World, link: &Link, family: Family, is: impl Fn(&Address) -> bool) -> Option<&'a Address> {
    let addresses = world.kernel.actual.addresses.iter().filter(|held| held.index == link.index);
    let usable = addresses.filter(|held| Family::of(held.address) == family && is_global(held) && is(held));
    usable.min_by_key(|held| (subnet(held).is_host(), held.address))
}

/// The address from which packets to another go, as far as the routes say.
fn towards(world: &World, to: IpAddr) -> Option<(&Link, &Address)> {
    if let Some(own) = held(world, to) {
        return Some(own);
    }
    let way = world.kernel.way_to(to)?.next_hops().first()?;
    let link = world.kernel.actual.links.get(&way.device?)?;
    let near = way.gateway.unwrap_or(to);
    let family = Family::of(to);
    let beside = best(world, link, family, |held| subnet(held).contains(near));
    Some((link, beside.or_else(|| best(world, link, family, |_| true))?))
}

/// Whether others can send packets to it from afar.
fn is_global(held: &Address) -> bool {
    let special = match held.address {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    };
    held.scope == 0 && !special && !held.address.is_multicast() && !held.address.is_unspecified()
}

fn subnet(held: &Address) -> Prefix {
    held.prefix().unwrap_or(Prefix::host(held.address))
}
