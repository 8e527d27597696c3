//! The kernel as we want it: routes, the tunnel device, address translation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::sync::Arc;

use model::{Family, Prefix, kernel};
use serde::{Deserialize, Serialize};

/// What identifies a route in a table of the kernel: a second one with the same prefix and metric is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteKey {
    /// Destination.
    pub prefix: Prefix,
    /// `RTA_PRIORITY`: of two routes to one prefix the lower metric is used.
    pub metric: u32,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metric {}", self.prefix, self.metric)
    }
}

/// A route we want in table `main`, with protocol [`kernel::ROUTE_PROTOCOL`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub prefix: Prefix,
    /// `RTA_PRIORITY`.
    pub metric: u32,
    /// Where packets go.
    pub kind: RouteKind,
}

/// Where packets for a prefix go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteKind {
    /// To one or several next hops.
    Unicast(NextHops),
    /// Nowhere, silently.
    Blackhole,
}

/// One or more next hops, sorted, none twice. Copies share their memory: a full table has few different ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<NextHop>", into = "Vec<NextHop>")]
pub struct NextHops(Arc<[NextHop]>);

/// A unicast route without any next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a unicast route needs a next hop")]
pub struct NoNextHop;

/// One way to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHop {
    /// The router; none for a destination on the link itself. An IPv4 destination may have an IPv6 router (`RTA_VIA`, for
    /// RFC 8950), link-local with its interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The interface's index; none leaves the choice to the kernel, which looks the gateway up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u32>,
    /// Take the gateway as reachable on the link although no route says so (`RTNH_F_ONLINK`).
    #[serde(default)]
    pub onlink: bool,
    /// Share of the traffic among several next hops; `rtnh_hops` is one less.
    pub weight: NonZeroU8,
}

impl NextHop {
    /// On the link of an interface.
    pub fn on_link(device: u32) -> NextHop {
        NextHop { gateway: None, device: Some(device), onlink: false, weight: NonZeroU8::MIN }
    }
    /// Through a router on the link of an interface.
    pub fn via(gateway: IpAddr, device: u32) -> NextHop {
        NextHop { gateway: Some(gateway), ..NextHop::on_link(device) }
    }
    /// Through a router, over the interface that the kernel's table names for it.
    pub fn via_any(gateway: IpAddr) -> NextHop {
        NextHop { gateway: Some(gateway), device: None, onlink: false, weight: NonZeroU8::MIN }
    }
    /// With the gateway taken as reachable on the link, as through a tunnel.
    pub fn onlink(self) -> NextHop {
        NextHop { onlink: true, ..self }
    }
}

impl NextHops {
    /// At least one; order and repetition don't matter.
    pub fn new(hops: impl IntoIterator<Item = NextHop>) -> Result<NextHops, NoNextHop> {
        let hops: BTreeSet<NextHop> = hops.into_iter().collect();
        if hops.is_empty() { Err(NoNextHop) } else { Ok(NextHops(hops.into_iter().collect())) }
    }
    /// Just one.
    pub fn one(hop: NextHop) -> NextHops {
        NextHops(Arc::from([hop]))
    }
    /// All, sorted.
    pub fn as_slice(&self) -> &[NextHop] {
        &self.0
    }
}

impl TryFrom<Vec<NextHop>> for NextHops {
    type Error = NoNextHop;
    fn try_from(hops: Vec<NextHop>) -> Result<NextHops, NoNextHop> {
        NextHops::new(hops)
    }
}
impl From<NextHops> for Vec<NextHop> {
    fn from(hops: NextHops) -> Vec<NextHop> {
        hops.0.to_vec()
    }
}

impl Route {
    /// To next hops, with our metric.
    pub fn unicast(prefix: Prefix, next_hops: NextHops) -> Route {
        Route { prefix, metric: kernel::ROUTE_METRIC, kind: RouteKind::Unicast(next_hops) }
    }
    /// To nowhere, with our metric.
    pub fn blackhole(prefix: Prefix) -> Route {
        Route { prefix, metric: kernel::ROUTE_METRIC, kind: RouteKind::Blackhole }
    }
    /// What identifies it.
    pub fn key(&self) -> RouteKey {
        RouteKey { prefix: self.prefix, metric: self.metric }
    }
    /// As `ip route` prints it, with the interfaces' names.
    pub fn display<'a>(&'a self, names: &'a Names) -> impl fmt::Display + 'a {
        Shown { route: self, names: Some(names) }
    }
}

/// Interfaces' names by index.
pub type Names = BTreeMap<u32, String>;

struct Shown<'a> {
    route: &'a Route,
    names: Option<&'a Names>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { prefix, metric, kind } = self.route;
        if *kind == RouteKind::Blackhole {
            f.write_str("blackhole ")?;
        }
        write!(f, "{prefix}")?;
        if let RouteKind::Unicast(hops) = kind {
            write_hops(f, prefix.family(), hops, self.names)?;
        }
        write!(f, " proto margay metric {metric}")
    }
}

