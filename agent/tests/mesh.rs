//! A cluster that lives: nodes come and go, become reflectors, change their labels; passwords rotate. What each of it
//! does to the sessions of node n1, which keeps running.

#![allow(clippy::unwrap_used)]

use agent::fact::{ApiServerState, Fact, ObjectFact};
use agent::plan::bgp::bgp;
use agent::world::World;
use bgp::SpeakerConfig;
use bgp::change::{Class, changes};
use bgp::config::{Reflection, Start};
use model::object::{Document, Kind, ObjectKey, parse};

struct Cluster(World);

impl Cluster {
    /// n1 to n3, in the mesh.
    fn new() -> Cluster {
        let mut cluster = Cluster(World::new("n1".parse().unwrap()));
        (1..=3).for_each(|number| cluster.put(&node(number, "", "")));
        cluster
    }

    fn put(&mut self, objects: &str) {
        for document in parse("test.yaml", objects).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            assert!(self.0.learn(Fact::Object(Box::new(fact))).bgp);
        }
    }

    fn delete(&mut self, kind: Kind, namespace: Option<&str>, name: &str) {
        let namespace = namespace.map(str::to_string);
        assert!(self.0.learn(Fact::ObjectGone(ObjectKey { kind, namespace, name: name.into() })).bgp);
    }

    fn config(&self) -> SpeakerConfig {
        bgp(&self.0, Start::Fresh).config.unwrap()
    }

    fn problems(&self) -> Vec<String> {
        bgp(&self.0, Start::Fresh).problems
    }

    /// Does something, and says what it does to n1's sessions: those added, removed, and reset.
    fn after(&mut self, what: impl FnOnce(&mut Cluster)) -> [Vec<String>; 3] {
        let before = self.config();
        what(self);
        let changes = changes(&before, &self.config());
        let text = |keys: Vec<bgp::PeerKey>| keys.iter().map(ToString::to_string).collect();
        let reset = changes.fields.iter().filter(|change| change.class == Class::Reset);
        // A change for all peers alike would be one without a name.
        let reset: Vec<String> =
            reset.map(|change| change.peer.map_or(change.field.to_string(), |peer| peer.to_string())).collect();
        [text(changes.added.to_vec()), text(changes.removed.to_vec()), reset]
    }
}

fn node(number: u8, labels: &str, annotations: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: n{number}, labels: {{{labels}}}, annotations: \
         {{projectcalico.org/IPv4Address: 10.0.0.{number}/24{annotations}}}}}\nspec: {{podCIDRs: [10.244.{number}.0/24]}}\n"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn secret(name: &str, password: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: margay}}\nstringData: {{key: {password}}}\n"
    )
}

fn only(added: &[&str], removed: &[&str], reset: &[&str]) -> [Vec<String>; 3] {
    [added, removed, reset].map(|keys| keys.iter().map(ToString::to_string).collect())
}

const REFLECTOR: &str = ", projectcalico.org/RouteReflectorClusterID: 244.0.0.1";

#[test]
fn the_mesh_follows_nodes_that_come_and_go_and_leaves_other_sessions_alone() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.after(|cluster| cluster.put(&node(4, "", ""))), only(&["10.0.0.4"], &[], &[]));
    assert_eq!(cluster.after(|cluster| cluster.delete(Kind::Node, None, "n2")), only(&[], &["10.0.0.2"], &[]));
    let moved = node(3, "", "").replace("10.0.0.3", "10.0.0.33");
    assert_eq!(cluster.after(|cluster| cluster.put(&moved)), only(&["10.0.0.33"], &["10.0.0.3"], &[]));
}

#[test]
fn a_node_that_is_not_ready_stays_a_peer() {
    let mut cluster = Cluster::new();
    let not_ready = node(2, "", "") + "status: {conditions: [{type: Ready, status: 'False'}]}\n";
    assert_eq!(cluster.after(|cluster| cluster.put(&not_ready)), only(&[], &[], &[]));
}

