//! Routes told again: on request (RFC 2918), between marks (RFC 7313), and never more often than it is worth.
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::wire::notification::route_refresh;
use bgp::wire::{Capability, Message, RefreshKind, RouteRefresh};
use model::Family;
use model::api::show::SessionState;
use peer_support::{Peer, attributes, restart};
use sim_support::{block, seconds};

const REQUEST: RouteRefresh = RouteRefresh::request(Family::Ipv4);

fn mark(kind: RefreshKind) -> RouteRefresh {
    RouteRefresh { family: Some(Family::Ipv4), kind }
}

/// A session with a peer that can all this, after the first exchange.
fn session(capabilities: Vec<Capability>) -> Peer {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(capabilities);
    peer.end_of_rib();
    peer.said.clear();
    peer
}

fn enhanced() -> Peer {
    session(vec![Capability::RouteRefresh, Capability::EnhancedRouteRefresh])
}

/// What the speaker has said, word by word; KEEPALIVEs left out.
fn words(peer: &mut Peer) -> Vec<&'static str> {
    let word = |message: Message| match message {
        Message::Update(update) if update.end_of_rib.is_some() => Some("End-of-RIB"),
        Message::Update(update) if update.withdrawn_prefixes() > 0 => Some("gone"),
        Message::Update(_) => Some("route"),
        Message::RouteRefresh(RouteRefresh { kind: RefreshKind::Begin, .. }) => Some("BoRR"),
        Message::RouteRefresh(RouteRefresh { kind: RefreshKind::End, .. }) => Some("EoRR"),
        Message::RouteRefresh(RouteRefresh { kind: RefreshKind::Request, .. }) => Some("request"),
        Message::Notification(_) => Some("NOTIFICATION"),
        _ => None,
    };
    peer.said.drain(..).filter_map(|said| word(said.message)).collect()
}

#[test]
fn rfc7313_4_1_an_answer_stands_between_borr_and_eorr() {
    let mut peer = enhanced();
    assert!(peer.view().capabilities.contains(&"enhanced route refresh".to_string()));
    peer.refresh(REQUEST);
    assert_eq!(words(&mut peer), ["BoRR", "route", "EoRR"]);
}

#[test]
fn rfc2918_4_a_peer_that_did_not_announce_marks_gets_the_routes_alone() {
    let mut peer = session(vec![Capability::RouteRefresh]);
    peer.refresh(REQUEST);
    assert_eq!(words(&mut peer), ["route"]);
}

#[test]
fn rfc7313_3_1_both_capabilities_are_offered() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![]);
    let ours = &peer.their_open().capabilities;
    assert!(ours.contains(&Capability::RouteRefresh) && ours.contains(&Capability::EnhancedRouteRefresh));
}

#[test]
fn a_peer_that_asks_a_thousand_times_gets_two_answers_one_now_and_one_after_the_rest() {
    let mut peer = enhanced();
    for _ in 0..1000 {
        peer.refresh(REQUEST);
    }
    assert_eq!(words(&mut peer), ["BoRR", "route", "EoRR"]);
    peer.pass(seconds(4));
    assert!(words(&mut peer).is_empty());
    peer.pass(seconds(2));
    assert_eq!(words(&mut peer), ["BoRR", "route", "EoRR"], "what it asked for meanwhile");
    peer.pass(seconds(60));
    assert!(words(&mut peer).is_empty());
    peer.refresh(REQUEST);
    assert_eq!(words(&mut peer), ["BoRR", "route", "EoRR"]);
}

#[test]
fn a_peer_that_never_stops_asking_costs_one_answer_in_five_seconds() {
    let mut peer = enhanced();
    for _ in 0..100 {
        peer.silence(std::time::Duration::from_millis(100));
        peer.refresh(REQUEST);
    }
    let answers = words(&mut peer).iter().filter(|word| **word == "BoRR").count();
    assert!((2..=3).contains(&answers), "{answers} answers in ten seconds");
}

#[test]
fn rfc7313_4_2_what_the_peer_does_not_tell_again_goes_at_its_eorr_and_not_before() {
    let mut peer = enhanced();
    peer.announce(&attributes(&[65001]), &[5, 6]);
    peer.refresh(mark(RefreshKind::Begin));
    peer.announce(&attributes(&[65001]), &[6, 7]);
    assert!(peer.knows(5), "it is as good as any until EoRR");
    assert_eq!(peer.view().stale, 0, "the session is the same");
    peer.refresh(mark(RefreshKind::End));
    assert_eq!([5, 6, 7].map(|n| peer.knows(n)), [false, true, true]);
}

#[test]
fn rfc7313_4_2_a_peer_that_does_not_say_eorr_in_time_is_not_waited_for() {
    let mut peer = enhanced();
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::Begin));
    peer.pass(seconds(350));
    assert!(peer.knows(5));
    peer.pass(seconds(20));
    assert!(!peer.knows(5));
    assert_eq!(peer.view().state, SessionState::Established);
}