/// Writes the next hops of a route of a family as `ip route` does, each with a leading space.
pub(crate) fn write_hops(
    f: &mut fmt::Formatter<'_>,
    family: Family,
    hops: &NextHops,
    names: Option<&Names>,
) -> fmt::Result {
    for hop in hops.as_slice() {
        let several = hops.as_slice().len() > 1;
        if several {
            f.write_str(" nexthop")?;
        }
        match hop.gateway {
            Some(gateway) if Family::of(gateway) != family => write!(f, " via inet6 {gateway}")?,
            Some(gateway) => write!(f, " via {gateway}")?,
            None => {}
        }
        if let Some(device) = hop.device {
            match names.and_then(|names| names.get(&device)) {
                Some(name) => write!(f, " dev {name}")?,
                None => write!(f, " dev if{device}")?,
            }
        }
        if several {
            write!(f, " weight {}", hop.weight)?;
        }
        if hop.onlink {
            f.write_str(" onlink")?;
        }
    }
    Ok(())
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { route: self, names: None }.fmt(f)
    }
}

/// The IPIP device `tunl0` (RFC 2003) as we want it: up, with this MTU and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    /// Octets of an inner packet: the underlay's MTU less 20.
    pub mtu: u32,
    /// Source of the node's own packets into the tunnel, as a /32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

/// What the node does to packets on their way. Address translation of what pods send out: from `masquerade`, to anywhere
/// but `inside`, the source becomes the node's. And what is forwarded to a service address still, after kube-proxy, ends
/// here: the router would send it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nat {
    /// Pools with `natOutgoing`.
    pub masquerade: BTreeSet<Prefix>,
    /// Where the source stays as it is: all pools, whatever their `natOutgoing`.
    pub inside: BTreeSet<Prefix>,
    /// Blocks of service addresses; what lies in a pool is no service's all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<Prefix>,
    /// What becomes of packets to them that nobody has translated.
    #[serde(default)]
    pub strays: Strays,
}

/// What becomes of a packet to a service address that no Service has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Strays {
    /// Dropped in silence.
    #[default]
    Drop,
    /// Dropped, and its sender told (ICMP, administratively prohibited).
    Reject,
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |prefixes: &BTreeSet<Prefix>| {
            let texts: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
            texts.join(", ")
        };
        write!(f, "from {{ {} }} not to {{ {} }} masquerade", list(&self.masquerade), list(&self.inside))?;
        if self.services.is_empty() {
            return Ok(());
        }
        let end = match self.strays {
            Strays::Drop => "drop",
            Strays::Reject => "reject",
        };
        write!(f, "; forwarded to {{ {} }} {end}", list(&self.services))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_route_prints_as_ip_route_would() {
        let names = Names::from([(2, "eth0".into()), (3, "eth1".into())]);
        let gateway = |last: u8| IpAddr::from([192, 0, 2, last]);
        let hops = [NextHop::via(gateway(2), 3), NextHop::via(gateway(1), 2), NextHop::via(gateway(2), 3)];
        let multipath = Route::unicast(prefix("10.1.0.0/26"), NextHops::new(hops).unwrap());
        assert_eq!(
            multipath.display(&names).to_string(),
            "10.1.0.0/26 nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 192.0.2.2 dev eth1 weight 1 proto margay metric 1024"
        );
        let tunnel = Route::unicast(prefix("10.1.0.64/26"), NextHops::one(NextHop::via(gateway(1), 9).onlink()));
        assert_eq!(
            tunnel.display(&names).to_string(),
            "10.1.0.64/26 via 192.0.2.1 dev if9 onlink proto margay metric 1024"
        );
        let unnumbered =
            Route::unicast(prefix("10.1.0.128/26"), NextHops::one(NextHop::via("fe80::1".parse().unwrap(), 2)));
        assert_eq!(
            unnumbered.display(&names).to_string(),
            "10.1.0.128/26 via inet6 fe80::1 dev eth0 proto margay metric 1024"
        );
        let pod = Route::unicast(prefix("10.1.0.1/32"), NextHops::one(NextHop::on_link(2)));
        assert_eq!(pod.display(&names).to_string(), "10.1.0.1/32 dev eth0 proto margay metric 1024");
        assert_eq!(
            Route::blackhole(prefix("2001:db8::/122")).to_string(),
            "blackhole 2001:db8::/122 proto margay metric 1024"
        );
    }

    #[test]
    fn a_unicast_route_cannot_be_without_a_next_hop() {
        assert_eq!(NextHops::new([]), Err(NoNextHop));
        assert!(NextHops::try_from(vec![]).is_err());
    }
}
