//! Who may speak to us: passwords, distance, strangers.

use bgp::config::{Dialling, PeerConfig, Secret};
use model::api::show::SessionState;

use super::bird::Bird;
use super::net::{Node, alone, sh};

fn password(text: &'static str) -> impl Fn(&mut PeerConfig) {
    move |peer| peer.password = Some(Secret::new(text))
}

#[test]
fn rfc2385_a_session_with_a_password_comes_up_whoever_dials() {
    for (options, dial) in [("passive on;", Dialling::Active), ("", Dialling::Passive)] {
        alone(move || async move {
            let _bird = Bird::start(&format!("password \"s3cret\"; {options}"));
            let mut node = Node::new("192.0.2.1", 65001);
            node.peer("192.0.2.2", 65002, password("s3cret"));
            node.peer("192.0.2.2", 65002, |p| (p.password, p.dial) = (Some(Secret::new("s3cret")), dial)).go();
            node.up("192.0.2.2").await;
            node.learns(1).await;
        });
    }
}

#[test]
fn a_wrong_password_is_no_session_and_the_reason_says_password() {
    alone(|| async {
        let bird = Bird::start("password \"s3cret\";");
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer("192.0.2.2", 65002, password("wrong")).go();
        node.until("192.0.2.2", |p| p.reason.contains("password")).await;
        assert!(!bird.ask("show protocols margay").contains("Established"));
        // The right one, without a restart.
        node.peer("192.0.2.2", 65002, password("s3cret")).go();
        node.up("192.0.2.2").await;
    });
}

#[test]
fn an_unsigned_connection_from_a_peer_with_a_password_is_not_let_in() {
    alone(|| async {
        let _bird = Bird::start("");
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer("192.0.2.2", 65002, |p| (p.password, p.dial) = (Some(Secret::new("s3cret")), Dialling::Passive)).go();
        let counter = || sh("grep -A1 TcpExt: /proc/thread-self/net/netstat | tr ' ' '\n' | grep -c TCPMD5 || true");
        assert_ne!(counter(), "0", "the kernel knows TCP-MD5");
        let quiet = tokio::time::Duration::from_secs(4);
        tokio::time::sleep(quiet).await;
        assert_ne!(node.view("192.0.2.2").await.state, SessionState::Established);
        assert_eq!(node.handle.refused(), 0, "the kernel drops what is not signed: nothing arrives to be refused");
        // Without the password the very same peer is let in.
        node.peer("192.0.2.2", 65002, |p| p.dial = Dialling::Passive).go();
        node.up("192.0.2.2").await;
    });
}

#[test]
fn a_password_that_changes_resets_this_session_only() {
    alone(|| async {
        let mut a = Node::new("198.51.100.1", 65001);
        let (mut b, mut c) = (Node::new("198.51.100.2", 65002), Node::new("198.51.100.3", 65003));
        a.peer("198.51.100.2", 65002, password("one")).peer("198.51.100.3", 65003, password("two")).go();
        b.peer("198.51.100.1", 65001, password("one")).go();
        c.peer("198.51.100.1", 65001, password("two")).go();
        a.up("198.51.100.2").await;
        let other = a.up("198.51.100.3").await;
        a.peer("198.51.100.2", 65002, password("three")).go();
        a.until("198.51.100.2", |p| p.state != SessionState::Established).await;
        b.peer("198.51.100.1", 65001, password("three")).go();
        a.up("198.51.100.2").await;
        assert_eq!(a.view("198.51.100.3").await.established_count, other.established_count);
    });
}

#[test]
fn passwords_and_gtsm_hold_over_ipv6_too() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("fd00::1", 65001), Node::new("fd00::2", 65002));
        let guarded = |text: &'static str| {
            move |p: &mut PeerConfig| (p.password, p.ttl_security) = (Some(Secret::new(text)), Some(1))
        };
        a.peer("fd00::2", 65002, guarded("one")).go();
        b.peer("fd00::1", 65001, guarded("two")).go();
        a.until("fd00::2", |p| p.reason.contains("password")).await;
        b.peer("fd00::1", 65001, guarded("one")).go();
        a.up("fd00::2").await;
    });
}

#[test]
fn rfc5082_a_session_with_gtsm_comes_up_whoever_dials() {
    for (options, dial) in [("passive on;", Dialling::Active), ("", Dialling::Passive)] {
        alone(move || async move {
            let _bird = Bird::start(&format!("ttl security on; {options}"));
            let mut node = Node::new("192.0.2.1", 65001);
            node.peer("192.0.2.2", 65002, |p| (p.ttl_security, p.dial) = (Some(1), dial)).go();
            node.up("192.0.2.2").await;
            node.learns(1).await;
        });
    }
}

#[test]
fn rfc5082_a_peer_that_is_too_far_is_not_heard() {
    for dial in [Dialling::Active, Dialling::Passive] {
        alone(move || async move {
            // Sends with TTL 64, as if it were some 190 hops away.
            let _bird = Bird::start("multihop;");
            let mut node = Node::new("192.0.2.1", 65001);
            node.peer("192.0.2.2", 65002, |p| (p.ttl_security, p.dial) = (Some(1), dial)).go();
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            let view = node.view("192.0.2.2").await;
            assert_ne!(view.state, SessionState::Established, "{}", view.reason);
            // 255 - 254 hops may be between: TTL 64 is enough then.
            node.peer("192.0.2.2", 65002, |p| (p.ttl_security, p.dial) = (Some(192), dial)).go();
            node.up("192.0.2.2").await;
        });
    }
}
