//! Sessions between speakers, and with BIRD.

use agent::speaker::{Listen, Wanted};
use bgp::config::Dialling;
use model::api::show::SessionState;

use super::bird::Bird;
use super::net::{Node, alone, ip};

#[test]
fn two_speakers_tell_each_other_their_prefixes() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65002, |_| {}).announce("10.1.0.0/24").go();
        b.peer("198.51.100.1", 65001, |_| {}).announce("10.2.0.0/24").announce("10.3.0.0/24").go();
        a.up("198.51.100.2").await;
        let learned = a.learns(2).await;
        let hops = |batch: &agent::speaker::Batch| -> Vec<String> {
            let best = batch.routes.iter().filter_map(|r| Some((r.prefix, r.best.as_ref()?)));
            let mut lines: Vec<String> = best.map(|(p, b)| format!("{p} {}", b.next_hops[0].address)).collect();
            lines.sort();
            lines
        };
        assert_eq!(hops(&learned), ["10.2.0.0/24 198.51.100.2", "10.3.0.0/24 198.51.100.2"]);
        assert_eq!(hops(&b.learns(1).await), ["10.1.0.0/24 198.51.100.1"]);
    });
}

#[test]
fn two_speakers_meet_over_ipv6() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("fd00::1", 65001), Node::new("fd00::2", 65002));
        a.peer("fd00::2", 65002, |_| {}).announce("2001:db8:1::/64").go();
        b.peer("fd00::1", 65001, |p| p.dial = Dialling::Passive).go();
        a.up("fd00::2").await;
        let learned = b.learns(1).await;
        let best = learned.routes[0].best.as_ref().expect("a path");
        assert_eq!(
            (learned.routes[0].prefix.to_string(), best.next_hops[0].address),
            ("2001:db8:1::/64".into(), ip("fd00::1"))
        );
    });
}

#[test]
fn whoever_dials_the_session_with_bird_comes_up() {
    for (options, dial) in [("passive on;", Dialling::Active), ("", Dialling::Passive), ("", Dialling::Active)] {
        alone(move || async move {
            let bird = Bird::start(options);
            let mut node = Node::new("192.0.2.1", 65001);
            node.peer("192.0.2.2", 65002, |p| p.dial = dial).announce("10.1.0.0/24").go();
            node.up("192.0.2.2").await;
            let learned = node.learns(1).await;
            assert_eq!(learned.routes[0].prefix.to_string(), "203.0.113.0/24");
            bird.until("show route 10.1.0.0/24", "via 192.0.2.1").await;
        });
    }
}

#[test]
fn nobody_at_the_other_end_is_a_refused_connection() {
    alone(|| async {
        let mut node = Node::new("198.51.100.1", 65001);
        node.peer("198.51.100.2", 65002, |_| {}).go();
        node.until("198.51.100.2", |p| p.reason.contains("connection refused")).await;
    });
}

#[test]
fn a_peer_behind_no_route_is_said_to_be_so() {
    alone(|| async {
        let mut node = Node::new("198.51.100.1", 65001);
        node.peer("203.0.113.9", 65002, |p| p.local_address = None).go();
        node.until("203.0.113.9", |p| p.reason.contains("no route to host")).await;
    });
}

#[test]
fn a_source_address_that_is_not_ours_is_said_to_be_so() {
    alone(|| async {
        let mut node = Node::new("198.51.100.1", 65001);
        node.peer("198.51.100.2", 65002, |p| p.local_address = Some(ip("192.0.2.77"))).go();
        node.until("198.51.100.2", |p| p.reason.contains("source address is not on this node")).await;
    });
}

#[test]
fn the_wrong_as_is_named() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65099, |_| {}).go();
        b.peer("198.51.100.1", 65001, |_| {}).go();
        a.until("198.51.100.2", |p| p.reason.contains("65099") && p.reason.contains("65002")).await;
    });
}

#[test]
fn a_new_peer_disturbs_no_session() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65002, |_| {}).go();
        b.peer("198.51.100.1", 65001, |_| {}).go();
        let before = a.up("198.51.100.2").await;
        let mut c = Node::new("198.51.100.3", 65003);
        c.peer("198.51.100.1", 65001, |_| {}).announce("10.3.0.0/24").go();
        a.peer("198.51.100.3", 65003, |_| {}).go();
        a.up("198.51.100.3").await;
        let after = a.view("198.51.100.2").await;
        assert_eq!((after.state, after.since, after.established_count), (before.state, before.since, 1));
    });
}

#[test]
fn a_port_that_is_taken_is_named_and_tried_again() {
    alone(|| async {
        let taken = std::net::TcpListener::bind("198.51.100.1:179").expect("port 179");
        let mut node = Node::new("198.51.100.1", 65001);
        node.peer("198.51.100.2", 65002, |p| p.dial = Dialling::Passive).go();
        node.view("198.51.100.2").await;
        let problems = node.handle.problems().await.expect("the speaker lives");
        assert!(problems[0].starts_with("cannot listen for peers on 198.51.100.1:179: "), "{problems:?}");
        drop(taken);
        let mut other = Node::new("198.51.100.2", 65002);
        other.peer("198.51.100.1", 65001, |_| {}).go();
        node.up("198.51.100.2").await;
        assert_eq!(node.handle.problems().await, Ok(vec![]));
    });
}

#[test]
fn a_shut_down_is_told_to_the_peers_with_its_words() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65002, |_| {}).go();
        b.peer("198.51.100.1", 65001, |_| {}).go();
        b.up("198.51.100.1").await;
        a.up("198.51.100.2").await;
        a.handle.shut_down("moving to another rack").await.expect("it ends in order");
        let told = |p: &model::api::show::PeerView| p.last_error.clone().unwrap_or_default() + &p.reason;
        b.until("198.51.100.1", |p| told(p).contains("moving to another rack")).await;
        assert!(a.handle.peers().await.is_err(), "it has ended");
    });
}

#[test]
fn without_a_configuration_there_is_no_session_and_the_next_one_counts() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65002, |_| {}).go();
        b.peer("198.51.100.1", 65001, |_| {}).go();
        b.up("198.51.100.1").await;
        a.handle.want(Wanted { config: None, listen: Listen::default() });
        b.until("198.51.100.1", |p| p.state != SessionState::Established).await;
        assert_eq!(a.handle.peers().await.map(|p| p.len()), Ok(0));
        a.go();
        b.up("198.51.100.1").await;
    });
}
