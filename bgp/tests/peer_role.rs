//! Roles and route leaks (RFC 9234), as one peer sees them.
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::config::{ExportPolicy, Role, RoleCheck};
use bgp::sim::Net;
use bgp::wire::notification::open;
use bgp::wire::{Attributes, Capability, Message};
use model::api::show::{BgpRoutes, BgpTable, RouteView, SessionState};
use peer_support::{Peer, attributes};
use sim_support::{address, asn, block, config, key, peer_with, seconds};

const ROLES: [Role; 5] = [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer];

fn session(ours: Role, theirs: Option<Role>) -> Peer {
    let mut peer = Peer::new(65001, |peer| {
        peer.role = Some(ours);
        peer.export = ExportPolicy::All;
    });
    peer.dial(theirs.into_iter().map(Capability::Role).collect());
    peer.keepalive();
    peer
}

/// Attributes of a route of the peer that bear this OTC.
fn otc(number: u32) -> Attributes {
    let mut draft = attributes(&[65001]).edit();
    draft.set_only_to_customer(asn(number));
    draft.build()
}

fn received(peer: &Peer) -> RouteView {
    let question = BgpRoutes { table: BgpTable::Received, peer: None, within: None, after: None };
    peer.speaker.routes(&question).routes.remove(0)
}

#[test]
fn rfc9234_4_1_the_role_is_announced_to_external_peers_only() {
    for (remote_as, announced) in [(65001, true), (64512, false)] {
        let mut peer = Peer::new(remote_as, |peer| peer.role = Some(Role::Customer));
        peer.establish(vec![]);
        assert_eq!(peer.their_open().capabilities.contains(&Capability::Role(Role::Customer)), announced);
    }
}

#[test]
fn rfc9234_4_2_roles_that_do_not_fit_end_with_2_11_and_both_are_named() {
    let fits = [(0, 3), (1, 2), (2, 1), (3, 0), (4, 4)];
    for (ours, theirs) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
        let peer = session(ROLES[ours], Some(ROLES[theirs]));
        let up = peer.view().state == SessionState::Established;
        assert_eq!(up, fits.contains(&(ours, theirs)), "{:?} and {:?}", ROLES[ours], ROLES[theirs]);
        if !up {
            assert!(peer.told().unwrap().is(open::ROLE_MISMATCH));
        }
    }
    let reason = session(Role::Customer, Some(Role::Peer)).view().reason;
    assert_eq!(reason, "role mismatch: we are customer to the peer, which says that it is peer");
    let agreed = session(Role::Customer, Some(Role::Provider)).view().capabilities;
    assert!(agreed.contains(&"role customer of a provider".to_string()), "{agreed:?}");
}

#[test]
fn rfc9234_4_2_a_peer_without_a_role_is_refused_where_it_must_have_one() {
    assert_eq!(session(Role::Customer, None).view().state, SessionState::Established);
    let mut peer = Peer::new(65001, |peer| {
        (peer.role, peer.role_check) = (Some(Role::Customer), RoleCheck::Strict);
    });
    peer.dial(vec![]);
    assert!(peer.told().unwrap().is(open::ROLE_MISMATCH));
    assert!(peer.view().reason.contains("announces no role"), "{}", peer.view().reason);
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![Capability::Role(Role::Peer)]);
    assert!(peer.view().state == SessionState::Established, "where none is configured, none matters");
}

#[test]
fn rfc9234_5_ingress_what_is_a_leak_is_refused_with_the_reason() {
    for (ours, theirs, otc_of, refused) in [
        (Role::Provider, Role::Customer, 65001, Some("from a customer")),
        (Role::Provider, Role::Customer, 65009, Some("from a customer")),
        (Role::RouteServer, Role::RouteServerClient, 65001, Some("from a customer")),
        (Role::Peer, Role::Peer, 65009, Some("from a lateral peer")),
        (Role::Peer, Role::Peer, 65001, None),
        (Role::Customer, Role::Provider, 65009, None),
        (Role::RouteServerClient, Role::RouteServer, 65009, None),
    ] {
        let mut peer = session(ours, Some(theirs));
        peer.announce(&otc(otc_of), &[5]);
        assert_eq!(peer.knows(5), refused.is_none(), "{ours:?}, OTC {otc_of}");
        let row = received(&peer);
        assert_eq!(row.only_to_customer, Some(asn(otc_of)));
        if let Some(words) = refused {
            assert!(row.reason.starts_with("refused: route leak") && row.reason.contains(words), "{}", row.reason);
        }
    }
}

