//! CalicoNodeStatus, as Calico's `api/pkg/apis/projectcalico/v3/nodestatus.go` has it.

use schemars::JsonSchema;

use super::Shown::{Always, Wide};
use super::{Definition, column, keyword, schema};
use crate::object::calico_node_status::CalicoNodeStatusSpec;

pub(super) fn definition() -> Definition {
    Definition {
        status: Some(schema::<Status>()),
        keywords: vec![keyword("spec.classes", "maxItems", 3)],
        ..Definition::new::<CalicoNodeStatusSpec>(
            "CalicoNodeStatus",
            "caliconodestatuses",
            &["nodestatus"],
            "Asks a node to write into the status how its BGP is.",
            &[
                column("Node", "string", ".spec.node", Always),
                column("Classes", "string", ".spec.classes", Wide),
                column("EstablishedV4", "integer", ".status.bgp.numberEstablishedV4", Always),
                column("NotEstablishedV4", "integer", ".status.bgp.numberNotEstablishedV4", Always),
                column("EstablishedV6", "integer", ".status.bgp.numberEstablishedV6", Wide),
                column("NotEstablishedV6", "integer", ".status.bgp.numberNotEstablishedV6", Wide),
                column("LastUpdated", "date", ".status.lastUpdated", Always),
            ],
        )
    }
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Status {
    /// When it was written.
    #[schemars(extend("format" = "date-time"))]
    last_updated: Option<String>,
    /// The speaker.
    agent: Option<Agent>,
    /// Its sessions.
    bgp: Option<Bgp>,
    /// Its routes, and the kernel's.
    routes: Option<Routes>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Agent {
    /// As it speaks of IPv4.
    bird_v4: Option<Speaker>,
    /// As it speaks of IPv6.
    bird_v6: Option<Speaker>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Speaker {
    /// Ready or NotReady.
    state: Option<String>,
    /// Its version.
    version: Option<String>,
    /// Its router id.
    #[serde(rename = "routerID")]
    router_id: Option<String>,
    /// When it started.
    last_boot_time: Option<String>,
    /// When its configuration changed.
    last_reconfiguration_time: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Bgp {
    /// IPv4 sessions that are established.
    number_established_v4: i32,
    /// IPv4 sessions that are not.
    number_not_established_v4: i32,
    /// IPv6 sessions that are established.
    number_established_v6: i32,
    /// IPv6 sessions that are not.
    number_not_established_v6: i32,
    /// Each IPv4 session.
    peers_v4: Option<Vec<Peer>>,
    /// Each IPv6 session.
    peers_v6: Option<Vec<Peer>>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Peer {
    /// The peer's address.
    #[serde(rename = "peerIP")]
    peer_ip: Option<String>,
    /// NodeMesh, NodePeer or GlobalPeer.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The state of the session.
    state: Option<String>,
    /// Since when.
    since: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Routes {
    /// IPv4 routes.
    routes_v4: Option<Vec<Route>>,
    /// IPv6 routes.
    routes_v6: Option<Vec<Route>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Route {
    /// FIB: the kernel has it. RIB: only the speaker has it.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The prefix.
    destination: Option<String>,
    /// The next hop.
    gateway: Option<String>,
    /// The interface.
    interface: Option<String>,
    /// Where it comes from.
    learned_from: Option<Source>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Source {
    /// Kernel, Static, Direct, NodeMesh or BGPPeer.
    source_type: Option<String>,
    /// The peer, where it comes from one.
    #[serde(rename = "peerIP")]
    peer_ip: Option<String>,
}
