//! Graceful shutdown (RFC 8326): a node that is drained loses nobody's packets.
#![allow(clippy::unwrap_used)]

mod sim_support;

use std::net::IpAddr;

use bgp::config::{Drain, Origination, Start};
use bgp::sim::Net;
use bgp::{PeerKey, SpeakerConfig};
use model::Prefix;
use model::api::show::SessionState::{Established, Idle};
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use sim_support::{address, config, key, mesh_config, peer_with, seconds};

/// A prefix that two nodes announce.
fn shared() -> Prefix {
    "10.99.0.0/24".parse().unwrap()
}

fn drain(wait: u64) -> Option<Drain> {
    Some(Drain { wait: seconds(wait), message: "node 1 is drained".into() })
}

fn hops(net: &Net, node: usize) -> Vec<IpAddr> {
    net.node(node).kernel.get(&shared()).map(|hops| hops.iter().map(|hop| hop.address).collect()).unwrap_or_default()
}

fn received(net: &Net, node: usize, from: usize) -> RouteView {
    let question = BgpRoutes { table: BgpTable::Received, peer: Some(address(from)), within: None, after: None };
    let routes = net.node(node).speaker.as_ref().unwrap().routes(&question).routes;
    routes.into_iter().find(|row| row.prefix == shared()).unwrap()
}

