//! What objects say of routing policy, and the speaker's configuration that follows.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use agent::fact::{Fact, ObjectFact};
use agent::plan::bgp::{BgpPlan, bgp};
use agent::world::World;
use bgp::SpeakerConfig;
use bgp::config::{Drain, Start};
use model::object::{Document, parse};

/// The plan for node `n1`.
fn plan(objects: &str, more: Vec<Fact>) -> BgpPlan {
    let mut world = World::new("n1".parse().unwrap());
    for document in parse("test.yaml", objects).documents {
        match document {
            Document::Object(found) => world.learn(Fact::Object(Box::new(ObjectFact {
                object: found.object,
                origin: "test.yaml".into(),
                written: found.written,
            }))),
            Document::Bad(_, error) => panic!("{error}"),
        };
    }
    more.into_iter().for_each(|fact| drop(world.learn(fact)));
    bgp(&world, Start::Fresh)
}

fn config(objects: &str) -> SpeakerConfig {
    plan(objects, vec![]).config.unwrap()
}

/// The error of objects of which one is wrong.
fn wrong(objects: &str) -> String {
    let bad = parse("test.yaml", objects).documents.into_iter().find_map(|document| match document {
        Document::Bad(_, error) => Some(error.to_string()),
        Document::Object(_) => None,
    });
    bad.unwrap()
}

fn node(annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: n1, annotations: {{projectcalico.org/IPv4Address: 10.0.0.1/24\
         {annotations}}}}}\nspec: {{podCIDRs: [10.244.1.0/24]}}\n"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn a_node_is_drained_by_its_annotation_or_by_an_operator() {
    assert_eq!(config(&node("")).drain, None);
    assert_eq!(config(&node(", projectcalico.org/GracefulShutdown: 'false'")).drain, None);
    let annotated = node(", projectcalico.org/GracefulShutdown: 'true'");
    let wait = Duration::from_secs(10);
    assert_eq!(config(&annotated).drain, Some(Drain { wait, message: "node n1 is taken out of service".into() }));
    let drained = plan(&node(""), vec![Fact::Drained(Some("new rack".into()))]).config.unwrap();
    assert_eq!(drained.drain, Some(Drain { wait, message: "new rack".into() }));
    let undrained = plan(&node(""), vec![Fact::Drained(Some(String::new())), Fact::Drained(None)]).config.unwrap();
    assert_eq!(undrained.drain, None);
    let error = wrong(&node(", projectcalico.org/GracefulShutdown: 'yes'"));
    let meant = "metadata.annotations[projectcalico.org/GracefulShutdown]: \"yes\" is neither true nor false";
    assert_eq!(error, format!("test.yaml: Node/n1: {meant}"));
}

#[test]
fn the_time_for_peers_to_turn_away_is_the_nodes_before_the_clusters() {
    let drained = node(", projectcalico.org/GracefulShutdown: 'true'");
    let wait = |objects: &str| config(objects).drain.unwrap().wait.as_secs();
    let default = object("BGPConfiguration", "default", "{gracefulShutdownTime: 30s}");
    let own = object("BGPConfiguration", "node.n1", "{gracefulShutdownTime: 2m}");
    let other = object("BGPConfiguration", "node.n2", "{gracefulShutdownTime: 3m}");
    assert_eq!(wait(&(drained.clone() + &default + &other)), 30);
    assert_eq!(wait(&(drained + &default + &own)), 120);
    let error = wrong(&object("BGPConfiguration", "default", "{gracefulShutdownTime: 2h}"));
    assert_eq!(error, "test.yaml: BGPConfiguration/default: spec.gracefulShutdownTime: must be at most 1h");
}

fn peer(spec: &str) -> String {
    node("") + &object("BGPPeer", "tor", &format!("{{peerIP: 10.0.0.254, asNumber: 65001{spec}}}"))
}

#[test]
fn a_bgppeer_may_have_a_local_as_and_allow_its_own_in_paths() {
    let of = |spec: &str| {
        let config = config(&peer(spec));
        let peer = config.peers.into_values().next().unwrap();
        (peer.local_as.map(|asn| asn.value()), peer.allowed_own_as)
    };
    assert_eq!(of(""), (None, 0));
    assert_eq!(of(", localASNumber: 65100, numAllowedLocalASNumbers: 2"), (Some(65100), 2));
    assert_eq!(of(", localASNumber: '64512.1'"), (Some(64512 << 16 | 1), 0));
    for (spec, problem) in [
        (", localASNumber: 0", "spec.localASNumber: AS number 0 is reserved (RFC 7607)"),
        (", numAllowedLocalASNumbers: -1", "spec.numAllowedLocalASNumbers: must be 0 to 255"),
        (", numAllowedLocalASNumbers: 256", "spec.numAllowedLocalASNumbers: must be 0 to 255"),
    ] {
        assert_eq!(wrong(&peer(spec)), format!("test.yaml: BGPPeer/tor: {problem}"));
    }
}

