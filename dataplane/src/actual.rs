//! The kernel as it is: what its events and dumps say, and the picture that follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::nexthop::{self, ActualNexthop, Nexthops};
use crate::table::RouteTable;
use crate::want::{Names, NextHop, NextHops, Route, RouteKey, RouteKind, write_hops};

/// What the kernel said. Serialisable, as these are recorded and replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KernelEvent {
    /// Everything, read after subscribing: replaces whatever was known of links, addresses and routes.
    Snapshot(Snapshot),
    /// A link is new or has changed.
    Link(Link),
    /// A link is gone, and with it its addresses and, without further notice, its routes.
    LinkGone {
        /// Its index, which the kernel may use again.
        index: u32,
        /// Its last name.
        name: String,
    },
    /// An address is new or has changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route of table `main` is new.
    Route(ActualRoute),
    /// A route of table `main` has taken the place of those with its prefix and metric.
    RouteReplaced(ActualRoute),
    /// A route of table `main`, or some of its next hops, are gone.
    RouteGone(ActualRoute),
    /// Every route of table `main`, read again: replaces what was known of routes.
    Routes(Vec<ActualRoute>),
    /// A nexthop object is new, or leads elsewhere, and its routes with it.
    Nexthop(ActualNexthop),
    /// A nexthop object is gone, and without further notice its routes.
    NexthopGone(u32),
    /// Every nexthop object, read again: replaces what was known of them. The routes follow.
    Nexthops(Vec<ActualNexthop>),
    /// Events were lost; a [`KernelEvent::Snapshot`] follows.
    Overrun,
    /// What happened before somebody asked for this mark has been told.
    Marked,
    /// Somebody changed our nftables table, or removed it.
    NftTable(NftChange),
}

/// What became of our nftables table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NftChange {
    /// Something in it is other than before: read it back.
    Changed,
    /// It is gone.
    Gone,
}

/// All links, addresses and routes (of table `main`) at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// In the order of the dump.
    pub links: Vec<Link>,
    /// Of both families.
    pub addresses: Vec<Address>,
    /// Of both families.
    pub routes: Vec<ActualRoute>,
    /// Nexthop objects; none where the kernel knows no such thing (before Linux 5.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexthops: Option<Vec<ActualNexthop>>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// `ifi_index`.
    pub index: u32,
    /// `IFLA_IFNAME`.
    pub name: String,
    /// `IFF_UP`: somebody wants it up.
    pub up: bool,
    /// `IFF_LOWER_UP`: there is a signal.
    pub carrier: bool,
    /// `IFLA_MTU`, octets.
    pub mtu: u32,
    /// `IFLA_GROUP`.
    pub group: u32,
    /// `IFLA_INFO_KIND`, such as `veth` or `ipip`; hardware has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `IFLA_ADDRESS` of an Ethernet link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<[u8; 6]>,
    /// `IFLA_IFALIAS`: on the host side of a pod, whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address itself (`IFA_LOCAL`).
    pub address: IpAddr,
    /// Length of the prefix that is on the link.
    pub length: u8,
    /// `rtnl` scope: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// `IFA_PROTO`: who made it; 0 where nobody says (or before Linux 5.18).
    #[serde(default)]
    pub protocol: u8,
}

impl Address {
    /// The prefix that is on the link.
    pub fn prefix(&self) -> Option<Prefix> {
        Prefix::masked(self.address, self.length).ok()
    }
}

/// A route that is in table `main`, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActualRoute {
    /// Destination.
    pub prefix: Prefix,
    /// `RTA_PRIORITY`.
    pub metric: u32,
    /// `rtm_protocol`: who made it.
    pub protocol: u8,
    /// `RTA_NH_ID`: the nexthop object that says where packets go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexthop: Option<u32>,
    /// Where packets go.
    pub kind: ActualKind,
}

/// Where packets go, including what we never make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActualKind {
    /// To next hops.
    Unicast(NextHops),
    /// Nowhere, silently.
    Blackhole,
    /// Nowhere, with an ICMP error.
    Unreachable,
    /// Another `rtm_type`.
    Other(u8),
}

impl ActualRoute {
    /// What identifies it.
    pub fn key(&self) -> RouteKey {
        RouteKey { prefix: self.prefix, metric: self.metric }
    }

    /// Its next hops, if it has any.
    pub fn next_hops(&self) -> &[NextHop] {
        match &self.kind {
            ActualKind::Unicast(hops) => hops.as_slice(),
            _ => &[],
        }
    }

    /// Whether it does what the wanted route says. Who made it is not asked.
    pub fn fulfils(&self, want: &Route) -> bool {
        match (&self.kind, &want.kind) {
            (ActualKind::Blackhole, RouteKind::Blackhole) => self.key() == want.key(),
            (ActualKind::Unicast(have), RouteKind::Unicast(wanted)) => {
                self.key() == want.key() && same_hops(have, wanted)
            }
            _ => false,
        }
    }

