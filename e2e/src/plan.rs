//! What a lab looks like: its machines, their names and addresses. Nothing here touches the system.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail, ensure};

use crate::netns::Netns;

/// How the nodes and the routers speak BGP with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One subnet; iBGP between all nodes, eBGP from each node to the router.
    Mesh,
    /// A point-to-point link from each node to the router; each node its own AS, eBGP to the router only.
    Tor,
    /// The same with two routers: every route has two equal paths.
    TwoTors,
    /// One subnet; the last node reflects routes, the others are its clients; eBGP from each node to the router.
    RouteReflector,
}

/// Which program the router runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterKind {
    /// BIRD 2.
    Bird,
    /// FRRouting.
    Frr,
}

/// One of the two address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Both.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// The AS of nodes in a mesh or behind a route reflector: Calico's default.
pub const CLUSTER_AS: u32 = 64512;
/// The pools that pods live in.
pub const POOLS: [&str; 2] = ["10.244.0.0/16", "fd00:244::/48"];
/// The host behind the router that knows the way back to pods.
pub const OUTSIDE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(10, 200, 1, 10), Ipv6Addr::new(0xfd00, 0x200, 1, 0, 0, 0, 0, 0x10));
/// The host behind the router that knows the way back to nodes only.
pub const NOROUTE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(10, 200, 2, 10), Ipv6Addr::new(0xfd00, 0x200, 2, 0, 0, 0, 0, 0x10));

/// A lab on paper.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names everything: `lab` makes `lab-n1`.
    pub prefix: String,
    /// Who peers with whom.
    pub shape: Shape,
    /// What the routers run.
    pub router: RouterKind,
    /// How many nodes; they are called `n1`, `n2`, …
    pub nodes: usize,
    /// Pods of each node that [`crate::lab::Lab::up`] attaches.
    pub pods: Vec<String>,
}

/// Both ends of a link, by family.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The router's end.
    pub router: (Ipv4Addr, Ipv6Addr),
    /// The other end.
    pub host: (Ipv4Addr, Ipv6Addr),
    /// Prefix lengths.
    pub length: (u8, u8),
}

impl Plan {
    /// Two nodes with two pods each.
    pub fn new(prefix: impl Into<String>, shape: Shape) -> Self {
        let nodes = if shape == Shape::RouteReflector { 3 } else { 2 };
        Self { prefix: prefix.into(), shape, router: RouterKind::Bird, nodes, pods: vec!["a".into(), "b".into()] }
    }

    /// Whether the names fit: the prefix becomes part of namespaces and paths.
    pub fn check(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !self.prefix.is_empty() && self.prefix.len() <= 40 && self.prefix.chars().all(fits),
            "the prefix {:?} must be 1 to 40 of a-z, 0-9 and -",
            self.prefix
        );
        let least = if self.shape == Shape::RouteReflector { 2 } else { 1 };
        ensure!((least..=20).contains(&self.nodes), "{} nodes: this shape takes {least} to 20", self.nodes);
        Ok(())
    }

    /// `n1`, `n2`, …
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes).map(|node| format!("n{node}")).collect()
    }

    /// Numbers of the routers: 1, or 1 and 2.
    pub fn tors(&self) -> Vec<usize> {
        if self.shape == Shape::TwoTors { vec![1, 2] } else { vec![1] }
    }

    /// Whether nodes share one subnet (a bridge in the router's namespace), rather than a link each.
    pub fn shares_subnet(&self) -> bool {
        matches!(self.shape, Shape::Mesh | Shape::RouteReflector)
    }

    /// Where processes, sockets, objects and logs are.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from("/run/margay").join(&self.prefix)
    }

    /// The namespace of node `node` (from 1).
    pub fn node_netns(&self, node: usize) -> Netns {
        Netns::named(format!("{}-n{node}", self.prefix))
    }

    /// The namespace of router `tor` (from 1).
    pub fn tor_netns(&self, tor: usize) -> Netns {
        Netns::named(format!("{}-{}", self.prefix, tor_name(tor)))
    }

    /// The namespace of the host behind the router.
    pub fn outside_netns(&self) -> Netns {
        Netns::named(format!("{}-outside", self.prefix))
    }

    /// The namespace of the host that has no route to pods.
    pub fn noroute_netns(&self) -> Netns {
        Netns::named(format!("{}-noroute", self.prefix))
    }

    /// The namespace of a pod of node `node`.
    pub fn pod_netns(&self, node: usize, pod: &str) -> Netns {
        Netns::named(format!("{}-pod-n{node}-{pod}", self.prefix))
    }

    /// Whether a namespace of that name belongs to a lab with this prefix.
    pub fn owns(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-')) else { return false };
        let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let machine = ["tor", "tor2", "outside", "noroute"].contains(&rest);
        let node = rest.strip_prefix('n').is_some_and(digits);
        let pod =
            rest.strip_prefix("pod-n").and_then(|rest| rest.split_once('-')).is_some_and(|(node, _)| digits(node));
        machine || node || pod
    }

    /// The AS of a node.
    pub fn node_as(&self, node: usize) -> u32 {
        if self.shares_subnet() { CLUSTER_AS } else { 65000 + number(node) }
    }

    /// Whether this node reflects routes.
    pub fn reflects(&self, node: usize) -> bool {
        self.shape == Shape::RouteReflector && node == self.nodes
    }

    /// The link between a node and a router. The node's address on the first one is the node's address.
    pub fn uplink(&self, node: usize, tor: usize) -> Link {
        let (n, t) = (small(node), small(tor));
        if self.shares_subnet() {
            Link {
                router: (Ipv4Addr::new(10, 10, 0, 1), Ipv6Addr::new(0xfd00, 0x10, 1, 0, 0, 0, 0, 1)),
                host: (
                    Ipv4Addr::new(10, 10, 0, 10 + n),
                    Ipv6Addr::new(0xfd00, 0x10, 1, 0, 0, 0, 0, 0x10 + u16::from(n)),
                ),
                length: (24, 64),
            }
        } else {
            point_to_point([10, 9 + t, n], [0x10, u16::from(t), u16::from(n)])
        }
    }

    /// What a router announces for all its uplinks.
    pub fn rack(&self, tor: usize) -> (String, String) {
        (format!("10.{}.0.0/16", 9 + tor), format!("fd00:10:{tor}::/48"))
    }

    /// The link between the host behind the router and a router.
    pub fn outside_link(tor: usize) -> Link {
        point_to_point([10, 201, small(tor)], [0x201, u16::from(small(tor)), 0])
    }

    /// The link between the host without a route to pods and a router.
    pub fn noroute_link(tor: usize) -> Link {
        point_to_point([10, 202, small(tor)], [0x202, u16::from(small(tor)), 0])
    }

    /// The node's address with its prefix length, as the annotation has it.
    pub fn node_address(&self, node: usize, family: Family) -> String {
        let link = self.uplink(node, 1);
        match family {
            Family::V4 => format!("{}/{}", link.host.0, link.length.0),
            Family::V6 => format!("{}/{}", link.host.1, link.length.1),
        }
    }

    /// The node's address alone.
    pub fn node_ip(&self, node: usize, family: Family) -> IpAddr {
        family.of(self.uplink(node, 1).host)
    }

    /// `spec.podCIDRs` of a node.
    pub fn pod_cidrs(&self, node: usize) -> (String, String) {
        (format!("10.244.{node}.0/24"), format!("fd00:244:0:{node:x}::/64"))
    }
}