#[test]
fn a_node_becomes_a_reflector_without_an_end_of_the_session_with_it() {
    let mut cluster = Cluster::new();
    cluster.put(&object("BGPPeer", "rr", "{nodeSelector: all(), peerSelector: has(route-reflector)}"));
    let reflector = node(3, "route-reflector: 'true'", REFLECTOR);
    assert_eq!(cluster.after(|cluster| cluster.put(&reflector)), only(&[], &[], &[]));
    let config = cluster.config();
    let names: Vec<&str> = config.peers.values().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["mesh n2", "rr"]);
    let off = object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false}");
    assert_eq!(cluster.after(|cluster| cluster.put(&off)), only(&[], &["10.0.0.2"], &[]));
}

#[test]
fn this_node_becomes_a_reflector_while_it_runs_and_its_peers_its_clients() {
    let mut cluster = Cluster::new();
    cluster.put(&object("BGPPeer", "rr", "{nodeSelector: all(), peerSelector: has(route-reflector)}"));
    let reflector = node(1, "route-reflector: 'true'", REFLECTOR);
    assert_eq!(cluster.after(|cluster| cluster.put(&reflector)), only(&[], &[], &[]));
    let config = cluster.config();
    assert_eq!(config.cluster_id.unwrap().to_string(), "244.0.0.1");
    assert!(config.peers.len() == 2 && config.peers.values().all(|peer| peer.reflection == Reflection::Client));
}

#[test]
fn a_change_of_labels_moves_only_the_peerings_that_the_selectors_speak_of() {
    let mut cluster = Cluster::new();
    cluster.put(&object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false}"));
    cluster.put(&object("BGPPeer", "rack", "{nodeSelector: rack == 'a', peerSelector: tor == 'a'}"));
    cluster.put(&object("BGPPeer", "edge", "{nodeSelector: rack == 'a', peerIP: 192.0.2.1, asNumber: 65000}"));
    assert_eq!(cluster.after(|cluster| cluster.put(&node(2, "tor: a", ""))), only(&[], &[], &[]));
    let own = node(1, "rack: a", "");
    assert_eq!(cluster.after(|cluster| cluster.put(&own)), only(&["10.0.0.2", "192.0.2.1"], &[], &[]));
    let other = node(3, "tor: a", "");
    assert_eq!(cluster.after(|cluster| cluster.put(&other)), only(&["10.0.0.3"], &[], &[]));
    assert_eq!(cluster.after(|cluster| cluster.put(&node(2, "", ""))), only(&[], &["10.0.0.2"], &[]));
}

#[test]
fn a_password_that_rotates_resets_its_session_and_no_other() {
    let mut cluster = Cluster::new();
    cluster.put(&secret("tor", "one"));
    let password = "{secretKeyRef: {name: tor, key: key}}";
    cluster.put(&object("BGPPeer", "tor", &format!("{{peerIP: 192.0.2.1, asNumber: 65000, password: {password}}}")));
    assert_eq!(cluster.problems(), [""; 0]);
    assert_eq!(cluster.after(|cluster| cluster.put(&secret("tor", "two"))), only(&[], &[], &["192.0.2.1"]));
}

#[test]
fn a_secret_that_is_not_there_is_named_and_its_session_waits_for_it() {
    let mut cluster = Cluster::new();
    let password = "{secretKeyRef: {name: tor, key: key}}";
    cluster.put(&object("BGPPeer", "tor", &format!("{{peerIP: 192.0.2.1, asNumber: 65000, password: {password}}}")));
    let problem = "BGPPeer/tor: spec.password: Secret tor is not there: no session with 192.0.2.1";
    assert_eq!(cluster.problems(), [problem]);
    let state = ApiServerState { namespace: "kube-system".into(), ..ApiServerState::default() };
    assert!(cluster.0.learn(Fact::ApiServer(state)).bgp);
    let problem = problem.replace("there:", "there (in kube-system, the agent's namespace):");
    assert_eq!(cluster.problems(), [problem]);
    assert_eq!(cluster.after(|cluster| cluster.put(&secret("tor", "one"))), only(&["192.0.2.1"], &[], &[]));
    let gone = |cluster: &mut Cluster| cluster.delete(Kind::Secret, Some("margay"), "tor");
    assert_eq!(cluster.after(gone), only(&[], &["192.0.2.1"], &[]));
}
