//! Aggregates (RFC 4271 §9.2.2.2): announced while something inside is known, with what it came through.
#![allow(clippy::unwrap_used)]

mod sim_support;

use bgp::SpeakerConfig;
use bgp::config::{Aggregate, Origination, Specifics};
use bgp::sim::Net;
use model::Prefix;
use model::api::show::{BgpRoutes, BgpTable, FilterTest, RouteView};
use model::filter::Direction;
use sim_support::{address, block, config, key, peer_with, seconds};

/// What covers all blocks.
fn pool() -> Prefix {
    "10.244.0.0/16".parse().unwrap()
}

fn aggregate(config: &mut SpeakerConfig, specifics: Specifics) {
    let how = Aggregate { specifics, communities: vec![64512 << 16 | 9], large_communities: vec![[1, 2, 3]] };
    config.aggregates.insert(pool(), how);
}

fn rows(net: &Net, node: usize, table: BgpTable) -> Vec<RouteView> {
    let question = BgpRoutes { table, peer: None, within: None, after: None };
    net.node(node).speaker.as_ref().unwrap().routes(&question).routes
}

/// What a node knows of others, in order.
fn known(net: &Net, node: usize) -> Vec<String> {
    let kernel = net.node(node).kernel.keys();
    kernel.map(ToString::to_string).collect()
}

fn row(net: &Net, node: usize, of: Prefix) -> Option<RouteView> {
    rows(net, node, BgpTable::Received).into_iter().find(|row| row.prefix == of)
}

/// Node 0 in AS 64512 with its block, between node 1 in its own AS and router 2 in AS 65002.
fn net(specifics: Option<Specifics>) -> Net {
    let mut net = Net::new(1);
    let mut node = config(0, 64512);
    peer_with(&mut node, 1, 64512);
    peer_with(&mut node, 2, 65002);
    if let Some(specifics) = specifics {
        aggregate(&mut node, specifics);
    }
    net.add(vec![address(0)], node);
    for (other, asn) in [(1, 64512), (2, 65002)] {
        let mut config = config(other, asn);
        config.originate.clear();
        config.pools.clear();
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(other)], config);
    }
    net.run(seconds(10));
    net
}

#[test]
fn rfc4271_9_2_2_2_an_aggregate_is_announced_beside_what_is_inside_with_its_aggregator() {
    let net = net(Some(Specifics::Told));
    assert_eq!(known(&net, 2), ["10.244.0.0/16", "10.244.0.0/24"]);
    let told = row(&net, 2, pool()).unwrap();
    assert_eq!((told.as_path.len(), told.origin.as_str()), (1, "igp"), "our own AS alone");
    assert_eq!((told.communities, told.large_communities), (vec!["64512:9".into()], vec!["1:2:3".into()]));
    let own = rows(&net, 0, BgpTable::Best).into_iter().find(|row| row.prefix == pool()).unwrap();
    assert!(own.reason.ends_with("; aggregate of 1 more specific routes"), "{}", own.reason);
}

#[test]
fn an_aggregate_comes_with_its_first_contributor_and_goes_with_its_last() {
    let mut net = net(Some(Specifics::Told));
    net.configure(0, |config| config.originate.clear());
    net.run(seconds(1));
    assert!(known(&net, 2).is_empty(), "nothing inside, no aggregate");
    net.configure(1, |config| drop(config.originate.insert(block(7), Origination::default())));
    net.run(seconds(1));
    assert_eq!(known(&net, 2), ["10.244.0.0/16"], "a learned route counts, and is not passed on");
    net.kill(1);
    net.run(seconds(200));
    assert!(known(&net, 2).is_empty());
}

#[test]
fn summary_only_hides_what_is_inside_from_external_peers_and_not_from_internal_ones() {
    let mut net = net(Some(Specifics::Suppressed));
    net.configure(0, |config| drop(config.originate.insert("10.99.0.0/24".parse().unwrap(), Origination::default())));
    net.run(seconds(1));
    assert_eq!(known(&net, 2), ["10.99.0.0/24", "10.244.0.0/16"]);
    assert_eq!(known(&net, 1), ["10.99.0.0/24", "10.244.0.0/16", "10.244.0.0/24"]);
    // A session that comes later hears the same.
    net.configure(0, |config| config.peers.get_mut(&key(2)).unwrap().ttl_security = Some(3));
    net.configure(2, |config| config.peers.get_mut(&key(0)).unwrap().ttl_security = Some(3));
    net.run(seconds(60));
    assert_eq!(known(&net, 2), ["10.99.0.0/24", "10.244.0.0/16"]);
}

#[test]
fn a_change_of_aggregates_is_told_without_a_session_reset() {
    let mut net = net(None);
    assert_eq!(known(&net, 2), ["10.244.0.0/24"]);
    for (specifics, meant) in [
        (Some(Specifics::Suppressed), vec!["10.244.0.0/16"]),
        (Some(Specifics::Told), vec!["10.244.0.0/16", "10.244.0.0/24"]),
        (None, vec!["10.244.0.0/24"]),
    ] {
        net.configure(0, |config| {
            config.aggregates.clear();
            specifics.into_iter().for_each(|specifics| aggregate(config, specifics));
        });
        net.run(seconds(1));
        assert_eq!(known(&net, 2), meant);
    }
    let ups = net.node(2).speaker.as_ref().unwrap().peers()[0].view.established_count;
    assert_eq!(ups, 1);
}

#[test]
fn an_aggregate_that_the_node_originates_anyway_is_its_own_route() {
    let mut net = net(Some(Specifics::Told));
    net.configure(0, |config| drop(config.originate.insert(pool(), Origination::default())));
    net.run(seconds(1));
    assert!(row(&net, 2, pool()).unwrap().communities.is_empty());
    net.configure(0, |config| drop(config.originate.remove(&pool())));
    net.run(seconds(1));
    assert_eq!(row(&net, 2, pool()).unwrap().communities, ["64512:9"]);
}

#[test]
fn filter_test_says_that_the_aggregate_is_told_in_place_of_what_is_inside() {
    let net = net(Some(Specifics::Suppressed));
    let test = |peer: usize| {
        let direction = Some(Direction::Export);
        let question = FilterTest { peer: address(peer).to_string(), prefix: block(0), direction };
        let mut views = net.node(0).speaker.as_ref().unwrap().filter_test(&question);
        views.pop().map(|view| (view.passes, view.reason)).unwrap()
    };
    assert_eq!(test(2), (Some(false), "no rule matches; its aggregate is told in its place".into()));
    assert_eq!(test(1), (Some(true), "no rule matches; the default policy tells what this node originates".into()));
}