#[test]
fn rfc9234_5_ingress_otc_of_as_0_is_a_mark_like_any_other() {
    let mut update = Vec::new();
    let zero = otc(65001);
    let prefix = [bgp::wire::Nlri::plain(block(5))];
    bgp::wire::encode::updates(model::Family::Ipv4, &zero, prefix, &bgp::wire::Transmit::PLAIN, &mut update).unwrap();
    let at = update.windows(3).position(|w| w == [0xc0, 35, 4]).unwrap();
    update[at + 3..at + 7].fill(0);
    let mut peer = session(Role::Provider, Some(Role::Customer));
    peer.send(&update);
    assert!(peer.open && !peer.knows(5));
}

#[test]
fn rfc9234_5_a_malformed_otc_is_treated_as_withdraw() {
    let mut peer = session(Role::Customer, Some(Role::Provider));
    peer.announce(&attributes(&[65001]), &[5]);
    assert!(peer.knows(5));
    let path = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
    let attributes = [&[0x40, 1, 1, 0][..], &path, &[0x40, 3, 4, 10, 0, 0, 2], &[0xc0, 35, 3, 0, 0xfd, 0xe9]].concat();
    let body = [&[0, 0, 0, attributes.len() as u8][..], &attributes, &[24, 10, 244, 5]].concat();
    let header = [&[0xff; 16][..], &[0, 19 + body.len() as u8, 2]].concat();
    peer.send(&[header, body].concat());
    assert!(peer.open && !peer.knows(5));
}

#[test]
fn rfc9234_5_ingress_3_a_route_from_above_or_beside_is_marked_with_the_peers_as() {
    for (ours, marked) in [
        (Role::Customer, true),
        (Role::Peer, true),
        (Role::RouteServerClient, true),
        (Role::Provider, false),
        (Role::RouteServer, false),
    ] {
        let mut peer = session(ours, None);
        peer.announce(&attributes(&[65001]), &[5]);
        assert!(peer.knows(5));
        assert_eq!(received(&peer).only_to_customer, marked.then(|| asn(65001)), "{ours:?}");
    }
}

/// What the speaker tells a peer to which it is this: of its own block, and of one that bears OTC already.
fn told(ours: Role) -> Vec<(String, Option<u32>)> {
    let mut config = config(0, 64512);
    peer_with(&mut config, 1, 65001);
    peer_with(&mut config, 2, 65002);
    for peer in config.peers.values_mut() {
        (peer.export, peer.dial) = (ExportPolicy::All, bgp::config::Dialling::Passive);
    }
    config.peers.get_mut(&key(1)).unwrap().role = Some(ours);
    let mut upstream = sim_support::config(2, 65002);
    peer_with(&mut upstream, 0, 64512);
    upstream.peers.get_mut(&key(0)).unwrap().role = Some(Role::Provider);
    config.peers.get_mut(&key(2)).unwrap().role = Some(Role::Customer);
    let mut below = sim_support::config(1, 65001);
    below.originate.clear();
    peer_with(&mut below, 0, 64512);
    let mut net = Net::new(1);
    for (node, config) in [config, below, upstream].into_iter().enumerate() {
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    let question = BgpRoutes { table: BgpTable::Received, peer: None, within: None, after: None };
    let rows = net.node(1).speaker.as_ref().unwrap().routes(&question).routes;
    rows.iter().map(|row| (row.prefix.to_string(), row.only_to_customer.map(|asn| asn.value()))).collect()
}

#[test]
fn rfc9234_5_egress_what_bears_otc_goes_down_only_and_what_goes_down_or_beside_bears_it() {
    let (own, theirs) = (block(0).to_string(), block(2).to_string());
    for (ours, expected) in [
        // The upstream has marked its block with its own AS.
        (Role::Provider, vec![(own.clone(), Some(64512)), (theirs.clone(), Some(65002))]),
        (Role::RouteServer, vec![(own.clone(), Some(64512)), (theirs.clone(), Some(65002))]),
        (Role::Peer, vec![(own.clone(), Some(64512))]),
        (Role::Customer, vec![(own.clone(), None)]),
        (Role::RouteServerClient, vec![(own.clone(), None)]),
    ] {
        assert_eq!(told(ours), expected, "{ours:?}");
    }
}

#[test]
fn rfc9234_5_without_a_role_otc_passes_as_it_is() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![Capability::Role(Role::Customer)]);
    peer.announce(&otc(65009), &[5]);
    assert!(peer.knows(5));
    assert_eq!(received(&peer).only_to_customer, Some(asn(65009)));
    let marked = peer.said.iter().any(|said| match &said.message {
        Message::Update(update) => update.reachable.iter().any(|r| r.attributes.has_only_to_customer()),
        _ => false,
    });
    assert!(!marked, "what we tell is not marked either");
}
