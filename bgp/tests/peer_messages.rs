//! Extended messages (RFC 8654): both sides must have said so, and the word of the OPENs is law.
#![allow(clippy::unwrap_used)]

mod peer_support;
mod sim_support;

use bgp::config::Origination;
use bgp::sim::Net;
use bgp::wire::notification::header;
use bgp::wire::{Capability, Community, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, Nlri, Transmit, encode};
use model::{Family, Prefix};
use peer_support::{Peer, attributes};
use sim_support::{address, block, config, peer_with, seconds};

const EXTENDED: Transmit = Transmit { max_message: MAX_EXTENDED_MESSAGE, ..Transmit::PLAIN };

/// An UPDATE of this many octets, and a bit: one prefix with many communities.
fn long_update(octets: u32) -> Vec<u8> {
    let mut draft = attributes(&[65001]).edit();
    draft.set_communities((0..octets / 4).map(|n| Community(0xfde9_0000 + n)));
    let mut update = Vec::new();
    encode::updates(Family::Ipv4, &draft.build(), [Nlri::plain(block(5))], &EXTENDED, &mut update).unwrap();
    update
}

/// An empty message with a header that says otherwise.
fn header_of(kind: u8, length: u16) -> Vec<u8> {
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind]].concat()
}

/// The longest message of the speaker, once it has told 5000 prefixes with the same attributes.
fn longest_update(theirs: Vec<Capability>) -> usize {
    let mut config = config(0, 64512);
    peer_with(&mut config, 1, 65001);
    for n in 0..5000u32 {
        let prefix = Prefix::new(std::net::Ipv4Addr::from_bits(0x0b00_0000 + (n << 8)).into(), 24).unwrap();
        config.originate.insert(prefix, Origination::default());
    }
    let mut peer = Peer::of(config, 65001);
    peer.establish(theirs);
    peer.said.iter().map(|said| said.octets).max().unwrap_or_default()
}

#[test]
fn rfc8654_4_the_capability_is_always_offered() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![]);
    assert!(peer.their_open().capabilities.contains(&Capability::ExtendedMessage));
}

#[test]
fn rfc8654_4_a_message_of_5000_octets_is_read_when_both_sides_said_so() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![Capability::ExtendedMessage]);
    assert!(peer.view().capabilities.contains(&"extended messages".to_string()));
    peer.send(&long_update(5000));
    assert!(peer.knows(5));
    peer.send(&long_update(65_000));
    assert!(peer.open && peer.knows(5));
}

#[test]
fn rfc8654_5_a_message_of_5000_octets_ends_the_session_when_the_peer_had_not_said_so() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![]);
    peer.send(&long_update(5000));
    assert!(peer.told().unwrap().is(header::BAD_LENGTH), "{:?}", peer.told());
    assert!(!peer.knows(5));
}

#[test]
fn rfc8654_5_no_open_and_no_keepalive_is_ever_long() {
    for kind in [1, 4] {
        let mut peer = Peer::new(65001, |_| {});
        peer.establish(vec![Capability::ExtendedMessage]);
        peer.send(&header_of(kind, 4097));
        assert!(peer.told().unwrap().is(header::BAD_LENGTH), "type {kind}");
    }
}

#[test]
fn rfc8654_4_a_session_that_comes_back_without_the_capability_is_bounded_again() {
    let mut peer = Peer::new(65001, |_| {});
    peer.establish(vec![Capability::ExtendedMessage]);
    peer.lose();
    peer.establish(vec![]);
    peer.send(&header_of(2, 4097));
    assert!(peer.told().unwrap().is(header::BAD_LENGTH));
}

#[test]
fn rfc8654_4_messages_are_long_only_to_a_peer_that_said_so() {
    let plain = longest_update(vec![]);
    assert!(plain <= MAX_MESSAGE, "{plain}");
    let extended = longest_update(vec![Capability::ExtendedMessage]);
    assert!(extended > 4 * MAX_MESSAGE, "{extended}");
}

#[test]
fn rfc8654_4_a_route_with_8000_octets_of_communities_goes_through_three_ases() {
    let mut transit = config(0, 64512);
    peer_with(&mut transit, 1, 65001);
    peer_with(&mut transit, 2, 65002);
    transit.peers.values_mut().for_each(|peer| peer.export = bgp::config::ExportPolicy::All);
    let mut net = Net::new(3);
    net.add(vec![address(0)], transit);
    let mut origin = config(1, 65001);
    peer_with(&mut origin, 0, 64512);
    let long = Origination { communities: (0..2000).collect(), ..Origination::default() };
    origin.originate.insert(block(9), long);
    net.add(vec![address(1)], origin);
    let mut far = config(2, 65002);
    peer_with(&mut far, 0, 64512);
    net.add(vec![address(2)], far);
    net.run(seconds(10));
    let beliefs = net.beliefs();
    assert!(beliefs[0].contains_key(&block(9).to_string()));
    assert!(beliefs[2].contains_key(&block(9).to_string()));
}

#[test]
fn rfc8654_6_attributes_too_long_for_a_peer_keep_their_route_from_it_and_nothing_else() {
    let mut peer = Peer::new(65001, |peer| peer.export = bgp::config::ExportPolicy::All);
    let mut config = peer.speaker.config().clone();
    config.originate.insert(block(9), Origination { communities: (0..2000).collect(), ..Origination::default() });
    peer.input(bgp::Input::Configure(Box::new(config)));
    peer.establish(vec![]);
    let told = peer.said.iter().filter_map(|said| match &said.message {
        Message::Update(update) => Some(update.reachable_prefixes()),
        _ => None,
    });
    assert_eq!(told.sum::<usize>(), 1, "its own block, without the communities");
}