/// Node 0 with two paths to one prefix, by node 1 and by node 2, which are in this AS.
fn two_ways(remote_as: u32) -> Net {
    let mut net = Net::new(1);
    let mut watcher = config(0, 64512);
    peer_with(&mut watcher, 1, remote_as);
    peer_with(&mut watcher, 2, remote_as);
    net.add(vec![address(0)], watcher);
    for node in [1, 2] {
        let mut config = config(node, remote_as);
        config.originate.insert(shared(), Origination::default());
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    net
}

/// Runs in small steps and looks at the watcher's route after each.
fn watched(net: &mut Net, time: u64) -> Vec<Vec<IpAddr>> {
    let mut seen = Vec::new();
    for _ in 0..time * 20 {
        net.run(std::time::Duration::from_millis(50));
        let now = hops(net, 0);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    seen
}

fn last_error(net: &Net, node: usize, of: PeerKey) -> String {
    let peers = net.node(node).speaker.as_ref().unwrap().peers();
    peers.into_iter().find(|peer| peer.key == of).unwrap().view.last_error.unwrap_or_default()
}

#[test]
fn rfc8326_the_other_path_is_taken_before_the_session_ends_and_there_is_always_one() {
    for remote_as in [64512, 65001] {
        let mut net = two_ways(remote_as);
        assert_eq!(hops(&net, 0), [address(1), address(2)], "both share the traffic");
        net.configure(1, |config| config.drain = drain(10));
        let seen = watched(&mut net, 5);
        assert_eq!(seen.last().unwrap(), &[address(2)], "AS {remote_as}");
        assert_eq!(net.node(0).state(key(1)), Some(Established), "the session is still up while peers turn away");
        let after = watched(&mut net, 10);
        assert_eq!(after, [[address(2)]], "nothing changes when the session ends");
        assert_eq!(net.node(0).state(key(1)).map(|state| state == Established), Some(false));
        assert!(seen.iter().all(|hops| !hops.is_empty()), "never without a way: {seen:?}");
        let told = last_error(&net, 0, key(1));
        assert!(told.contains("node 1 is drained"), "{told}");
        assert_eq!(net.node(1).reason(key(0)), "drained: this node is out of service until it is undrained");
        assert_eq!(net.faults, Vec::<String>::new());
    }
}

#[test]
fn rfc8326_4_1_a_route_that_leaves_has_local_preference_0_and_says_why() {
    let mut net = two_ways(65001);
    net.configure(1, |config| config.drain = drain(600));
    net.run(seconds(2));
    let leaving = received(&net, 0, 1);
    assert_eq!((leaving.local_pref, leaving.communities), (Some(0), vec!["graceful-shutdown".to_string()]));
    assert!(leaving.reason.contains("goes away soon"), "{}", leaving.reason);
    assert!(leaving.reason.contains("higher local preference"), "{}", leaving.reason);
    let staying = received(&net, 0, 2);
    assert_eq!((staying.local_pref, staying.communities.len()), (Some(100), 0));
}

#[test]
fn rfc8326_4_2_an_internal_peer_is_told_local_preference_0_and_the_community() {
    let mut net = two_ways(64512);
    net.configure(1, |config| config.drain = drain(600));
    net.run(seconds(2));
    let leaving = received(&net, 0, 1);
    assert_eq!((leaving.local_pref, leaving.communities), (Some(0), vec!["graceful-shutdown".to_string()]));
}

#[test]
fn a_route_that_leaves_is_used_where_there_is_no_other() {
    let mut net = two_ways(65001);
    net.configure(1, |config| config.drain = drain(600));
    net.kill(2);
    net.run(seconds(200));
    assert_eq!(hops(&net, 0), [address(1)]);
}

#[test]
fn a_drain_taken_back_in_time_ends_no_session() {
    let mut net = two_ways(65001);
    net.configure(1, |config| config.drain = drain(10));
    net.run(seconds(5));
    net.configure(1, |config| config.drain = None);
    net.run(seconds(20));
    assert_eq!(hops(&net, 0), [address(1), address(2)]);
    let ups = net.node(0).speaker.as_ref().unwrap().peers().iter().map(|p| p.view.established_count).max();
    assert_eq!(ups, Some(1));
    assert!(received(&net, 0, 1).communities.is_empty());
}

#[test]
fn a_drained_node_stays_away_until_it_is_undrained() {
    let mut net = two_ways(65001);
    net.configure(1, |config| config.drain = drain(1));
    net.run(seconds(300));
    assert_eq!(net.node(1).state(key(0)), Some(Idle), "it neither dials nor answers");
    // A peer that is new meanwhile does not bring it back, nor does a change that resets.
    net.configure(1, |config| {
        peer_with(config, 7, 65007);
        config.peers.get_mut(&key(0)).unwrap().ttl_security = Some(9);
    });
    net.run(seconds(60));
    assert_eq!((net.node(1).state(key(0)), net.node(1).state(key(7))), (Some(Idle), Some(Idle)));
    net.configure(1, |config| {
        config.drain = None;
        config.peers.get_mut(&key(0)).unwrap().ttl_security = None;
    });
    net.run(seconds(60));
    assert_eq!(hops(&net, 0), [address(1), address(2)]);
    assert!(received(&net, 0, 1).communities.is_empty());
}

#[test]
fn the_wait_of_a_drain_under_way_can_be_changed() {
    let mut net = two_ways(65001);
    net.configure(1, |config| config.drain = drain(600));
    net.run(seconds(5));
    net.configure(1, |config| config.drain = drain(10));
    net.run(seconds(4));
    assert_eq!(net.node(0).state(key(1)), Some(Established));
    net.run(seconds(2));
    assert!(last_error(&net, 0, key(1)).contains("drained"));
}

fn newborn(start: Start) -> (Net, SpeakerConfig) {
    let mut net = Net::new(3);
    let mut again = mesh_config(1, 2);
    again.graceful_restart.start = start;
    again.drain = drain(5);
    net.add(vec![address(0)], mesh_config(0, 2));
    (net, again)
}

#[test]
fn a_drained_node_that_boots_opens_no_session_and_one_whose_agent_restarts_leaves_in_order() {
    let (mut net, booted) = newborn(Start::Fresh);
    net.add(vec![address(1)], booted);
    net.run(seconds(60));
    assert_eq!(net.node(0).history.iter().filter(|change| change.state == Some(Established)).count(), 0);

    let (mut net, restarted) = newborn(Start::Restarted);
    net.add(vec![address(1)], restarted);
    net.run(seconds(3));
    assert_eq!(net.node(0).state(key(1)), Some(Established), "its peers may still have its routes");
    net.run(seconds(10));
    assert!(last_error(&net, 0, key(1)).contains("drained"));
}
