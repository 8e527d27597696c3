//! What two OPENs agree on, with BIRD and FRR at the other end.

use bgp::config::{Origination, PeerKey, Role, RoleCheck};
use model::api::show::{BgpRoutes, BgpTable, PeerView, SessionState};

use super::bird::Bird;
use super::frr::Frr;
use super::net::{Node, alone, asn, prefix};

/// The peer at the other end of the cable.
const PEER: &str = "192.0.2.2";

fn agreed(view: &PeerView, name: &str) -> bool {
    view.capabilities.iter().any(|capability| capability == name)
}

/// So many octets of communities fit into no message of 4096.
fn long() -> Origination {
    Origination { communities: (0..1500).map(|n| 0xfde9_0000 + n).collect(), ..Origination::default() }
}

#[test]
fn rfc8654_messages_of_6000_octets_go_both_ways_with_bird() {
    alone(|| async {
        let added: String = (0..1500).map(|n| format!("bgp_community.add((65002,{n}));")).collect();
        let many = format!(
            "protocol static many {{ ipv4 {{ import filter {{ {added} accept; }}; }}; route 198.51.0.0/24 blackhole; }}"
        );
        let bird = Bird::with(&many, "enable extended messages on;");
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {});
        node.config.originate.insert(prefix("10.1.0.0/24"), long());
        node.go();
        let view = node.up(PEER).await;
        assert!(agreed(&view, "extended messages"), "{view:?}");
        let learned = node.learns(2).await;
        assert!(learned.routes.iter().any(|route| route.prefix == prefix("198.51.0.0/24")), "{learned:?}");
        bird.until("show route all", "(65001,1499)").await;
    });
}

#[test]
fn rfc8654_messages_of_6000_octets_go_to_frr() {
    alone(|| async {
        let frr = Frr::start(&[]);
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {});
        node.config.originate.insert(prefix("10.1.0.0/24"), long());
        node.go();
        let view = node.up(PEER).await;
        assert!(agreed(&view, "extended messages"), "{view:?}");
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "65001:800").await;
    });
}

#[test]
fn rfc8654_a_peer_without_the_capability_gets_what_fits_4096_octets() {
    alone(|| async {
        let bird = Bird::start("");
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {});
        node.config.originate.insert(prefix("10.1.0.0/24"), long());
        node.announce("10.2.0.0/24").go();
        let view = node.up(PEER).await;
        assert!(!agreed(&view, "extended messages"), "{view:?}");
        bird.until("show route", "10.2.0.0/24").await;
        assert!(!bird.ask("show route").contains("10.1.0.0/24"));
    });
}

#[test]
fn rfc8538_with_frr_a_reset_keeps_the_routes_and_a_shut_down_takes_them() {
    alone(|| async {
        let frr = Frr::start(&[]);
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {}).announce("10.1.0.0/24").go();
        let view = node.until(PEER, |view| view.state == SessionState::Established && view.accepted == 1).await;
        assert!(agreed(&view, "graceful restart after notification"), "{view:?}");
        // A new TTL is a Cease without a hard reset: both sides keep what they have.
        node.config.peers.values_mut().for_each(|peer| peer.ttl_security = Some(1));
        node.go();
        let view = node.until(PEER, |view| view.state != SessionState::Established).await;
        assert_eq!((view.accepted, view.stale), (1, 2), "with our own route, which it tells us back: {view:?}");
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "stale").await;
        node.config.peers.values_mut().for_each(|peer| peer.ttl_security = None);
        node.go();
        node.until(PEER, |view| view.state == SessionState::Established && view.stale == 0 && view.accepted == 1).await;
        // FRR means a shut down for good, and says why.
        frr.ask(&["configure terminal", "router bgp", "neighbor 192.0.2.1 shutdown message back at noon"]);
        let view = node.until(PEER, |view| view.state != SessionState::Established && view.received == 0).await;
        let error = view.last_error.unwrap_or_default();
        assert!(error.contains("hard reset (6/9)") && error.contains("back at noon"), "{error}");
    });
}