/// `tor`, `tor2`.
pub fn tor_name(tor: usize) -> String {
    if tor == 1 { "tor".into() } else { format!("tor{tor}") }
}

/// The AS of a router.
pub fn tor_as(tor: usize) -> u32 {
    64600 + number(tor)
}

/// A /31 and a /127 (RFC 3021, RFC 6164).
fn point_to_point(v4: [u8; 3], v6: [u16; 3]) -> Link {
    let v4 = |last| Ipv4Addr::new(v4[0], v4[1], v4[2], last);
    let v6 = |last| Ipv6Addr::new(0xfd00, v6[0], v6[1], v6[2], 0, 0, 0, last);
    Link { router: (v4(10), v6(0xa)), host: (v4(11), v6(0xb)), length: (31, 127) }
}

/// Nodes and routers are few ([`Plan::check`]).
fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn number(number: usize) -> u32 {
    u32::from(small(number))
}

impl Family {
    /// Picks one of a pair.
    pub fn of(self, pair: (Ipv4Addr, Ipv6Addr)) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(pair.0),
            Self::V6 => IpAddr::V6(pair.1),
        }
    }

    /// Whether an address is of this family.
    pub fn holds(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

const SHAPES: [(&str, Shape); 4] = [
    ("mesh", Shape::Mesh),
    ("tor", Shape::Tor),
    ("two-tors", Shape::TwoTors),
    ("route-reflector", Shape::RouteReflector),
];

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match SHAPES.iter().find(|(name, _)| *name == text) {
            Some((_, shape)) => Ok(*shape),
            None => Err(anyhow!("SHAPE={text} is not one of {}", SHAPES.map(|(name, _)| name).join(", "))),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHAPES.iter().find(|(_, shape)| shape == self).map_or("?", |(name, _)| name))
    }
}

impl FromStr for RouterKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bird" => Ok(Self::Bird),
            "frr" => Ok(Self::Frr),
            _ => bail!("TOR={text} is not one of bird, frr"),
        }
    }
}

impl fmt::Display for RouterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Bird { "BIRD" } else { "FRR" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_owns_its_namespaces_and_no_others() {
        let plan = Plan::new("lab", Shape::Tor);
        for name in ["lab-n1", "lab-n12", "lab-tor", "lab-tor2", "lab-outside", "lab-noroute", "lab-pod-n1-a"] {
            assert!(plan.owns(name), "{name}");
        }
        for name in ["lab", "labs-n1", "lab-n1x", "lab-nx", "lab-torch", "lab-pod-x-a", "lab-two-n1", "other-n1"] {
            assert!(!plan.owns(name), "{name}");
        }
    }

    #[test]
    fn addresses_of_machines_do_not_collide() {
        for shape in SHAPES.map(|(_, shape)| shape) {
            let plan = Plan::new("lab", shape);
            let mut seen = Vec::new();
            for tor in plan.tors() {
                for node in 1..=plan.nodes {
                    seen.push(plan.uplink(node, tor).host.0);
                    if !plan.shares_subnet() {
                        seen.push(plan.uplink(node, tor).router.0);
                    }
                }
                seen.extend([Plan::outside_link(tor).host.0, Plan::noroute_link(tor).host.0]);
            }
            let all = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), all, "{shape}");
        }
    }

    #[test]
    fn shapes_are_read_as_they_are_written() {
        for (name, shape) in SHAPES {
            assert_eq!(name.parse::<Shape>().ok(), Some(shape));
            assert_eq!(shape.to_string(), name);
        }
        assert!("star".parse::<Shape>().is_err());
    }
}
