//! Peers that are not known by address, and links without addresses.

use bgp::PeerConfig;
use bgp::config::{ExportPolicy, ImportPolicy, ListenRange, RemoteAs, Secret};
use model::api::show::SessionState;

use super::bird::Bird;
use super::net::{Node, alone, asn, prefix};

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