#[test]
fn rfc8538_frr_forgets_the_routes_of_a_node_that_is_drained() {
    alone(|| async {
        let frr = Frr::start(&[]);
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {}).announce("10.1.0.0/24").go();
        node.up(PEER).await;
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "192.0.2.1 from 192.0.2.1").await;
        node.handle.shut_down("drained").await.expect("it ends in order");
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "Network not in table").await;
    });
}

#[test]
fn rfc7313_routes_are_refreshed_between_marks_both_ways_with_frr() {
    alone(|| async {
        let frr = Frr::start(&[]);
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {}).announce("10.1.0.0/24").go();
        let view = node.until(PEER, |view| view.state == SessionState::Established && view.accepted == 1).await;
        assert!(agreed(&view, "enhanced route refresh"), "{view:?}");
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "192.0.2.1 from 192.0.2.1").await;
        frr.ask(&["clear bgp ipv4 unicast 192.0.2.1 soft in"]);
        frr.until("show bgp neighbors json", "\"routeRefreshRecv\":2").await;
        node.handle.refresh(PeerKey::new(view.peer_address)).await.expect("the speaker lives");
        // Its own request, and the marks of its answer to ours.
        frr.until("show bgp neighbors json", "\"routeRefreshSent\":3").await;
        let after = node.view(PEER).await;
        assert_eq!((after.established_count, after.accepted), (1, 1), "{after:?}");
        frr.until("show bgp ipv4 unicast 10.1.0.0/24", "192.0.2.1 from 192.0.2.1").await;
    });
}

#[test]
fn rfc7313_routes_are_refreshed_between_marks_both_ways_with_bird() {
    alone(|| async {
        let bird = Bird::start("");
        let mut node = Node::new("192.0.2.1", 65001);
        node.peer(PEER, 65002, |_| {}).announce("10.1.0.0/24").go();
        let view = node.until(PEER, |view| view.state == SessionState::Established && view.accepted == 1).await;
        assert!(agreed(&view, "enhanced route refresh"), "{view:?}");
        bird.until("show route", "10.1.0.0/24").await;
        for reload in ["reload in margay", "reload out margay"] {
            bird.ask(reload);
        }
        node.handle.refresh(PeerKey::new(view.peer_address)).await.expect("the speaker lives");
        // What is announced after the refresh arrives after it.
        node.announce("10.2.0.0/24").go();
        bird.until("show route", "10.2.0.0/24").await;
        bird.until("show route", "10.1.0.0/24").await;
        let after = node.view(PEER).await;
        assert_eq!((after.established_count, after.accepted), (1, 1), "{after:?}");
    });
}

/// A customer of the provider at the other end: the roles fit, its route is marked, and as a peer it is refused.
async fn customer_then_peer() {
    let mut node = Node::new("192.0.2.1", 65001);
    node.peer(PEER, 65002, |peer| {
        (peer.role, peer.role_check) = (Some(Role::Customer), RoleCheck::Strict);
    });
    node.go();
    let view = node.until(PEER, |view| view.state == SessionState::Established && view.accepted == 1).await;
    assert!(agreed(&view, "role customer of a provider"), "{view:?}");
    let question = BgpRoutes { table: BgpTable::Accepted, peer: None, within: None, after: None };
    let page = node.handle.routes(question).await.expect("the speaker lives");
    assert_eq!(page.routes[0].only_to_customer, Some(asn(65002)), "{page:?}");
    node.config.peers.values_mut().for_each(|peer| peer.role = Some(Role::Peer));
    node.go();
    node.until(PEER, |view| view.reason.contains("role mismatch")).await;
}

#[test]
fn rfc9234_roles_are_agreed_on_with_bird_or_refused() {
    alone(|| async {
        let _bird = Bird::start("local role provider;");
        customer_then_peer().await;
    });
}

#[test]
fn rfc9234_roles_are_agreed_on_with_frr_or_refused() {
    alone(|| async {
        let _frr = Frr::start(&["local-role provider strict-mode"]);
        customer_then_peer().await;
    });
}