    /// As `ip route` prints it, with the interfaces' names.
    pub fn display<'a>(&'a self, names: &'a Names) -> impl fmt::Display + 'a {
        Shown { route: self, names: Some(names) }
    }
}

impl Route {
    /// The route as the kernel will have it once made by us without an object, but for a device left to the kernel to
    /// choose.
    pub fn made(&self) -> ActualRoute {
        let kind = match &self.kind {
            RouteKind::Unicast(hops) => ActualKind::Unicast(hops.clone()),
            RouteKind::Blackhole => ActualKind::Blackhole,
        };
        let Route { prefix, metric, .. } = *self;
        ActualRoute { prefix, metric, protocol: model::kernel::ROUTE_PROTOCOL, nexthop: None, kind }
    }
}

/// Whether the kernel's next hops are those wanted; a device left open matches any, one hop's weight means nothing.
fn same_hops(have: &NextHops, want: &NextHops) -> bool {
    let (have, want) = (have.as_slice(), want.as_slice());
    let single = want.len() == 1;
    have.len() == want.len()
        && want.iter().all(|w| {
            have.iter().any(|h| {
                h.gateway == w.gateway
                    && h.onlink == w.onlink
                    && (w.device.is_none() || h.device == w.device)
                    && (single || h.weight == w.weight)
            })
        })
}

struct Shown<'a> {
    route: &'a ActualRoute,
    names: Option<&'a Names>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ActualRoute { prefix, metric, protocol, nexthop: _, kind } = self.route;
        match kind {
            ActualKind::Unicast(_) => {}
            ActualKind::Blackhole => f.write_str("blackhole ")?,
            ActualKind::Unreachable => f.write_str("unreachable ")?,
            ActualKind::Other(kind) => write!(f, "type {kind} ")?,
        }
        write!(f, "{prefix}")?;
        if let ActualKind::Unicast(hops) = kind {
            write_hops(f, prefix.family(), hops, self.names)?;
        }
        write!(f, " proto {} metric {metric}", Protocol(*protocol))
    }
}

impl fmt::Display for ActualRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { route: self, names: None }.fmt(f)
    }
}

/// A route protocol number, which prints as `rt_protos` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "redirect",
            2 => "kernel",
            3 => "boot",
            4 => "static",
            8 => "gated",
            9 => "ra",
            11 => "zebra",
            12 => "bird",
            16 => "dhcp",
            18 => "keepalived",
            42 => "babel",
            model::kernel::ROUTE_PROTOCOL => "margay",
            186 => "bgp",
            187 => "isis",
            188 => "ospf",
            189 => "rip",
            192 => "eigrp",
            other => return write!(f, "{other}"),
        })
    }
}

/// The picture of the kernel that follows from its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    /// By index.
    pub links: BTreeMap<u32, Link>,
    /// Sorted, with their interfaces' indexes.
    pub addresses: std::collections::BTreeSet<Address>,
    /// Table `main`.
    pub routes: RouteTable,
    /// None where the kernel knows no nexthop objects.
    pub nexthops: Option<Nexthops>,
}

/// What an event may have changed for whoever plans by the picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// A link or an address: next hops and tunnels may resolve otherwise.
    pub links: bool,
    /// Routes with these prefixes and metrics.
    pub routes: Vec<RouteKey>,
    /// All routes.
    pub all_routes: bool,
    /// The nftables table.
    pub nft: Option<NftChange>,
}

impl Actual {
    /// Writes an event into the picture.
    pub fn learn(&mut self, event: KernelEvent) -> Touched {
        let mut touched = Touched::default();
        match event {
            KernelEvent::Snapshot(snapshot) => {
                self.links = snapshot.links.into_iter().map(|link| (link.index, link)).collect();
                self.addresses = snapshot.addresses.into_iter().collect();
                self.nexthops = snapshot.nexthops.map(Nexthops::new);
                self.routes = self.table_of(snapshot.routes);
                touched = Touched { links: true, all_routes: true, ..touched };
            }
            KernelEvent::Link(link) => {
                if !link.up {
                    touched.routes = self.routes.link_lost(link.index);
                }
                if !nexthop::carries(&link) {
                    touched.routes.extend(self.objects_lost(link.index));
                }
                let before = self.links.insert(link.index, link.clone());
                touched.links = before != Some(link);
            }
            KernelEvent::LinkGone { index, .. } => {
                self.links.remove(&index);
                self.addresses.retain(|address| address.index != index);
                touched.routes = self.routes.link_lost(index);
                touched.routes.extend(self.objects_lost(index));
                touched.links = true;
            }
            KernelEvent::Address(address) => touched.links = self.addresses.insert(address),
            KernelEvent::AddressGone(address) => touched.links = self.addresses.remove(&address),
            KernelEvent::Route(route) => {
                touched.routes.push(route.key());
                self.routes.insert(self.resolved(route));
            }
            KernelEvent::RouteReplaced(route) => {
                touched.routes.push(route.key());
                self.routes.replace(self.resolved(route));
            }
            KernelEvent::RouteGone(route) => {
                touched.routes.push(route.key());
                self.routes.remove(&route);
            }
            KernelEvent::Routes(routes) => {
                self.routes = self.table_of(routes);
                touched.all_routes = true;
            }
            KernelEvent::Nexthop(object) => {
                let changed = self.nexthops.get_or_insert_default().insert(object);
                touched.routes = self.lead(&changed);
            }
            KernelEvent::NexthopGone(id) => {
                let changed = self.nexthops.as_mut().map(|objects| objects.remove(id)).unwrap_or_default();
                touched.routes = self.lead(&changed);
            }
            KernelEvent::Nexthops(objects) => self.nexthops = Some(Nexthops::new(objects)),
            KernelEvent::Overrun | KernelEvent::Marked => {}
            KernelEvent::NftTable(change) => touched.nft = Some(change),
        }
        touched
    }

