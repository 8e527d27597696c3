//! Long-lived graceful restart (RFC 9494) with a peer whose every octet a test chooses.
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::wire::capability::{Capabilities, LongLivedFamily};
use bgp::wire::{Attributes, Capability, Community};
use model::Family;
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use peer_support::{Peer, attributes, restart};
use sim_support::{block, seconds};

fn long_lived(flags: &str, stale_seconds: u32) -> Capability {
    let forwarding_kept = flags.contains('F');
    let families = vec![LongLivedFamily { family: Family::Ipv4.into(), forwarding_kept, stale_seconds }];
    Capability::LongLivedGracefulRestart(families)
}

/// Restart time 120 s, and then `stale_seconds`.
fn both(flags: &str, stale_seconds: u32) -> Vec<Capability> {
    vec![restart(flags), long_lived(flags, stale_seconds)]
}

/// A speaker that is ready to keep routes for so long after the restart time.
fn ready(time: u64) -> Peer {
    Peer::new(65001, |peer| peer.long_lived_restart_time = Some(seconds(time)))
}

/// After an announcement of block 5 and the loss of the session.
fn lost(time: u64, capabilities: Vec<Capability>) -> Peer {
    let mut peer = ready(time);
    peer.establish(capabilities);
    peer.announce(&attributes(&[65001]), &[5]);
    peer.end_of_rib();
    peer.lose();
    peer
}

fn row(peer: &Peer, n: usize) -> RouteView {
    let question = BgpRoutes { table: BgpTable::Received, peer: None, within: Some(block(n)), after: None };
    peer.speaker.routes(&question).routes.pop().unwrap()
}

/// How long block 5 is still there, in steps of ten seconds.
fn lasts(peer: &mut Peer) -> u64 {
    for time in 0..100_000 {
        if !peer.knows(5) {
            return time * 10;
        }
        peer.silence(seconds(10));
    }
    u64::MAX
}

fn with(community: Community) -> Attributes {
    let mut draft = attributes(&[65001]).edit();
    draft.set_communities([community]);
    draft.build()
}

#[test]
fn rfc9494_4_2_routes_are_kept_for_the_restart_time_and_then_for_the_long_lived_stale_time() {
    assert_eq!(lasts(&mut lost(1000, both("F", 1000))), 1120);
}

#[test]
fn rfc9494_4_2_of_our_time_and_the_peers_the_shorter_counts() {
    assert_eq!(lasts(&mut lost(500, both("F", 1000))), 620);
    assert_eq!(lasts(&mut lost(1000, both("F", 300))), 420);
    assert_eq!(lasts(&mut lost(0, both("F", 1000))), 120, "not ready for it");
    assert_eq!(lasts(&mut lost(1000, both("F", 0))), 120, "the peer does not want it");
    assert_eq!(lasts(&mut lost(1000, vec![restart("F")])), 120, "the peer does not know it");
}

#[test]
fn rfc9494_3_1_without_graceful_restart_the_capability_counts_for_nothing() {
    assert_eq!(lasts(&mut lost(1000, vec![long_lived("F", 1000)])), 0);
}

#[test]
fn rfc9494_4_2_without_a_restart_time_the_long_lived_one_begins_at_once() {
    let mut peer = Peer::new(65001, |peer| {
        peer.long_lived_restart_time = Some(seconds(1000));
        peer.max_restart_time = Some(seconds(0));
    });
    peer.establish(both("F", 1000));
    peer.announce(&attributes(&[65001]), &[5]);
    peer.lose();
    assert_eq!((peer.view().stale, peer.view().long_lived_stale), (1, 1));
    assert_eq!(lasts(&mut peer), 1000);
}

#[test]
fn rfc9494_4_2_a_route_is_marked_when_its_long_life_begins_and_shown_so() {
    let mut peer = lost(1000, both("F", 1000));
    assert_eq!((peer.view().stale, peer.view().long_lived_stale), (1, 0));
    assert!(row(&peer, 5).stale && !row(&peer, 5).long_lived_stale && row(&peer, 5).communities.is_empty());
    peer.silence(seconds(125));
    assert_eq!((peer.view().stale, peer.view().long_lived_stale), (1, 1));
    let kept = row(&peer, 5);
    assert!(kept.stale && kept.long_lived_stale && kept.best);
    assert_eq!(kept.communities, ["llgr-stale"]);
}

