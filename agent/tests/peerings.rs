//! What BGPPeers say of their sessions, and the speaker's configuration that follows.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use agent::fact::{Fact, ObjectFact};
use agent::plan::bgp::{BgpPlan, bgp};
use agent::world::World;
use bgp::PeerConfig;
use bgp::config::{Excess, MaxPrefixes, PeerKey, Role, RoleCheck, Start};
use model::object::{Document, parse};

const NODES: &str = "
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {side: left}
  annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/ASNumber: '65001'}
---
apiVersion: v1
kind: Node
metadata:
  name: n2
  labels: {side: right}
  annotations: {projectcalico.org/IPv4Address: 10.0.0.2/24, projectcalico.org/ASNumber: '65002'}
";

/// The plan for a node, with this BGPPeer.
fn plan(node: &str, spec: &str) -> BgpPlan {
    let mut world = World::new(node.parse().unwrap());
    let peer = format!("---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{name: p}}\nspec: {spec}\n");
    for document in parse("test.yaml", &(NODES.to_string() + &peer)).documents {
        let Document::Object(found) = document else { panic!("{document:?}") };
        let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
        world.learn(Fact::Object(Box::new(fact)));
    }
    bgp(&world, Start::Fresh)
}

fn peer(plan: &BgpPlan, address: [u8; 4]) -> PeerConfig {
    plan.config.as_ref().unwrap().peers[&PeerKey::new(address.into())].clone()
}

#[test]
fn a_role_is_what_this_node_is_to_the_peer_and_the_counterpart_on_the_node_that_peers_back() {
    let one = plan("n1", "{peerIP: 10.0.0.254, asNumber: 65000, role: Customer, roleStrict: true}");
    let role = peer(&one, [10, 0, 0, 254]);
    assert_eq!((role.role, role.role_check), (Some(Role::Customer), RoleCheck::Strict));
    let both = "{nodeSelector: \"side == 'left'\", peerSelector: \"side == 'right'\", role: RouteServer}";
    assert_eq!(peer(&plan("n1", both), [10, 0, 0, 2]).role, Some(Role::RouteServer));
    assert_eq!(peer(&plan("n2", both), [10, 0, 0, 1]).role, Some(Role::RouteServerClient));
}

#[test]
fn rfc9234_4_1_a_role_towards_a_peer_of_the_own_as_is_said_to_be_of_no_use() {
    let plan = plan("n1", "{peerIP: 10.0.0.254, asNumber: 65001, role: Peer}");
    let problem = "BGPPeer/p: spec.role: is for peers in another AS (RFC 9234 §4.1): not used with 10.0.0.254";
    assert_eq!(plan.problems, [problem]);
}

#[test]
fn a_bound_of_prefixes_is_warned_of_dropped_at_or_restarted_after_as_its_object_says() {
    let bound = |more: &str| {
        let spec = format!("{{peerIP: 10.0.0.254, asNumber: 65000, maxPrefixes: 100{more}}}");
        peer(&plan("n1", &spec), [10, 0, 0, 254]).max_prefixes.unwrap()
    };
    assert_eq!(bound(""), 100.into(), "as it always was");
    assert_eq!(bound(", maxPrefixesAction: Drop").action, Excess::Drop);
    let warns = MaxPrefixes { limit: 100, warn_at: Some(80), action: Excess::Warn };
    assert_eq!(bound(", maxPrefixesAction: Warn, maxPrefixesWarning: 80"), warns);
    let soon = Excess::Restart(Some(Duration::from_secs(300)));
    assert_eq!(bound(", maxPrefixesAction: Restart, maxPrefixesRestartTime: 5m").action, soon);
}
