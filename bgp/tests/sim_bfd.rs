//! What the fall of a BFD session does to the BGP sessions on that path.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::time::Duration;

use bgp::Input;
use bgp::bfd::{Config, Fall};
use bgp::sim::Net;
use model::api::show::SessionState::Established;
use sim_support::{address, key, mesh, seconds};

const SILENCE: Fall = Fall::Silence(Duration::from_millis(900));

/// Three nodes; the first goes by BFD with the second. A change of BFD is hot.
fn watched() -> Net {
    let mut net = mesh(3, 1);
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().bfd = Some(Config::default()));
    net.run(seconds(1));
    net
}

fn falls(net: &mut Net, other: usize, fall: Fall) {
    net.input(0, Input::BfdFell { address: address(other), fall });
    net.run(Duration::from_millis(100));
}

#[test]
fn rfc9384_3_a_session_ends_with_cease_10_when_bfd_falls() {
    let mut net = watched();
    assert_eq!(net.node(0).state(key(1)), Some(Established));
    falls(&mut net, 1, SILENCE);
    assert_eq!(net.node(0).reason(key(1)), "BFD down: control detection time expired: nothing heard for 900 ms");
    let told = net.node(1).reason(key(0));
    assert!(told.starts_with("peer says: ") && told.contains("6/10"), "{told}");
    assert_eq!(net.node(0).state(key(2)), Some(Established), "the others stay");
    net.run(seconds(30));
    assert_eq!(net.node(0).state(key(1)), Some(Established), "and it is tried again");
}

#[test]
fn rfc5882_3_2_admin_down_of_the_peer_ends_nothing() {
    let mut net = watched();
    falls(&mut net, 1, Fall::AdminDown);
    assert_eq!(net.node(0).state(key(1)), Some(Established));
}

#[test]
fn a_peer_that_does_not_go_by_bfd_is_not_concerned() {
    let mut net = watched();
    falls(&mut net, 2, SILENCE);
    assert_eq!(net.node(0).state(key(2)), Some(Established));
}
