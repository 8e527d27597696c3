//! What a network must come to believe, worked out slowly and obviously: everybody tells everybody all, in rounds, until
//! a round changes nothing. Nothing here is shared with the speaker but the configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp::SpeakerConfig;
use bgp::config::{ExportPolicy, Reflection};
use model::{Asn, Family, Prefix};

/// A route as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    /// Who told it; none if it is the node's own.
    from: Option<usize>,
    external: bool,
    path: Vec<Asn>,
    next_hop: IpAddr,
    originator: Option<u32>,
    clusters: Vec<u32>,
}

/// Best routes by prefix, of one node.
type Table = BTreeMap<Prefix, Vec<Route>>;

/// For each node: prefix to next hops, as the simulation prints them.
pub type Beliefs = Vec<BTreeMap<String, Vec<String>>>;

/// The fixed point of these nodes, which are all up and all reach each other. `addresses` are theirs, in order.
pub fn fixed_point(configs: &[SpeakerConfig], addresses: &[IpAddr]) -> Beliefs {
    let net = Network { configs, addresses };
    let mut tables: Vec<Table> = vec![Table::new(); configs.len()];
    for round in 0.. {
        assert!(round < 100, "the rounds come to no end");
        let next: Vec<Table> = (0..configs.len()).map(|node| net.learn(node, &tables)).collect();
        if next == tables {
            break;
        }
        tables = next;
    }
    tables
        .iter()
        .map(|table| table.iter().filter_map(|(p, routes)| Some((p.to_string(), hops(routes)?))).collect())
        .collect()
}

struct Network<'a> {
    configs: &'a [SpeakerConfig],
    addresses: &'a [IpAddr],
}

impl Network<'_> {
    fn node_at(&self, address: IpAddr) -> Option<usize> {
        self.addresses.iter().position(|other| *other == address)
    }

    /// All that a node knows if the others know what these tables say, the best route of each prefix first.
    fn learn(&self, node: usize, tables: &[Table]) -> Table {
        let me = &self.configs[node];
        let mut known = Table::new();
        for prefix in me.originate.keys() {
            let own = Route {
                from: None,
                external: false,
                path: vec![],
                next_hop: self.addresses[node],
                originator: None,
                clusters: vec![],
            };
            known.entry(*prefix).or_default().push(own);
        }
        for key in me.peers.keys() {
            let Some(other) = self.node_at(key.address) else { continue };
            for (prefix, routes) in &tables[other] {
                let told = routes.first().and_then(|best| self.tell(other, node, prefix, best));
                if let Some(route) = told.filter(|route| self.believes(node, prefix, route)) {
                    known.entry(*prefix).or_default().push(route);
                }
            }
        }
        for routes in known.values_mut() {
            routes.sort_by_key(|route| self.rank(route));
        }
        known
    }

    /// What one node tells another of its best route.
    fn tell(&self, from: usize, to: usize, prefix: &Prefix, best: &Route) -> Option<Route> {
        let (teller, hearer) = (&self.configs[from], &self.configs[to]);
        let to_hearer = teller.peers.iter().find(|(key, _)| key.address == self.addresses[to])?.1;
        if best.from == Some(to) || to_hearer.export == ExportPolicy::Nothing {
            return None;
        }
        let external = teller.local_as != hearer.local_as;
        let client = |node: usize| {
            let peer = teller.peers.iter().find(|(key, _)| key.address == self.addresses[node]);
            peer.is_some_and(|(_, peer)| peer.reflection == Reflection::Client)
        };
        let reflects = teller.cluster_id.is_some();
        let in_pool = teller.pools.iter().any(|pool| pool.covers(prefix));
        let may = match best.from {
            None => true,
            Some(source) if !best.external && !external => reflects && (client(source) || client(to)),
            Some(_) if to_hearer.export == ExportPolicy::All => true,
            Some(source) if !best.external => reflects && client(source) && in_pool,
            Some(_) if !external => reflects && client(to) && in_pool,
            Some(_) => false,
        };
        if !may {
            return None;
        }
        let mut route = Route { from: Some(from), external, ..best.clone() };
        if external {
            route.path.insert(0, teller.local_as);
            (route.originator, route.clusters, route.next_hop) = (None, vec![], self.addresses[from]);
        } else if let Some(source) = best.from.filter(|_| !best.external) {
            route.originator.get_or_insert(self.configs[source].router_id.bits());
            route.clusters.extend(teller.cluster_id.map(|cluster| cluster.0));
            route.clusters.rotate_right(1);
        }
        Some(route)
    }

    fn believes(&self, node: usize, prefix: &Prefix, route: &Route) -> bool {
        let me = &self.configs[node];
        let looped = route.path.contains(&me.local_as)
            || route.originator == Some(me.router_id.bits())
            || me.cluster_id.is_some_and(|cluster| route.clusters.contains(&cluster.0));
        // An external peer may not announce what is this node's own, or lies inside it.
        let own = route.external && me.originate.keys().any(|own| own.covers(prefix));
        !looped && !own && prefix.family() == Family::Ipv4
    }

    /// The less, the better.
    fn rank(&self, route: &Route) -> impl Ord + use<> {
        let teller = route.from.map(|from| self.configs[from].router_id.bits());
        (
            route.from.is_some(),
            route.path.len(),
            !route.external,
            route.originator.or(teller),
            route.clusters.len(),
            route.from.map(|from| self.addresses[from]),
        )
    }
}

/// The best next hop, then those of equal cost by address; none of an own route.
fn hops(routes: &[Route]) -> Option<Vec<String>> {
    let best = routes.first().filter(|best| best.from.is_some())?;
    let equal = |route: &&Route| (route.path.len(), route.external) == (best.path.len(), best.external);
    let mut others: Vec<IpAddr> = routes.iter().filter(equal).map(|route| route.next_hop).collect();
    others.sort();
    others.dedup();
    others.retain(|hop| *hop != best.next_hop);
    others.insert(0, best.next_hop);
    others.truncate(16);
    Some(others.iter().map(IpAddr::to_string).collect())
}