#[test]
fn a_reflectors_client_is_who_is_in_its_local_as() {
    use bgp::config::Reflection;
    let reflector = node(", projectcalico.org/RouteReflectorClusterID: 244.0.0.1");
    for (spec, reflection) in [(", localASNumber: 65001", Reflection::Client), ("", Reflection::None)] {
        let spec = format!("{{peerIP: 10.0.0.254, asNumber: 65001{spec}}}");
        let config = config(&(reflector.clone() + &object("BGPPeer", "tor", &spec)));
        assert_eq!(config.peers.values().next().unwrap().reflection, reflection);
    }
}

#[test]
fn the_long_lived_restart_time_is_the_peers_before_the_nodes_before_the_clusters() {
    let second = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n2, annotations: {projectcalico.org/IPv4Address: \
                  10.0.0.2/24}}\nspec: {podCIDRs: [10.244.2.0/24]}\n";
    let of = |spec: &str, more: &str| -> Vec<Option<u64>> {
        let config = config(&(peer(spec) + second + more));
        config.peers.values().map(|peer| peer.long_lived_restart_time.map(|time| time.as_secs())).collect()
    };
    let default = object("BGPConfiguration", "default", "{longLivedRestartTime: 1h}");
    let own = object("BGPConfiguration", "node.n1", "{longLivedRestartTime: 2h}");
    assert_eq!(of("", ""), [None, None]);
    assert_eq!(of(", longLivedRestartTime: 24h", ""), [None, Some(86_400)], "the mesh, and the router");
    assert_eq!(of(", longLivedRestartTime: 24h", &default), [Some(3600), Some(86_400)]);
    assert_eq!(of("", &(default.clone() + &own)), [Some(7200), Some(7200)]);
    assert_eq!(of(", longLivedRestartTime: 0s", &default), [Some(3600), Some(0)]);
    let problem = "spec.longLivedRestartTime: must be at most 16777215s (RFC 9494 §3.1)";
    assert_eq!(wrong(&peer(", longLivedRestartTime: 4661h")), format!("test.yaml: BGPPeer/tor: {problem}"));
}

#[test]
fn communities_of_all_kinds_go_with_own_prefixes_and_a_nodes_own_list_replaces_the_clusters() {
    let of = |more: &str| {
        let config = config(&(node("") + more));
        let own = config.originate.into_values().next().unwrap();
        (own.communities, own.large_communities)
    };
    let list = |name: &str, cidr: &str, communities: &str| {
        let named = "communities: [{name: blue, value: '65000:1'}, {name: big, value: '4200000000:1:2'}]";
        let spec = format!("{{{named}, prefixAdvertisements: [{{cidr: '{cidr}', communities: [{communities}]}}]}}");
        object("BGPConfiguration", name, &spec)
    };
    let blue = 65000 << 16 | 1;
    let default = list("default", "10.244.0.0/16", "blue, big, '65000:2', '65000:1'");
    assert_eq!(of(&default), (vec![blue, blue + 1], vec![[4_200_000_000, 1, 2]]), "each once");
    assert_eq!(of(&list("default", "10.245.0.0/16", "blue")), (vec![], vec![]), "of another prefix");
    let own = list("node.n1", "10.244.1.0/24", "'65535:65281'");
    assert_eq!(of(&(default.clone() + &own)), (vec![0xffff_ff01], vec![]), "instead of the cluster's");
    let ipv6 = list("node.n1", "fd00::/8", "'1:1'");
    assert_eq!(of(&(default.clone() + &ipv6)).0, [blue, blue + 1], "of the other family");
    let other = list("node.n2", "10.244.1.0/24", "'1:1'");
    assert_eq!(of(&(default + &other)).0, [blue, blue + 1], "of another node");
}

#[test]
fn aggregates_are_the_nodes_before_the_clusters() {
    use bgp::config::{Aggregate, Specifics};
    let default = object(
        "BGPConfiguration",
        "default",
        "{communities: [{name: blue, value: '65000:1'}], aggregates: [{cidr: 10.244.0.0/16, summaryOnly: true, \
         communities: [blue, '1:2:3']}, {cidr: 'fd00::/48'}]}",
    );
    let own = object("BGPConfiguration", "node.n1", "{aggregates: [{cidr: 10.244.0.0/16}]}");
    let first = |objects: &str| config(objects).aggregates.into_values().next().unwrap();
    let of_cluster = Aggregate {
        specifics: Specifics::Suppressed,
        communities: vec![65000 << 16 | 1],
        large_communities: vec![[1, 2, 3]],
    };
    assert_eq!(first(&(node("") + &default)), of_cluster);
    assert_eq!(first(&(node("") + &default + &own)), Aggregate::default());
    assert_eq!(config(&(node("") + &default + &own)).aggregates.len(), 2);
    for (list, problem) in [
        ("{cidr: 0.0.0.0/0}", "spec.aggregates[0].cidr: must be neither a default route nor one address"),
        ("{cidr: 10.0.0.0/8}, {cidr: 10.0.0.0/8}", "spec.aggregates[1].cidr: is there twice"),
        (
            "{cidr: 10.0.0.0/8, communities: [red]}",
            "spec.aggregates[0].communities: \"red\" is not a community (aa:nn or aa:nn:mm), nor a name under \
             spec.communities",
        ),
    ] {
        let error = wrong(&object("BGPConfiguration", "default", &format!("{{aggregates: [{list}]}}")));
        assert_eq!(error, format!("test.yaml: BGPConfiguration/default: {problem}"));
    }
}