#[test]
fn rfc9494_4_2_a_route_that_wants_no_long_life_goes_with_the_restart_time() {
    let mut peer = ready(1000);
    peer.establish(both("F", 1000));
    peer.announce(&attributes(&[65001]), &[6]);
    peer.announce(&with(Community::NO_LLGR), &[5]);
    peer.lose();
    assert_eq!(lasts(&mut peer), 120);
    assert!(peer.knows(6), "its neighbour stays");
}

#[test]
fn rfc9494_4_2_what_is_told_again_is_fresh_and_the_rest_goes_at_end_of_rib() {
    let mut peer = ready(1000);
    peer.establish(both("F", 1000));
    peer.announce(&attributes(&[65001]), &[5, 6]);
    peer.end_of_rib();
    peer.lose();
    peer.silence(seconds(500));
    peer.establish(both("RF", 1000));
    assert!(peer.knows(5) && peer.knows(6), "forwarding went on");
    peer.announce(&attributes(&[65001]), &[6]);
    assert!(!row(&peer, 6).stale && row(&peer, 6).communities.is_empty());
    assert_eq!(peer.view().long_lived_stale, 1);
    peer.end_of_rib();
    assert_eq!((peer.knows(5), peer.knows(6), peer.view().stale), (false, true, 0));
}

#[test]
fn rfc9494_4_2_without_the_f_bit_of_the_new_capability_the_stale_routes_go_when_the_session_is_back() {
    for (capabilities, kept) in [
        (both("F", 1000), true),
        (vec![restart("F"), long_lived("", 1000)], false),
        (vec![restart("F")], false),
        (vec![], false),
    ] {
        let mut peer = lost(1000, both("F", 1000));
        peer.silence(seconds(500));
        peer.establish(capabilities);
        assert_eq!(peer.knows(5), kept);
    }
}

#[test]
fn rfc9494_4_2_a_session_that_flaps_does_not_make_the_time_longer() {
    let mut peer = lost(1000, both("F", 1000));
    peer.silence(seconds(520));
    for _ in 0..3 {
        peer.establish(both("F", 1000));
        peer.lose(); // before its End-of-RIB
    }
    assert_eq!((peer.view().stale, peer.view().long_lived_stale), (1, 1));
    assert_eq!(lasts(&mut peer), 600, "120 and 1000 from the first loss");
}

#[test]
fn rfc9494_4_2_a_session_that_has_told_all_begins_anew() {
    let mut peer = lost(1000, both("F", 1000));
    peer.silence(seconds(520));
    peer.establish(both("F", 2000));
    peer.announce(&attributes(&[65001]), &[5]);
    peer.end_of_rib();
    peer.lose();
    assert_eq!(lasts(&mut peer), 1120);
}

#[test]
fn a_change_of_filters_judges_stale_routes_too_and_leaves_their_mark() {
    let mut peer = lost(1000, both("F", 1000));
    peer.silence(seconds(200));
    let mut config = peer.speaker.config().clone();
    config.peers.values_mut().for_each(|peer| peer.import = bgp::config::ImportPolicy::All);
    peer.input(bgp::Input::Configure(Box::new(config)));
    assert_eq!(row(&peer, 5).communities, ["llgr-stale"]);
    assert_eq!(lasts(&mut peer), 920);
}

#[test]
fn a_mark_that_a_peer_sends_makes_a_route_the_last_resort_here_too() {
    let mut peer = ready(0);
    peer.establish(vec![]);
    peer.announce(&with(Community::LLGR_STALE), &[5]);
    let marked = row(&peer, 5);
    assert!(marked.long_lived_stale && !marked.stale);
    assert_eq!(peer.view().long_lived_stale, 0, "it is not we who keep it");
}

#[test]
fn rfc9494_3_1_the_capability_is_always_announced_and_has_a_time_only_where_one_is_configured() {
    let mut peer = ready(0);
    peer.establish(vec![]);
    assert_eq!(peer.their_open().capabilities.long_lived(), Some(&[][..]), "it knows the mark, and keeps nothing");
    let mut peer = ready(86_400);
    peer.establish(both("", 5));
    let family = LongLivedFamily { family: Family::Ipv4.into(), forwarding_kept: false, stale_seconds: 86_400 };
    assert_eq!(peer.their_open().capabilities.long_lived(), Some(&[family][..]));
    assert!(peer.view().capabilities.contains(&"long-lived graceful restart".to_string()));
}
