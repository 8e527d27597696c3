//! What outlives a NOTIFICATION: the N bit and the hard reset (RFC 8538).
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::speaker::ResetError;
use bgp::wire::notification::{self, Code, cease, header};
use bgp::wire::{Capability, Message, Notification};
use bgp::{Input, config::Secret};
use model::api::show::SessionState;
use model::api::{BgpReset, ResetKind};
use peer_support::{Peer, Said, attributes, restart};
use sim_support::{key, mesh, seconds};

/// What ends a session.
type Ending<'a> = &'a dyn Fn(&mut Peer);

/// A session with these bits, on which the peer has told block 5.
fn told_one(flags: &str) -> Peer {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![restart(flags)]);
    peer.announce(&attributes(&[65001]), &[5]);
    assert!(peer.knows(5));
    peer
}

/// What the NOTIFICATION sent is about, and whether it is a hard reset round that.
fn last_words(peer: &Peer) -> (Code, bool) {
    let told = peer.told().unwrap();
    let inner = told.hard_reset_reason();
    let about = inner.as_ref().unwrap_or(told);
    ((about.code, about.subcode), inner.is_some())
}

#[test]
fn rfc8538_2_the_n_bit_is_offered() {
    let peer = told_one("F");
    let ours = peer.their_open().capabilities.iter().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart.notification),
        _ => None,
    });
    assert_eq!(ours, Some(true));
    let named = |peer: &Peer| peer.view().capabilities.iter().any(|name| name == "graceful restart after notification");
    assert!(!named(&peer), "the peer did not say so");
    assert!(named(&told_one("NF")));
}

#[test]
fn rfc8538_4_a_notification_of_the_peer_keeps_its_routes_where_both_set_the_n_bit() {
    for (flags, kept) in [("NF", true), ("F", false)] {
        let mut peer = told_one(flags);
        peer.notify(&Notification::new(cease::ADMINISTRATIVE_RESET));
        assert_eq!((peer.knows(5), peer.view().stale), (kept, u64::from(kept)), "flags {flags:?}");
        assert!(peer.view().reason.contains("administrative reset (6/4)"), "{}", peer.view().reason);
    }
}

#[test]
fn rfc8538_4_kept_routes_go_when_the_restart_time_is_over_or_the_peer_ends_its_rib_without_them() {
    let mut peer = told_one("NF");
    peer.notify(&Notification::new(cease::ADMINISTRATIVE_RESET));
    peer.silence(seconds(119));
    assert!(peer.knows(5));
    peer.silence(seconds(2));
    assert!(!peer.knows(5), "it announced 120 s");

    let mut peer = told_one("NF");
    peer.notify(&Notification::new(cease::ADMINISTRATIVE_RESET));
    peer.silence(seconds(5));
    peer.establish(vec![restart("NF")]);
    assert!(peer.knows(5));
    peer.end_of_rib();
    assert!(!peer.knows(5));
}

