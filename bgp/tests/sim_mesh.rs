//! Networks of speakers: meshes that come up, lose nodes and heal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::time::Duration;

use bgp::sim::Net;
use model::api::show::SessionState;
use sim_support::{address, block, key, mesh, mesh_config, seconds};

#[test]
fn two_nodes_that_both_dial_end_up_with_one_session_and_each_others_block() {
    for seed in 0..50 {
        let net = mesh(2, seed);
        assert_eq!(net.beliefs()[0], [(block(1).to_string(), vec![address(1).to_string()])].into(), "seed {seed}");
        assert_eq!(net.beliefs()[1], [(block(0).to_string(), vec![address(0).to_string()])].into(), "seed {seed}");
        assert_eq!(net.faults, Vec::<String>::new());
    }
}

#[test]
fn a_mesh_of_twenty_nodes_converges_within_a_second() {
    let mut net = Net::new(7);
    for node in 0..20 {
        net.add(vec![address(node)], mesh_config(node, 20));
    }
    net.run(Duration::from_secs(1));
    for (id, node) in net.nodes() {
        assert_eq!(node.established(), 19, "node {id}");
        assert_eq!(node.kernel.len(), 19, "node {id}");
        assert!(node.in_sync, "node {id}");
    }
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn sessions_of_a_quiet_mesh_live_on_keepalives() {
    let mut net = mesh(3, 1);
    let before: Vec<usize> = net.nodes().map(|(_, node)| node.history.len()).collect();
    net.run(seconds(3600));
    let after: Vec<usize> = net.nodes().map(|(_, node)| node.history.len()).collect();
    assert_eq!(before, after, "no session changed its state in an hour");
}

#[test]
fn rfc4271_6_5_a_partition_ends_the_session_by_the_hold_timer_and_healing_brings_it_back() {
    let mut net = mesh(2, 3);
    net.cut(0, 1);
    net.run(seconds(100));
    assert_ne!(net.node(0).state(key(1)), Some(SessionState::Established));
    assert_eq!(net.node(0).kernel.len(), 1, "both set the N bit (RFC 8538 §4): kept for the restart time");
    net.run(seconds(120));
    assert!(net.node(0).kernel.is_empty(), "routes of a silent peer are gone");
    net.heal(0, 1);
    net.run(seconds(60));
    assert_eq!(net.node(0).state(key(1)), Some(SessionState::Established), "{}", net.node(0).reason(key(1)));
    assert_eq!(net.node(0).kernel.len(), 1);
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn a_speaker_that_was_stopped_does_not_blame_its_peers() {
    let mut net = Net::new(4);
    for node in 0..3 {
        let mut config = mesh_config(node, 3);
        if node == 0 {
            config.peers.values_mut().for_each(|peer| peer.keepalive_time = Some(seconds(3)));
        }
        net.add(vec![address(node)], config);
    }
    // Node 0 has not heard of the others for 20 s, and they have just heard of it.
    net.run(seconds(20));
    net.freeze(0, seconds(80));
    net.run(seconds(200));
    for (id, node) in net.nodes() {
        let ups = node.speaker.as_ref().map(|speaker| speaker.peers());
        let ups: Vec<u64> = ups.into_iter().flatten().map(|peer| peer.view.established_count).collect();
        assert_eq!(ups, [1, 1], "node {id}");
    }
}
