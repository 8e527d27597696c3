//! Sessions that cannot be, and what the operator reads about them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use bgp::config::Dialling;
use bgp::sim::Net;
use model::RouterId;
use model::api::show::SessionState::{Active, Connect, Established, Idle};
use sim_support::{address, asn, config, key, mesh, mesh_config, peer_with, seconds};

#[test]
fn rfc4271_6_2_a_wrong_as_is_named_on_both_sides() {
    let mut net = Net::new(1);
    let mut a = config(0, 65000);
    peer_with(&mut a, 1, 65001);
    a.peers.get_mut(&key(1)).unwrap().dial = Dialling::Passive;
    let mut b = config(1, 65002);
    peer_with(&mut b, 0, 65000);
    net.add(vec![address(0)], a);
    net.add(vec![address(1)], b);
    net.run(seconds(1));
    assert_eq!(net.node(0).reason(key(1)), "wrong AS: expected 65001, peer says 65002");
    let told = net.node(1).reason(key(0));
    assert!(told.starts_with("peer says: OPEN: bad peer AS (2/2)"), "{told}");
}

#[test]
fn a_wrong_as_does_not_hammer() {
    let mut net = Net::new(1);
    let mut a = config(0, 65000);
    peer_with(&mut a, 1, 65001);
    let mut b = config(1, 65002);
    peer_with(&mut b, 0, 65000);
    net.add(vec![address(0)], a);
    net.add(vec![address(1)], b);
    net.run(seconds(600));
    let tries = net.node(0).history.iter().filter(|change| change.state == Some(Connect)).count();
    assert!((10..60).contains(&tries), "{tries} dials in ten minutes");
}

#[test]
fn rfc6286_2_2_a_duplicate_router_id_within_one_as_is_named() {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = mesh_config(node, 2);
        config.router_id = RouterId::new(77).unwrap();
        net.add(vec![address(node)], config);
    }
    net.run(seconds(1));
    let reason = net.node(0).reason(key(1));
    assert!(
        reason.contains("duplicate router id") || reason.contains("bad BGP identifier"),
        "either side may be the first to see it: {reason}"
    );
    assert_eq!(net.node(0).established(), 0);
}

#[test]
fn rfc6286_2_1_an_external_peer_may_have_our_router_id() {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = config(node, 65000 + node as u32);
        config.router_id = RouterId::new(77).unwrap();
        peer_with(&mut config, 1 - node, 65001 - node as u32);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    assert_eq!(net.node(0).state(key(1)), Some(Established), "{}", net.node(0).reason(key(1)));
}

#[test]
fn a_peer_that_is_down_is_refused_and_tried_again() {
    let mut net = mesh(2, 1);
    net.kill(1);
    net.run(seconds(30));
    assert_eq!(net.node(0).reason(key(1)), "connection refused");
    assert!(matches!(net.node(0).state(key(1)), Some(Active | Connect)));
    net.start(1, mesh_config(1, 2));
    net.run(seconds(1));
    assert_eq!(net.node(0).state(key(1)), Some(Established), "the one that comes back dials at once");
}

#[test]
fn a_stranger_is_turned_away() {
    let mut net = Net::new(1);
    net.add(vec![address(0)], config(0, 64512));
    net.add(vec![address(1)], mesh_config(1, 2));
    net.run(seconds(1));
    assert_eq!(
        net.node(1).reason(key(0)),
        "peer closed the connection before its OPEN: it may not have this node as a peer"
    );
}

#[test]
fn two_passive_peers_wait_for_each_other_and_say_so() {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = mesh_config(node, 2);
        config.peers.values_mut().for_each(|peer| peer.dial = Dialling::Passive);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(30));
    assert_eq!(net.node(0).state(key(1)), Some(Active));
    assert_eq!(net.node(0).reason(key(1)), "passive: waiting for the peer to connect");
}

#[test]
fn rfc4486_4_too_many_prefixes_end_the_session_and_it_is_tried_again_after_a_rest() {
    let mut net = mesh(2, 1);
    net.configure(0, |config| {
        config.timers.max_prefix_restart = seconds(60);
        config.peers.get_mut(&key(1)).unwrap().max_prefixes = Some(2.into());
    });
    let many = |config: &mut bgp::SpeakerConfig| {
        for n in 100..103 {
            config.originate.insert(sim_support::block(n), Default::default());
        }
    };
    net.configure(1, many);
    net.run(seconds(2));
    assert_eq!(net.node(0).state(key(1)), Some(Idle));
    assert_eq!(net.node(0).reason(key(1)), "more than 2 prefixes received, resting for 60 s");
    assert!(net.node(0).kernel.is_empty());
    net.configure(1, |config| config.originate.retain(|prefix, _| *prefix == sim_support::block(1)));
    net.run(seconds(65));
    assert_eq!(net.node(0).state(key(1)), Some(Established));
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn a_removed_peer_hears_that_it_was_removed() {
    let mut net = mesh(2, 1);
    net.configure(0, |config| config.peers.clear());
    net.run(seconds(1));
    let last = net.node(1).speaker.as_ref().unwrap().peers()[0].view.last_error.clone();
    let words = "peer says: cease: hard reset (6/9) because cease: peer de-configured (6/3)";
    assert_eq!(last.as_deref(), Some(words));
    assert!(net.node(1).kernel.is_empty() && net.node(0).kernel.is_empty());
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn no_family_in_common_is_named() {
    let mut net = Net::new(1);
    let mut a = config(0, 65000);
    peer_with(&mut a, 1, 65001);
    a.local_ipv6 = "2001:db8::1".parse().ok();
    a.peers.get_mut(&key(1)).unwrap().families = vec![model::Family::Ipv6];
    let mut b = config(1, 65001);
    peer_with(&mut b, 0, 65000);
    b.peers.get_mut(&key(0)).unwrap().dial = Dialling::Passive;
    net.add(vec![address(0)], a);
    net.add(vec![address(1)], b);
    net.run(seconds(1));
    let reason = net.node(0).reason(key(1));
    assert!(reason.starts_with("no common address family") || reason.contains("(2/7)"), "{reason}");
}

#[test]
fn an_as_of_four_octets_is_a_peer_like_any_other() {
    let mut net = Net::new(1);
    let (a, b) = (4_200_000_001, 4_200_000_002);
    for (node, own, other) in [(0, a, b), (1, b, a)] {
        let mut config = config(node, own);
        peer_with(&mut config, 1 - node, other);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(5));
    let view = &net.node(0).speaker.as_ref().unwrap().peers()[0].view;
    assert_eq!((view.state, view.peer_as, view.accepted), (Established, Some(asn(b)), 1));
}