    /// The route with the next hops of the object that it names, if it is known: the kernel may leave them out
    /// (`net.ipv4.nexthop_compat_mode`).
    fn resolved(&self, mut route: ActualRoute) -> ActualRoute {
        let hops = |id| self.nexthops.as_ref().and_then(|objects| objects.hops(id));
        if !matches!(route.kind, ActualKind::Unicast(_))
            && let Some(hops) = route.nexthop.and_then(hops)
        {
            route.kind = ActualKind::Unicast(hops);
        }
        route
    }

    fn table_of(&self, routes: Vec<ActualRoute>) -> RouteTable {
        // Many routes, few objects: one memory for the next hops of each.
        let mut known: BTreeMap<u32, Option<NextHops>> = BTreeMap::new();
        let mut hops = |id| {
            let look = || self.nexthops.as_ref().and_then(|objects| objects.hops(id));
            known.entry(id).or_insert_with(look).clone()
        };
        RouteTable::new(routes.into_iter().map(|route| match route.nexthop.and_then(&mut hops) {
            Some(hops) => ActualRoute { kind: ActualKind::Unicast(hops), ..route },
            None => route,
        }))
    }

    /// Writes into the routes where their objects lead now; those of an object that is gone are gone with it.
    fn lead(&mut self, changed: &[u32]) -> Vec<RouteKey> {
        let objects = self.nexthops.as_ref();
        let leads = |id: &u32| (*id, objects.filter(|all| all.at(*id).is_some()).map(|all| all.hops(*id)));
        self.routes.lead(&changed.iter().map(leads).collect())
    }

    /// What the kernel does silently to the objects of a link without a signal.
    fn objects_lost(&mut self, index: u32) -> Vec<RouteKey> {
        let changed = self.nexthops.as_mut().map(|objects| objects.link_lost(index)).unwrap_or_default();
        self.lead(&changed)
    }

    /// Interfaces' names by index.
    pub fn names(&self) -> Names {
        self.links.values().map(|link| (link.index, link.name.clone())).collect()
    }

    /// The link of a name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexthop::NexthopKind;

    fn hop(last: u8, device: u32) -> NextHop {
        NextHop::via([192, 0, 2, last].into(), device)
    }

    fn route(protocol: u8, hops: &[NextHop]) -> ActualRoute {
        let kind = match NextHops::new(hops.iter().copied()) {
            Ok(hops) => ActualKind::Unicast(hops),
            Err(_) => ActualKind::Blackhole,
        };
        ActualRoute { prefix: "10.1.0.0/26".parse().unwrap(), metric: 1024, protocol, nexthop: None, kind }
    }

    fn shown(table: &RouteTable) -> Vec<String> {
        table.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_link_that_goes_down_takes_the_routes_that_have_no_other_way() {
        let other = ActualRoute { prefix: "10.2.0.0/26".parse().unwrap(), ..route(109, &[hop(1, 2), hop(2, 3)]) };
        let mut actual = Actual { routes: RouteTable::new([route(109, &[hop(1, 2)]), other]), ..Actual::default() };
        let link = Link {
            index: 2,
            name: "up0".into(),
            up: false,
            carrier: false,
            mtu: 1500,
            group: 0,
            kind: None,
            mac: None,
            alias: None,
        };
        let touched = actual.learn(KernelEvent::Link(link.clone()));
        assert_eq!(touched.routes, [route(109, &[]).key()]);
        assert_eq!(shown(&actual.routes).len(), 1);
        assert!(touched.links && !actual.learn(KernelEvent::Link(link)).links, "told twice, it changes nothing");
    }

    #[test]
    fn events_survive_being_recorded() {
        let events = [
            KernelEvent::Route(route(109, &[hop(1, 2), hop(2, 3)])),
            KernelEvent::RouteGone(route(4, &[])),
            KernelEvent::LinkGone { index: 2, name: "up0".into() },
            KernelEvent::NftTable(NftChange::Gone),
            KernelEvent::Overrun,
            KernelEvent::Snapshot(Snapshot::default()),
            KernelEvent::Nexthop(ActualNexthop { id: 7, protocol: 109, kind: NexthopKind::One(hop(1, 2)) }),
            KernelEvent::NexthopGone(7),
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<KernelEvent>(&line).unwrap(), event, "{line}");
        }
    }
}
