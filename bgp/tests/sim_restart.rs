//! Graceful restart in both roles (RFC 4724), as kernels see it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use bgp::config::Start;
use bgp::sim::Net;
use model::api::show::SessionState::Established;
use sim_support::{address, block, config, key, mesh, mesh_config, peer_with, seconds};

/// Kernel writes of every node so far.
fn writes(net: &Net) -> Vec<usize> {
    net.nodes().map(|(_, node)| node.kernel_writes).collect()
}

#[test]
fn rfc4724_kill_minus_9_and_restart_rewrite_not_one_kernel_route_anywhere() {
    for seed in 0..20 {
        let mut net = mesh(4, seed);
        let before = writes(&net);
        net.kill(0);
        net.run(seconds(2));
        let mut again = mesh_config(0, 4);
        again.graceful_restart.start = Start::Restarted;
        net.start(0, again);
        net.run(seconds(30));
        assert_eq!(net.node(0).established(), 3, "seed {seed}");
        assert!(net.node(0).in_sync, "seed {seed}");
        assert_eq!(writes(&net), before, "seed {seed}");
        assert_eq!(net.faults, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn rfc4724_4_1_the_deferral_ends_as_soon_as_every_reachable_peer_has_sent_end_of_rib() {
    let mut net = mesh(4, 5);
    net.kill(0);
    net.kill(3);
    net.run(seconds(1));
    let mut again = mesh_config(0, 4);
    again.graceful_restart.start = Start::Restarted;
    net.start(0, again);
    net.run(seconds(1));
    assert!(net.node(0).in_sync, "a dead peer, which refuses connections, does not hold it");
}

#[test]
fn rfc4724_4_1_the_deferral_ends_after_ten_seconds_when_a_peer_never_answers() {
    let mut net = Net::new(1);
    let mut restarted = mesh_config(0, 2);
    restarted.graceful_restart.start = Start::Restarted;
    restarted.timers.connect_retry = seconds(60);
    net.add(vec![address(0)], restarted);
    net.add(vec![address(1)], mesh_config(1, 2));
    net.cut(0, 1);
    net.run(seconds(9));
    assert!(!net.node(0).in_sync);
    net.run(seconds(2));
    assert!(net.node(0).in_sync);
}

#[test]
fn rfc4724_4_2_routes_of_a_peer_that_does_not_come_back_go_after_its_restart_time() {
    let mut net = Net::new(2);
    for node in 0..2 {
        let mut config = mesh_config(node, 2);
        config.graceful_restart.restart_time = seconds(20);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(5));
    net.kill(1);
    net.run(seconds(19));
    assert_eq!(net.node(0).kernel.len(), 1, "kept while it may come back");
    let stale = net.node(0).speaker.as_ref().unwrap().peers()[0].view.stale;
    assert_eq!(stale, 1);
    net.run(seconds(3));
    assert!(net.node(0).kernel.is_empty());
}

#[test]
fn rfc4724_4_2_what_a_restarted_peer_does_not_announce_again_goes_at_its_end_of_rib() {
    let mut net = mesh(2, 3);
    net.kill(1);
    net.run(seconds(1));
    let mut again = mesh_config(1, 2);
    again.graceful_restart.start = Start::Restarted;
    again.originate.clear();
    again.originate.insert(block(9), Default::default());
    net.start(1, again);
    net.run(seconds(12));
    assert_eq!(net.beliefs()[0].keys().collect::<Vec<_>>(), [&block(9).to_string()]);
}

#[test]
fn rfc4724_4_2_a_peer_that_lost_its_forwarding_state_keeps_nothing() {
    let mut net = mesh(2, 3);
    net.kill(1);
    net.run(seconds(1));
    assert_eq!(net.node(0).kernel.len(), 1);
    let mut again = mesh_config(1, 2);
    again.originate.clear();
    net.start(1, again);
    net.run(seconds(1));
    assert_eq!(net.node(0).state(key(1)), Some(Established));
    assert!(net.node(0).kernel.is_empty(), "a fresh start says F=0");
}

#[test]
fn an_administrative_shutdown_takes_the_routes_away_at_once_and_says_why() {
    let mut net = mesh(2, 4);
    net.input(1, bgp::Input::Shutdown { message: "moving house".into() });
    net.run(seconds(1));
    assert!(net.node(0).kernel.is_empty());
    let told = net.node(0).speaker.as_ref().unwrap().peers()[0].view.last_error.clone().unwrap();
    assert!(told.contains("moving house"), "{told}");
}

#[test]
fn a_session_that_breaks_without_restart_comes_back_and_no_kernel_route_is_rewritten() {
    for seed in 0..20 {
        let mut net = mesh(3, seed);
        let before = writes(&net);
        net.reset(0, 1);
        net.run(seconds(10));
        assert_eq!(net.node(0).established(), 2, "seed {seed}");
        assert_eq!(writes(&net), before, "seed {seed}");
    }
}

#[test]
fn an_external_router_that_restarts_keeps_its_routes_in_our_kernel() {
    let mut net = Net::new(9);
    let mut node = config(0, 64512);
    peer_with(&mut node, 1, 65000);
    let mut tor = config(1, 65000);
    peer_with(&mut tor, 0, 64512);
    net.add(vec![address(0)], node);
    net.add(vec![address(1)], tor.clone());
    net.run(seconds(5));
    assert_eq!(net.node(0).kernel.len(), 1);
    let before = net.node(0).kernel_writes;
    net.kill(1);
    net.run(seconds(5));
    tor.graceful_restart.start = Start::Restarted;
    net.start(1, tor);
    net.run(seconds(15));
    assert_eq!(net.node(0).kernel_writes, before);
    assert_eq!(net.node(0).state(key(1)), Some(Established));
}