#[test]
fn rfc7313_4_2_eorr_without_borr_and_marks_of_a_peer_that_did_not_announce_them_mean_nothing() {
    let mut peer = enhanced();
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::End));
    assert!(peer.knows(5));
    let mut peer = session(vec![Capability::RouteRefresh]);
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::Begin));
    peer.refresh(mark(RefreshKind::End));
    assert!(peer.knows(5));
}

#[test]
fn rfc7313_4_1_before_the_first_end_of_rib_there_is_no_borr() {
    let mut peer = Peer::new(65001, |peer| peer.max_restart_time = None);
    let mut config = peer.speaker.config().clone();
    config.graceful_restart.start = bgp::config::Start::Restarted;
    config.graceful_restart.deferral = seconds(10);
    peer = Peer::of(config, 65001);
    peer.establish(vec![restart("F"), Capability::RouteRefresh, Capability::EnhancedRouteRefresh]);
    peer.refresh(REQUEST);
    assert!(!words(&mut peer).contains(&"BoRR"), "our End-of-RIB waits for the peer's");
    peer.end_of_rib();
    let after = words(&mut peer);
    assert_eq!(after.last(), Some(&"End-of-RIB"), "{after:?}");
}

#[test]
fn a_session_that_is_lost_between_the_marks_keeps_its_routes_as_any_other() {
    let mut peer = session(vec![restart("F"), Capability::RouteRefresh, Capability::EnhancedRouteRefresh]);
    peer.announce(&attributes(&[65001]), &[5, 6]);
    peer.refresh(mark(RefreshKind::Begin));
    peer.announce(&attributes(&[65001]), &[6]);
    peer.lose();
    assert!(peer.knows(5) && peer.knows(6));
    assert_eq!(peer.view().stale, 2);
    peer.establish(vec![restart("F"), Capability::EnhancedRouteRefresh]);
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::End));
    assert!(peer.knows(6), "an EoRR of the new session has no BoRR");
    peer.end_of_rib();
    assert_eq!([5, 6].map(|n| peer.knows(n)), [true, false]);
}

#[test]
fn a_peer_that_says_borr_and_eorr_without_end_costs_one_look_at_the_table_in_five_seconds() {
    let mut peer = enhanced();
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::Begin));
    peer.announce(&attributes(&[65001]), &[5]);
    peer.refresh(mark(RefreshKind::End));
    peer.refresh(mark(RefreshKind::Begin));
    peer.refresh(mark(RefreshKind::End));
    assert!(peer.knows(5), "the second pair came too soon to be followed");
    peer.pass(seconds(6));
    peer.refresh(mark(RefreshKind::Begin));
    peer.refresh(mark(RefreshKind::End));
    assert!(!peer.knows(5));
}

#[test]
fn rfc7313_5_unknown_subtypes_are_ignored_and_a_bad_length_ends_the_session_with_7_1() {
    let header = |length: u8| [&[0xff; 16][..], &[0, length, 5]].concat();
    for ignored in [&[0, 1, 3, 1][..], &[0, 1, 255, 1], &[0, 1, 9], &[0, 1, 9, 1, 7, 7]] {
        let mut peer = enhanced();
        peer.send(&[header(19 + ignored.len() as u8), ignored.to_vec()].concat());
        assert!(words(&mut peer).is_empty() && peer.open, "{ignored:?}");
    }
    for wrong in [&[][..], &[0, 1, 0], &[0, 1, 1, 1, 0], &[0, 1, 2]] {
        let mut peer = enhanced();
        let message = [header(19 + wrong.len() as u8), wrong.to_vec()].concat();
        peer.send(&message);
        let told = peer.told().unwrap();
        assert!(told.is(route_refresh::BAD_LENGTH), "{wrong:?}");
        assert_eq!(told.data, message, "the whole message comes back");
    }
}

#[test]
fn rfc2918_4_a_family_that_was_not_agreed_on_is_ignored() {
    let mut peer = enhanced();
    for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
        peer.refresh(RouteRefresh { family: Some(Family::Ipv6), kind });
    }
    assert!(words(&mut peer).is_empty() && peer.open);
}

#[test]
fn two_of_us_refresh_each_other_and_nothing_changes() {
    let mut net = sim_support::mesh(3, 4);
    let before = net.beliefs();
    let writes: Vec<usize> = net.nodes().map(|(_, node)| node.kernel_writes).collect();
    for node in 1..3 {
        net.input(0, bgp::Input::Refresh { peer: sim_support::key(node) });
    }
    net.run(seconds(30));
    assert_eq!(net.beliefs(), before);
    assert!(before[0].contains_key(&block(1).to_string()));
    assert_eq!(net.nodes().map(|(_, node)| node.kernel_writes).collect::<Vec<_>>(), writes);
    assert_eq!(net.faults, Vec::<String>::new());
}
