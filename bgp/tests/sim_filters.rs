//! Filters in force: what they let through, what they change, and that a change of theirs resets nothing.
#![allow(clippy::unwrap_used)]

mod sim_support;

use bgp::SpeakerConfig;
use bgp::config::{ExportPolicy, ImportPolicy, Interface, Origination};
use bgp::sim::Net;
use model::Prefix;
use model::api::show::{BgpRoutes, BgpTable, FilterTest, Judged, RouteView};
use model::filter::{Direction, Filters};
use model::object::{BgpFilter, Document, Object, parse};
use sim_support::{address, asn, block, config, key, peer_with, seconds};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn filter(name: &str, spec: &str) -> BgpFilter {
    let text =
        format!("apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {{name: {name}}}\nspec: {{{spec}}}");
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => match found.object {
            Object::BgpFilter(filter) => filter,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn filters(spec: &str) -> Filters {
    let filter = filter("f", spec);
    Filters::new([("f", Some(&filter))].into_iter())
}

/// Puts filters between a node and one of its peers, at run time.
fn put(net: &mut Net, node: usize, peer: usize, filters: Filters) {
    net.configure(node, |config| config.peers.get_mut(&key(peer)).unwrap().filters = filters);
    net.run(seconds(5));
}

fn rows(net: &Net, node: usize, table: BgpTable, of: &str) -> Vec<RouteView> {
    let question = BgpRoutes { table, peer: None, within: None, after: None };
    let routes = net.node(node).speaker.as_ref().unwrap().routes(&question).routes;
    routes.into_iter().filter(|row| row.prefix == prefix(of)).collect()
}

fn row(net: &Net, node: usize, of: &str) -> RouteView {
    rows(net, node, BgpTable::Received, of).pop().unwrap()
}

fn hops(net: &Net, node: usize, of: &str) -> Vec<String> {
    net.node(node).beliefs().get(of).cloned().unwrap_or_default()
}

/// How often sessions of a node were established, in order of peer.
fn established(net: &Net, node: usize) -> Vec<u64> {
    let peers = net.node(node).speaker.as_ref().unwrap().peers();
    peers.iter().map(|peer| peer.view.established_count).collect()
}

fn originates(config: &mut SpeakerConfig, prefixes: &[&str]) {
    config.originate.extend(prefixes.iter().map(|text| (prefix(text), Origination::default())));
}

fn open(config: &mut SpeakerConfig, peer: usize) {
    let peer = config.peers.get_mut(&key(peer)).unwrap();
    (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
}

/// Node 0, AS 64512, between router 1, AS 65001, which announces a default route and more, and router 2, AS 65002.
fn between_two_routers() -> Net {
    let mut net = Net::new(1);
    let mut node = config(0, 64512);
    peer_with(&mut node, 1, 65001);
    peer_with(&mut node, 2, 65002);
    net.add(vec![address(0)], node);
    for router in [1, 2] {
        let mut config = config(router, 65000 + router as u32);
        peer_with(&mut config, 0, 64512);
        open(&mut config, 0);
        if router == 1 {
            originates(&mut config, &["0.0.0.0/0", "192.0.2.0/24", "198.51.100.0/24", "169.254.7.0/24"]);
        }
        net.add(vec![address(router)], config);
    }
    net.run(seconds(10));
    net
}

#[test]
fn a_filter_lets_the_default_route_in_and_a_prefix_not_and_no_session_is_reset() {
    let mut net = between_two_routers();
    let before = established(&net, 0);
    assert_eq!(row(&net, 0, "0.0.0.0/0").reason, "refused: a default route");
    put(
        &mut net,
        0,
        1,
        filters(
            "importV4: [{action: Accept, cidr: 0.0.0.0/0, matchOperator: Equal}, \
                        {action: Reject, cidr: 192.0.2.0/24, matchOperator: In}]",
        ),
    );
    let router = [address(1).to_string()];
    assert_eq!(hops(&net, 0, "0.0.0.0/0"), router);
    assert!(hops(&net, 0, "192.0.2.0/24").is_empty());
    assert_eq!(row(&net, 0, "192.0.2.0/24").reason, "refused by rule 2 of importV4 in BGPFilter/f");
    assert_eq!(hops(&net, 0, "198.51.100.0/24"), router, "no rule matches: the default policy");
    put(&mut net, 0, 1, Filters::default());
    assert!(hops(&net, 0, "0.0.0.0/0").is_empty());
    assert_eq!(hops(&net, 0, "192.0.2.0/24"), router);
    assert_eq!(established(&net, 0), before, "a session was reset");
}

#[test]
fn no_filter_lets_in_martians_or_loops() {
    let mut net = between_two_routers();
    put(&mut net, 0, 1, filters("importV4: [{action: Accept}]"));
    assert!(row(&net, 0, "169.254.7.0/24").reason.starts_with("refused: martian"));
    put(&mut net, 0, 2, filters("importV4: [{action: Accept}]"));
    assert!(row(&net, 0, &block(2).to_string()).best);
    put(&mut net, 2, 0, filters("exportV4: [{action: Accept, operations: [{prependASPath: {prefix: [64512]}}]}]"));
    assert_eq!(row(&net, 0, &block(2).to_string()).reason, "refused: own AS in AS path (loop)");
}

#[test]
fn an_export_filter_decides_before_the_default_policy_and_no_session_is_reset() {
    let mut net = between_two_routers();
    let before = (established(&net, 0), established(&net, 2));
    assert!(hops(&net, 2, "192.0.2.0/24").is_empty(), "a node is no transit");
    put(
        &mut net,
        0,
        2,
        filters(
            "exportV4: [{action: Accept, source: RemotePeers, cidr: 192.0.2.0/24, matchOperator: In}, \
                        {action: Reject, cidr: 10.244.0.0/16, matchOperator: In}]",
        ),
    );
    assert_eq!(hops(&net, 2, "192.0.2.0/24"), [address(0).to_string()]);
    assert!(hops(&net, 2, "198.51.100.0/24").is_empty());
    assert!(hops(&net, 2, &block(0).to_string()).is_empty(), "our own block is withheld");
    let told = rows(&net, 0, BgpTable::Advertised, "192.0.2.0/24");
    assert_eq!(told[0].reason, format!("learned from {}, accepted by rule 1 of exportV4 in BGPFilter/f", address(1)));
    put(&mut net, 0, 2, Filters::default());
    assert!(hops(&net, 2, "192.0.2.0/24").is_empty());
    assert_eq!(hops(&net, 2, &block(0).to_string()), [address(0).to_string()]);
    assert_eq!((established(&net, 0), established(&net, 2)), before, "a session was reset");
}

#[test]
fn between_internal_peers_no_filter_makes_a_reflector() {
    let mut net = Net::new(1);
    let mut hub = config(0, 64512);
    (1..=2).for_each(|node| peer_with(&mut hub, node, 64512));
    net.add(vec![address(0)], hub);
    for node in 1..=2 {
        let mut config = config(node, 64512);
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    put(&mut net, 0, 2, filters("exportV4: [{action: Accept}]"));
    assert!(hops(&net, 2, &block(1).to_string()).is_empty());
    assert_eq!(hops(&net, 2, &block(0).to_string()), [address(0).to_string()]);
}

#[test]
fn operations_change_what_comes_in_and_what_goes_out() {
    let mut net = between_two_routers();
    put(
        &mut net,
        0,
        1,
        filters(
            "importV4: [{action: Accept, cidr: 192.0.2.0/24, matchOperator: Equal, operations: [\
                {addCommunity: {value: '65000:7'}}, {addCommunity: {value: '65000:1:2'}}, {setPriority: {value: 512}}]}]",
        ),
    );
    let received = row(&net, 0, "192.0.2.0/24");
    assert_eq!(received.communities, ["65000:7"]);
    assert_eq!(received.large_communities, ["65000:1:2"]);
    assert_eq!(received.local_pref, Some(2_147_483_647 - 512));
    assert_eq!(row(&net, 0, "198.51.100.0/24").communities, [""; 0]);
    put(
        &mut net,
        0,
        2,
        filters(
            "exportV4: [{action: Accept, communities: {values: ['65000:7']}, operations: [\
                {prependASPath: {prefix: [65010, 65011]}}, {addCommunity: {value: '65000:8'}}]}]",
        ),
    );
    let told = row(&net, 2, "192.0.2.0/24");
    let path: Vec<String> = told.as_path.iter().map(|item| serde_json::to_string(item).unwrap()).collect();
    assert_eq!(path, ["64512", "65010", "65011", "65001"]);
    assert_eq!(told.communities, ["65000:7", "65000:8"]);
    assert_eq!(row(&net, 2, &block(0).to_string()).communities, [""; 0], "one rule's operations are for its routes");
    // Without the import filter the route is as it was sent, and no longer matches the export filter.
    put(&mut net, 0, 1, Filters::default());
    assert_eq!(row(&net, 0, "192.0.2.0/24").communities, [""; 0]);
    assert!(hops(&net, 2, "192.0.2.0/24").is_empty());
}

#[test]
fn a_priority_that_is_set_decides_between_paths() {
    let mut net = Net::new(1);
    let mut node = config(0, 64512);
    for router in [1, 2] {
        peer_with(&mut node, router, 65000 + router as u32);
        let spec =
            format!("importV4: [{{action: Accept, operations: [{{setPriority: {{value: {}}}}}]}}]", 1024 / router);
        node.peers.get_mut(&key(router)).unwrap().filters = filters(&spec);
    }
    net.add(vec![address(0)], node);
    for router in [1, 2] {
        let mut config = config(router, 65000 + router as u32);
        originates(&mut config, &["192.0.2.0/24"]);
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(router)], config);
    }
    net.run(seconds(10));
    assert_eq!(hops(&net, 0, "192.0.2.0/24"), [address(2).to_string()], "the lower priority is preferred");
}

#[test]
fn while_a_filter_does_not_exist_the_session_is_up_and_carries_nothing() {
    let mut net = between_two_routers();
    let before = established(&net, 0);
    put(&mut net, 0, 1, Filters::new([("gone", None)].into_iter()));
    assert!(hops(&net, 0, "192.0.2.0/24").is_empty());
    assert!(hops(&net, 1, &block(0).to_string()).is_empty());
    let reason = "refused by BGPFilter/gone, which does not exist: nothing passes until it does";
    assert_eq!(row(&net, 0, "192.0.2.0/24").reason, reason);
    put(&mut net, 0, 1, filters("importV4: [{action: Accept}]"));
    assert_eq!(hops(&net, 0, "192.0.2.0/24"), [address(1).to_string()]);
    assert_eq!(hops(&net, 1, &block(0).to_string()), [address(0).to_string()]);
    assert_eq!(established(&net, 0), before, "a session was reset");
}

#[test]
fn a_rule_for_an_interface_looks_at_where_the_next_hop_is() {
    let mut net = between_two_routers();
    put(&mut net, 0, 1, filters("importV4: [{action: Reject, interface: 'eth*'}]"));
    assert_eq!(hops(&net, 0, "192.0.2.0/24"), [address(1).to_string()], "nobody knows where it leads");
    let interface = |name: &str| Interface { subnet: prefix("10.0.0.0/24"), name: name.into() };
    net.configure(0, |config| config.interfaces = vec![interface("eth1")]);
    net.run(seconds(5));
    assert!(hops(&net, 0, "192.0.2.0/24").is_empty());
    net.configure(0, |config| config.interfaces = vec![interface("bond0")]);
    net.run(seconds(5));
    assert_eq!(hops(&net, 0, "192.0.2.0/24"), [address(1).to_string()]);
}

#[test]
fn filter_test_names_the_rule_that_decides_and_what_comes_of_it() {
    let mut net = between_two_routers();
    put(
        &mut net,
        0,
        1,
        filters(
            "importV4: [{action: Reject, cidr: 192.0.2.0/24, matchOperator: In}, \
                        {action: Accept, cidr: 0.0.0.0/0, matchOperator: In, prefixLength: {max: 16}}, \
                        {action: Accept, cidr: 169.254.0.0/16, matchOperator: In}], \
             exportV4: [{action: Reject, cidr: 10.244.0.0/16, matchOperator: In}]",
        ),
    );
    let test = |peer: String, of: &str, direction| {
        let question = FilterTest { peer, prefix: prefix(of), direction: Some(direction) };
        let mut views = net.node(0).speaker.as_ref().unwrap().filter_test(&question);
        assert_eq!(views.len(), 1);
        views.pop().unwrap()
    };
    let import = |of: &str| test(address(1).to_string(), of, Direction::Import);
    let export = |of: &str| test("node 1".into(), of, Direction::Export);
    for (view, judged, rule, passes, reason) in [
        (import("192.0.2.0/24"), Judged::Route, Some(1), false, "refused by rule 1 of importV4 in BGPFilter/f"),
        (import("0.0.0.0/0"), Judged::Route, Some(2), true, "accepted by rule 2 of importV4 in BGPFilter/f"),
        (import("198.51.100.0/24"), Judged::Route, None, true, "no rule matches; the default policy accepts it"),
        (import("203.0.113.0/24"), Judged::PrefixAlone, None, true, "no rule matches; the default policy accepts it"),
        (
            import("169.254.7.0/24"),
            Judged::Route,
            Some(3),
            false,
            "rule 3 of importV4 in BGPFilter/f accepts it, but it is refused: martian (loopback, link-local, multicast or \
             reserved addresses)",
        ),
        (export("10.244.0.0/24"), Judged::Route, Some(1), false, "refused by rule 1 of exportV4 in BGPFilter/f"),
        (export("203.0.113.0/24"), Judged::PrefixAlone, None, false, "no rule matches, and there is no such route"),
    ] {
        assert_eq!((view.judged, view.rule, view.passes, view.reason.as_str()), (judged, rule, Some(passes), reason));
    }
    let nobody = FilterTest { peer: "10.9.9.9".into(), prefix: prefix("10.0.0.0/8"), direction: None };
    assert!(net.node(0).speaker.as_ref().unwrap().filter_test(&nobody).is_empty());
    assert_eq!(net.node(0).speaker.as_ref().unwrap().config().peers[&key(1)].remote_as, asn(65001).into());
}
