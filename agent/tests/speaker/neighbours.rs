//! Peers that are not known by address, and links without addresses.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use agent::speaker::{Listen, Wanted};
use bgp::config::{Dialling, ExportPolicy, ImportPolicy, ListenRange, RemoteAs, Secret};
use bgp::{PeerConfig, PeerKey};
use model::Family;
use model::api::show::SessionState;
use socket2::{Domain, Socket, Type};

use super::bird::Bird;
use super::net::{Node, alone, asn, ip, prefix};

fn template(remote_as: RemoteAs) -> PeerConfig {
    let mut peer = PeerConfig::new("racks", remote_as);
    (peer.import, peer.export) = (ImportPolicy::All, ExportPolicy::All);
    peer
}

#[test]
fn rfc2385_a_listen_range_takes_in_who_has_its_password_and_nobody_else() {
    for (password, comes_up) in [("s3cret", true), ("wrong", false)] {
        alone(move || async move {
            let bird = Bird::start(&format!("password \"{password}\";"));
            let mut node = Node::new("192.0.2.1", 65001);
            let mut racks = template(RemoteAs::Is(asn(65002)));
            racks.password = Some(Secret::new("s3cret"));
            node.config.ranges.insert(prefix("192.0.2.0/24"), ListenRange::new(racks, 10));
            node.announce("10.1.0.0/24").go();
            if comes_up {
                let view = node.up("192.0.2.2").await;
                assert_eq!((view.range, view.name.as_str()), (Some(prefix("192.0.2.0/24")), "racks"));
                node.learns(1).await;
                bird.until("show route 10.1.0.0/24", "via 192.0.2.1").await;
            } else {
                bird.until("show protocols margay", "Connect").await;
                assert_eq!(node.handle.peers().await.map(|peers| peers.len()), Ok(0));
            }
        });
    }
}

#[test]
fn a_peer_outside_of_the_listen_range_is_refused_until_the_range_is_wider() {
    alone(|| async {
        let _bird = Bird::start("");
        let mut node = Node::new("192.0.2.1", 65001);
        let racks = || ListenRange::new(template(RemoteAs::External), 10);
        node.config.ranges.insert(prefix("192.0.2.128/25"), racks());
        node.go();
        let deadline = std::time::Instant::now() + super::net::PATIENCE;
        while node.handle.refused() == 0 {
            assert!(std::time::Instant::now() < deadline, "BIRD never came");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(node.handle.peers().await.map(|peers| peers.len()), Ok(0));
        node.config.ranges.insert(prefix("192.0.2.0/24"), racks());
        node.go();
        let deadline = std::time::Instant::now() + super::net::PATIENCE;
        while node.handle.peers().await.is_ok_and(|p| p.iter().all(|p| p.state != SessionState::Established)) {
            assert!(std::time::Instant::now() < deadline, "no session");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(node.view("192.0.2.2").await.peer_as, Some(asn(65002)));
    });
}

#[test]
fn another_port_or_address_to_listen_on_resets_no_session() {
    alone(|| async {
        let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
        a.peer("198.51.100.2", 65002, |p| p.dial = Dialling::Passive).go();
        b.peer("198.51.100.1", 65001, |_| {}).go();
        let before = a.up("198.51.100.2").await;
        for listen in [
            Listen { port: 1790, addresses: vec![ip("198.51.100.1")] },
            Listen { port: 1790, addresses: vec![] },
            Listen { port: 179, addresses: vec![ip("198.51.100.9")] },
        ] {
            let address = listen.addresses.first().copied().unwrap_or(ip("198.51.100.77"));
            let at = SocketAddr::new(address, listen.port);
            a.handle.want(Wanted { config: Some(a.config.clone()), listen });
            let deadline = std::time::Instant::now() + super::net::PATIENCE;
            while TcpStream::connect(at).is_err() {
                assert!(std::time::Instant::now() < deadline, "not listening on {at}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let after = a.view("198.51.100.2").await;
            assert_eq!((after.state, after.established_count), (SessionState::Established, 1));
            assert_eq!(after.since, before.since);
        }
        assert!(TcpStream::connect("198.51.100.1:1790").is_err(), "nor does it listen where it did before");
    });
}

#[test]
fn two_source_addresses_are_two_sessions_with_one_router() {
    for dial in [Dialling::Active, Dialling::Passive] {
        alone(move || async move {
            let (mut a, mut b) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
            for source in ["198.51.100.1", "198.51.100.3"] {
                let mut peer = template(RemoteAs::Is(asn(65002)));
                (peer.local_address, peer.families, peer.dial) = (Some(ip(source)), vec![Family::Ipv4], dial);
                a.config.peers.insert(PeerKey::new(ip("198.51.100.2")).from_source(ip(source)), peer);
                b.peer(source, 65001, |p| {
                    p.dial = if dial == Dialling::Active { Dialling::Passive } else { Dialling::Active };
                });
            }
            b.announce("10.2.0.0/24").go();
            let listen = Listen { addresses: vec![ip("198.51.100.1"), ip("198.51.100.3")], ..Listen::default() };
            a.handle.want(Wanted { config: Some(a.config.clone()), listen });
            b.up("198.51.100.1").await;
            b.up("198.51.100.3").await;
            a.learns(1).await;
            let views = a.handle.peers().await.expect("the speaker lives");
            let ours: Vec<_> = views.iter().map(|view| view.local_address).collect();
            assert_eq!(ours, [Some(ip("198.51.100.1")), Some(ip("198.51.100.3"))]);
        });
    }
}

#[test]
fn rfc5082_3_where_all_peers_are_near_nothing_from_afar_gets_a_connection() {
    alone(|| async {
        let mut node = Node::new("198.51.100.1", 65001);
        let near = |p: &mut PeerConfig| (p.ttl_security, p.dial) = (Some(1), Dialling::Passive);
        node.peer("198.51.100.2", 65002, near).go();
        let connects = |ttl: u32| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_ttl_v4(ttl).expect("a TTL");
            let at = SocketAddr::new(ip("198.51.100.1"), 179);
            socket.connect_timeout(&at.into(), Duration::from_millis(500)).is_ok()
        };
        let until = |wish: bool, ttl| async move {
            let deadline = std::time::Instant::now() + super::net::PATIENCE;
            while connects(ttl) != wish {
                assert!(std::time::Instant::now() < deadline, "TTL {ttl} connects: {}", !wish);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(true, 255).await;
        assert!(!connects(64), "the SYN itself is dropped");
        // One that may be anywhere must be let in.
        node.peer("203.0.113.9", 65003, |p| p.dial = Dialling::Passive).go();
        until(true, 64).await;
        node.config.peers.remove(&PeerKey::new(ip("203.0.113.9")));
        node.go();
        until(false, 64).await;
        until(true, 255).await;
    });
}
