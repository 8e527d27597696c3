//! How many prefixes a peer may send (RFC 4486 §4): warn, drop, restart.
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::Input;
use bgp::config::{Excess, MaxPrefixes};
use bgp::wire::notification::cease;
use model::api::show::SessionState::{Established, Idle};
use peer_support::{Peer, attributes};
use sim_support::{key, seconds};

fn bounded(limit: u32, warn_at: Option<u8>, action: Excess) -> Peer {
    let mut peer = Peer::new(65001, |peer| peer.max_prefixes = Some(MaxPrefixes { limit, warn_at, action }));
    peer.establish(vec![]);
    peer
}

fn announce(peer: &mut Peer, blocks: std::ops::Range<usize>) {
    let blocks: Vec<usize> = blocks.collect();
    peer.announce(&attributes(&[65001]), &blocks);
}

fn change(peer: &mut Peer, bound: Option<MaxPrefixes>) {
    let mut config = peer.speaker.config().clone();
    config.peers.get_mut(&key(1)).unwrap().max_prefixes = bound;
    peer.input(Input::Configure(Box::new(config)));
}

#[test]
fn rfc4486_4_more_than_allowed_is_told_with_family_and_bound() {
    let mut peer = bounded(2, None, Excess::Drop);
    announce(&mut peer, 10..13);
    let told = peer.told().unwrap();
    assert!(told.is(cease::MAXIMUM_PREFIXES));
    assert_eq!(&told.data[..], [0, 1, 1, 0, 0, 0, 2]);
}

#[test]
fn what_only_warns_is_said_on_a_session_that_is_up_and_ends_nothing() {
    let mut peer = bounded(2, None, Excess::Warn);
    announce(&mut peer, 10..13);
    let view = peer.view();
    assert_eq!((view.state, view.accepted, view.max_prefixes), (Established, 3, Some(2)));
    assert_eq!(view.reason, "more than 2 prefixes received, which only warns");
}

#[test]
fn from_the_percentage_on_the_reason_says_that_the_bound_is_near_and_takes_it_back_later() {
    let mut peer = bounded(20, Some(50), Excess::Restart(None));
    announce(&mut peer, 10..19);
    assert_eq!(peer.view().reason, "");
    announce(&mut peer, 19..20);
    assert_eq!(peer.view().reason, "at least 50% of the allowed 20 prefixes received");
    let withdraw = |peer: &mut Peer, n: usize| {
        let mut octets = Vec::new();
        let gone = [bgp::wire::Nlri::plain(sim_support::block(n))];
        bgp::wire::encode::withdrawals(model::Family::Ipv4, gone, &bgp::wire::Transmit::PLAIN, &mut octets);
        peer.send(&octets);
    };
    withdraw(&mut peer, 10);
    assert_ne!(peer.view().reason, "", "nine of twenty: not yet");
    withdraw(&mut peer, 11);
    assert_eq!((peer.view().state, peer.view().reason), (Established, String::new()));
}

#[test]
fn a_session_that_is_dropped_stays_down_until_the_bound_is_changed() {
    let mut peer = bounded(2, None, Excess::Drop);
    announce(&mut peer, 10..13);
    assert_eq!((peer.view().state, peer.view().received), (Idle, 0));
    assert!(peer.view().reason.contains("down until the bound is changed"), "{}", peer.view().reason);
    peer.silence(seconds(86_400));
    assert_eq!(peer.view().state, Idle);
    change(&mut peer, Some(5.into()));
    peer.establish(vec![]);
    announce(&mut peer, 10..13);
    assert_eq!(peer.view().accepted, 3);
}

#[test]
fn a_session_is_tried_again_after_the_time_that_its_object_says() {
    let mut peer = bounded(2, None, Excess::Restart(Some(seconds(7))));
    announce(&mut peer, 10..13);
    assert_eq!(peer.view().reason, "more than 2 prefixes received, resting for 7 s");
    peer.silence(seconds(6));
    assert_eq!(peer.view().state, Idle);
    peer.silence(seconds(2));
    peer.establish(vec![]);
}

#[test]
fn a_bound_is_in_force_at_once_and_ends_nothing_that_keeps_it() {
    let mut peer = bounded(9, None, Excess::Restart(None));
    announce(&mut peer, 10..13);
    change(&mut peer, Some(3.into()));
    assert_eq!(peer.view().state, Established);
    change(&mut peer, Some(2.into()));
    assert_eq!(peer.view().state, Idle);
    change(&mut peer, None);
    peer.establish(vec![]);
    announce(&mut peer, 10..100);
    assert_eq!((peer.view().accepted, peer.view().max_prefixes), (90, None));
}

#[test]
fn rfc7606_faults_of_a_peer_are_counted_and_the_last_one_is_shown() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![]);
    // COMMUNITIES of five octets: its route is treated as withdrawn.
    let path = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
    let wrong = [0xc0, 8, 5, 1, 2, 3, 4, 5];
    let attributes = [&[0x40, 1, 1, 0][..], &path, &[0x40, 3, 4, 10, 0, 0, 2], &wrong].concat();
    let body = [&[0, 0, 0, attributes.len() as u8][..], &attributes, &[24, 10, 244, 5]].concat();
    peer.send(&[&[0xff; 16][..], &[0, 19 + body.len() as u8, 2], &body].concat());
    let view = peer.view();
    assert_eq!((view.state, view.faults), (Established, 1));
    assert!(view.last_fault.as_deref().is_some_and(|fault| fault.contains("COMMUNITIES")), "{:?}", view.last_fault);
}