#[test]
fn rfc8538_3_1_a_hard_reset_of_the_peer_takes_its_routes_at_once_and_its_reason_is_shown() {
    let mut peer = told_one("NF");
    peer.notify(&Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "moving to another rack").hard_reset());
    assert!(!peer.knows(5));
    let reason = peer.view().reason;
    for part in ["hard reset (6/9)", "administrative shutdown (6/2)", "moving to another rack"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn rfc8538_4_an_expired_hold_timer_keeps_the_routes_where_both_set_the_n_bit() {
    for (flags, kept) in [("NF", true), ("F", false)] {
        let mut peer = told_one(flags);
        peer.silence(seconds(91));
        assert_ne!(peer.view().state, SessionState::Established);
        assert_eq!(last_words(&peer), (notification::HOLD_TIMER_EXPIRED, false));
        assert_eq!(peer.knows(5), kept, "flags {flags:?}");
    }
}

#[test]
fn rfc8538_4_who_sends_a_notification_keeps_the_routes_too() {
    for (flags, kept) in [("NF", true), ("F", false)] {
        let mut peer = told_one(flags);
        peer.send(&[0; 19]);
        assert_eq!(last_words(&peer), (header::NOT_SYNCHRONIZED, false));
        assert_eq!(peer.knows(5), kept, "flags {flags:?}");
    }
}

#[test]
fn rfc8538_5_1_what_we_mean_for_good_is_a_hard_reset_round_the_true_reason() {
    let shut_down = |peer: &mut Peer| peer.input(Input::Shutdown { message: "leaving".into() });
    let deconfigure = |peer: &mut Peer| {
        let mut config = peer.speaker.config().clone();
        config.peers.clear();
        peer.input(Input::Configure(Box::new(config)));
    };
    let other_identity = |peer: &mut Peer| {
        let mut config = peer.speaker.config().clone();
        config.router_id = model::RouterId::new(77).unwrap();
        peer.input(Input::Configure(Box::new(config)));
    };
    let means: [(Code, Ending<'_>); 3] = [
        (cease::ADMINISTRATIVE_SHUTDOWN, &shut_down),
        (cease::PEER_DECONFIGURED, &deconfigure),
        (cease::OTHER_CONFIGURATION_CHANGE, &other_identity),
    ];
    for (code, end) in means {
        for (flags, wrapped) in [("NF", true), ("F", false)] {
            let mut peer = told_one(flags);
            end(&mut peer);
            assert_eq!(last_words(&peer), (code, wrapped), "flags {flags:?}");
            assert!(!peer.knows(5), "{code:?}");
        }
    }
    let mut peer = told_one("NF");
    shut_down(&mut peer);
    assert!(peer.told().unwrap().to_string().contains("leaving"), "the message is inside");
}

#[test]
fn rfc8538_5_1_a_new_password_resets_the_session_and_keeps_its_routes() {
    let mut peer = told_one("NF");
    let mut config = peer.speaker.config().clone();
    config.peers.get_mut(&key(1)).unwrap().password = Some(Secret::new("new"));
    peer.input(Input::Configure(Box::new(config)));
    assert_eq!(last_words(&peer), (cease::OTHER_CONFIGURATION_CHANGE, false));
    assert!(peer.knows(5));
    peer.establish(vec![restart("NF")]);
    peer.announce(&attributes(&[65001]), &[5]);
    peer.end_of_rib();
    assert!(peer.knows(5));
}

#[test]
fn a_notification_between_two_of_us_rewrites_not_one_kernel_route() {
    let mut net = mesh(3, 1);
    let writes = |net: &bgp::sim::Net| net.nodes().map(|(_, node)| node.kernel_writes).collect::<Vec<_>>();
    let before = writes(&net);
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().ttl_security = Some(1));
    net.run(seconds(1));
    assert!(net.node(1).reason(key(0)).contains("6/6") || net.node(1).established() == 2);
    net.run(seconds(30));
    assert_eq!(net.node(0).established(), 2);
    assert_eq!(writes(&net), before);
    assert_eq!(net.faults, Vec::<String>::new());
}

fn by_hand(peer: &mut Peer, whom: &str, how: ResetKind) -> Result<usize, ResetError> {
    let done = peer.speaker.reset(peer.now, &BgpReset { peer: whom.into(), how });
    peer.outputs();
    done
}

#[test]
fn rfc4486_4_a_reset_by_hand_is_told_and_keeps_the_routes_unless_it_is_hard() {
    for (how, kept) in [(ResetKind::Session, true), (ResetKind::Hard, false)] {
        let mut peer = told_one("NF");
        assert_eq!(by_hand(&mut peer, "10.0.0.2", how), Ok(1));
        assert_eq!(last_words(&peer), (cease::ADMINISTRATIVE_RESET, !kept));
        assert_eq!(peer.knows(5), kept);
        assert_eq!(peer.view().last_error.as_deref(), Some("reset by margayctl"));
        peer.establish(vec![restart("NF")]);
    }
}

#[test]
fn a_soft_reset_by_hand_leaves_the_session_up_and_has_the_routes_told_again() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![Capability::RouteRefresh]);
    peer.said.clear();
    assert_eq!(by_hand(&mut peer, "node 1", ResetKind::SoftIn), Ok(1));
    assert!(matches!(peer.said[..], [Said { message: Message::RouteRefresh(_), .. }]), "{:?}", peer.said);
    peer.said.clear();
    assert_eq!(by_hand(&mut peer, "node 1", ResetKind::SoftOut), Ok(1));
    assert!(matches!(peer.said[..], [Said { message: Message::Update(_), .. }]), "{:?}", peer.said);
    assert_eq!(peer.view().established_count, 1);
}

#[test]
fn a_reset_that_cannot_be_done_says_why() {
    let mut peer = Peer::new(65001, |_| {});
    assert_eq!(by_hand(&mut peer, "nobody", ResetKind::Session), Err(ResetError::NoPeer("nobody".into())));
    assert!(matches!(by_hand(&mut peer, "10.0.0.2", ResetKind::SoftOut), Err(ResetError::NotUp(..))));
    peer.establish(vec![]);
    let refused = by_hand(&mut peer, "10.0.0.2", ResetKind::SoftIn);
    assert_eq!(refused, Err(ResetError::NoRefresh("10.0.0.2".into())));
}
