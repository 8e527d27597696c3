//! CalicoNodeStatus: what is asked of this node, and the answer in Calico's fields.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::api::show::{InstalledRouteView, NodeStatusView, PeerKind, PeerView, RouteSource, RouteView, SessionState};
use model::object::StatusClass;
use model::{Family, Prefix};
use serde_json::{Map, Value, json};

use super::Says;
use crate::world::World;

/// The most CalicoNodeStatuses that one node fills.
const MOST_STATUSES: usize = 16;
/// No status is written more often.
const SHORTEST_PERIOD: Duration = Duration::from_secs(5);
/// The most peers of a family in a status.
const MOST_PEERS: usize = 1000;
/// The most routes of a family in a status: an object of the API must stay well below 1 MiB.
pub const MOST_ROUTES: usize = 1000;

/// The objects that ask this node, by name.
pub(super) fn wanted(world: &World) -> impl Iterator<Item = (String, Says)> {
    let asked = world.objects.node_statuses().filter(|asked| asked.node == world.node && !asked.classes.is_empty());
    let says = asked.filter_map(|asked| {
        let period = asked.update_period?.max(SHORTEST_PERIOD);
        Some((asked.meta.name.clone(), Says::NodeStatus { classes: asked.classes.clone(), period }))
    });
    says.take(MOST_STATUSES)
}

/// What a status is made of, as both loops show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The node and its peers.
    pub node: NodeStatusView,
    /// The speaker's candidates, the first of each family.
    pub paths: Vec<RouteView>,
    /// Routes of ours in the kernel, the first of each family.
    pub kernel: Vec<InstalledRouteView>,
}

/// `status` of a CalicoNodeStatus. `now` is RFC 3339.
pub fn status(classes: &[StatusClass], survey: &Survey, now: &str) -> Value {
    let mut status = Map::from_iter([("lastUpdated".to_string(), json!(now))]);
    for class in classes {
        let (field, value) = match class {
            StatusClass::Agent => ("agent", agent(&survey.node)),
            StatusClass::Bgp => ("bgp", bgp(&survey.node.peers)),
            StatusClass::Routes => ("routes", routes(survey)),
        };
        status.insert(field.into(), value);
    }
    Value::Object(status)
}

/// The field names speak of BIRD; the speaker is one for both families.
fn agent(node: &NodeStatusView) -> Value {
    let speaks = |family: Family| node.asn.is_some() && node.addresses.iter().any(|a| Family::of(*a) == family);
    let daemon = |family: Family| {
        let state = if speaks(family) { "Ready" } else { "NotReady" };
        let router_id = node.router_id.map(|id| id.to_string()).unwrap_or_default();
        let reconfigured = node.configured.as_ref().unwrap_or(&node.since);
        json!({
            "state": state,
            "version": format!("margay {}", node.version),
            "routerID": router_id,
            "lastBootTime": node.since,
            "lastReconfigurationTime": reconfigured,
        })
    };
    json!({ "birdV4": daemon(Family::Ipv4), "birdV6": daemon(Family::Ipv6) })
}

fn bgp(peers: &[PeerView]) -> Value {
    let mut fields = Map::new();
    for (family, version) in [(Family::Ipv4, "V4"), (Family::Ipv6, "V6")] {
        let of_family: Vec<&PeerView> = peers.iter().filter(|peer| Family::of(peer.peer_address) == family).collect();
        let up = of_family.iter().filter(|peer| peer.state == SessionState::Established).count();
        fields.insert(format!("numberEstablished{version}"), json!(up));
        fields.insert(format!("numberNotEstablished{version}"), json!(of_family.len() - up));
        let views: Vec<Value> = of_family.into_iter().take(MOST_PEERS).map(peer).collect();
        fields.insert(format!("peers{version}"), Value::Array(views));
    }
    Value::Object(fields)
}

fn peer(view: &PeerView) -> Value {
    let kind = match view.kind {
        PeerKind::Mesh => "NodeMesh",
        PeerKind::Global => "GlobalPeer",
        PeerKind::Node => "NodePeer",
    };
    json!({ "peerIP": view.peer_address, "type": kind, "state": view.state.name(), "since": view.since })
}

/// What is in the kernel (FIB) first, then the speaker's paths that are not (RIB).
fn routes(survey: &Survey) -> Value {
    let best = survey.paths.iter().filter(|path| path.best);
    let best: BTreeMap<Prefix, Option<IpAddr>> = best.map(|path| (path.prefix, path.peer)).collect();
    let of_family = |family: Family| {
        let fib = survey.kernel.iter().filter(|route| route.installed && route.prefix.family() == family);
        let fib = fib.map(|route| in_kernel(route, best.get(&route.prefix).copied().flatten(), &survey.node.peers));
        let rib = survey.paths.iter().filter(|path| path.prefix.family() == family && !path.best && !path.multipath);
        let rib =
            rib.map(|path| route("RIB", path.prefix, path.next_hop, None, learned_from(path.peer, &survey.node.peers)));
        Value::Array(fib.chain(rib).take(MOST_ROUTES).collect())
    };
    json!({ "routesV4": of_family(Family::Ipv4), "routesV6": of_family(Family::Ipv6) })
}

fn in_kernel(view: &InstalledRouteView, from: Option<IpAddr>, peers: &[PeerView]) -> Value {
    let learned = match view.protocol {
        RouteSource::Bgp => learned_from(from, peers),
        RouteSource::Pod => json!({ "sourceType": "Kernel" }),
        RouteSource::Block | RouteSource::Aggregate | RouteSource::Gateway => json!({ "sourceType": "Static" }),
    };
    let interface = view.interfaces.first().map(String::as_str);
    route("FIB", view.prefix, view.next_hops.first().copied(), interface, learned)
}

fn learned_from(peer: Option<IpAddr>, peers: &[PeerView]) -> Value {
    let Some(address) = peer else { return json!({ "sourceType": "Static" }) };
    let mesh = peers.iter().any(|peer| peer.peer_address == address && peer.kind == PeerKind::Mesh);
    json!({ "sourceType": if mesh { "NodeMesh" } else { "BGPPeer" }, "peerIP": address })
}

fn route(kind: &str, to: Prefix, gateway: Option<IpAddr>, interface: Option<&str>, learned_from: Value) -> Value {
    let gateway = gateway.map(|address| address.to_string()).unwrap_or_default();
    json!({
        "type": kind,
        "destination": to.to_string(),
        "gateway": gateway,
        "interface": interface.unwrap_or_default(),
        "learnedFrom": learned_from,
    })
}
