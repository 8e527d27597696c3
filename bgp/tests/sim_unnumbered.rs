//! Sessions between link-local addresses, and IPv4 routes with IPv6 next hops (RFC 8950, RFC 2545).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use bgp::config::{ExtendedNextHop, NextHopMode, Origination, Reflection};
use bgp::sim::Net;
use bgp::speaker::NextHops;
use bgp::{PeerConfig, PeerKey, SpeakerConfig};
use model::{ClusterId, Family, Prefix};
use sim_support::{address, asn, block, config, key, peer_with, seconds};

fn on_link(node: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, node as u16 + 1)
}

fn global(node: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, node as u16 + 1)
}

fn block6(node: usize) -> Prefix {
    Prefix::new(Ipv6Addr::new(0xfd00, node as u16, 0, 0, 0, 0, 0, 0).into(), 64).unwrap()
}

/// The peer `node` on the link of interface `index`, which has the same index at both ends.
fn link_key(node: usize, index: u32) -> PeerKey {
    PeerKey::new(on_link(node).into()).on_link(NonZeroU32::new(index).unwrap())
}

fn both_families(node: usize, local_as: u32) -> SpeakerConfig {
    let mut config = config(node, local_as);
    config.originate.insert(block6(node), Origination::default());
    config
}

fn extended(remote_as: u32) -> PeerConfig {
    let mut peer = PeerConfig::new("router", asn(remote_as));
    peer.extended_next_hop = ExtendedNextHop::Offered;
    peer
}

/// Nodes 0 and 1, in two ASes, with a session over the link of each of these interfaces.
fn links(indices: &[u32], change: fn(usize, &mut SpeakerConfig)) -> Net {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = both_families(node, 65000 + node as u32);
        for index in indices {
            config.peers.insert(link_key(1 - node, *index), extended(65001 - node as u32));
        }
        change(node, &mut config);
        net.add(vec![address(node), on_link(node).into(), global(node).into()], config);
    }
    net.run(seconds(10));
    net
}

/// `address link-local%link` of each next hop.
fn hops(net: &Net, node: usize, prefix: Prefix) -> Vec<String> {
    let text = |hops: &NextHops| -> Vec<String> {
        let link = |peer: PeerKey| peer.scope.map_or(String::new(), |scope| format!("%{scope}"));
        let local = |local: Option<Ipv6Addr>| local.map_or(String::new(), |local| format!(" {local}"));
        hops.iter().map(|hop| format!("{}{}{}", hop.address, local(hop.link_local), link(hop.peer))).collect()
    };
    net.node(node).kernel.get(&prefix).map(text).unwrap_or_default()
}

fn families(net: &Net) -> Vec<Family> {
    net.node(0).speaker.as_ref().unwrap().peers()[0].view.families.clone()
}

#[test]
fn rfc8950_a_link_without_addresses_carries_ipv4_and_ipv6() {
    let net = links(&[2], |_, _| ());
    assert_eq!(families(&net), [Family::Ipv4, Family::Ipv6]);
    assert_eq!(hops(&net, 0, block(1)), ["fe80::2%2"]);
    assert_eq!(hops(&net, 0, block6(1)), ["fe80::2%2"]);
    assert_eq!(hops(&net, 1, block(0)), ["fe80::1%2"]);
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn rfc2545_3_who_has_a_global_address_tells_it_beside_the_link_local_one() {
    let net = links(&[2], |node, config| config.local_ipv6 = Some(global(node)));
    assert_eq!(hops(&net, 0, block6(1)), ["2001:db8::2 fe80::2%2"]);
    assert_eq!(hops(&net, 0, block(1)), ["2001:db8::2 fe80::2%2"]);
}

#[test]
fn two_links_to_one_router_are_two_next_hops() {
    let mut net = links(&[2, 3], |_, _| ());
    assert_eq!(net.node(0).established(), 2);
    let mut both = hops(&net, 0, block(1));
    both.sort();
    assert_eq!(both, ["fe80::2%2", "fe80::2%3"]);
    net.configure(1, |config| drop(config.peers.remove(&link_key(0, 2))));
    net.run(seconds(5));
    assert_eq!(hops(&net, 0, block(1)), ["fe80::2%3"]);
}

#[test]
fn a_link_local_peer_on_another_link_is_a_stranger() {
    let net = links(&[2], |node, config| {
        if node == 1 {
            config.peers = [(link_key(0, 7), extended(65000))].into();
        }
    });
    assert_eq!((net.node(0).established(), net.node(1).established()), (0, 0));
}

/// Nodes 0 and 1 with a session between global IPv6 addresses.
fn numbered(change: fn(usize, &mut SpeakerConfig)) -> Net {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = both_families(node, 65000 + node as u32);
        config.local_ipv6 = Some(global(node));
        config.peers.insert(PeerKey::new(global(1 - node).into()), extended(65001 - node as u32));
        change(node, &mut config);
        net.add(vec![global(node).into()], config);
    }
    net.run(seconds(10));
    net
}

#[test]
fn rfc8950_4_ipv4_goes_over_ipv6_only_where_both_sides_say_so() {
    let both = numbered(|_, _| ());
    assert_eq!((families(&both).len(), hops(&both, 0, block(1))), (2, vec!["2001:db8::2".to_string()]));
    let one = numbered(|node, config| {
        if node == 1 {
            config.peers.values_mut().for_each(|peer| peer.extended_next_hop = ExtendedNextHop::Absent);
        }
    });
    assert_eq!((families(&one), hops(&one, 0, block(1))), (vec![Family::Ipv6], vec![]));
    assert_eq!(hops(&one, 0, block6(1)), ["2001:db8::2"]);
}

#[test]
fn rfc2545_3_a_peer_on_a_common_subnet_hears_the_link_local_address_too_and_no_other_does() {
    let mut net = numbered(|node, config| {
        config.link_locals.insert("2001:db8::/64".parse().unwrap(), on_link(node));
    });
    assert_eq!(hops(&net, 0, block6(1)), ["2001:db8::2 fe80::2"]);
    net.configure(1, |config| config.link_locals = [("2001:db8:1::/64".parse().unwrap(), on_link(1))].into());
    net.run(seconds(5));
    assert_eq!(hops(&net, 0, block6(1)), ["2001:db8::2"], "told anew, without a reset");
    assert_eq!(net.node(0).speaker.as_ref().unwrap().peers()[0].view.established_count, 1);
}

/// Node 0 reflects between client 1, on an unnumbered link, and client 2, over IPv4; `mode` is towards client 2.
fn reflected(mode: NextHopMode) -> Net {
    let mut net = Net::new(1);
    let mut hub = config(0, 64512);
    hub.cluster_id = Some(ClusterId(1));
    let client = |mut peer: PeerConfig| {
        peer.reflection = Reflection::Client;
        peer
    };
    hub.peers.insert(link_key(1, 2), client(extended(64512)));
    let mut second = client(PeerConfig::new("client", asn(64512)));
    second.next_hop = mode;
    hub.peers.insert(key(2), second);
    net.add(vec![address(0), on_link(0).into()], hub);
    let mut first = config(1, 64512);
    first.peers.insert(link_key(0, 2), extended(64512));
    net.add(vec![on_link(1).into()], first);
    let mut second = config(2, 64512);
    peer_with(&mut second, 0, 64512);
    net.add(vec![address(2)], second);
    net.run(seconds(10));
    net
}

#[test]
fn rfc8950_4_a_peer_that_takes_no_ipv6_next_hops_is_told_our_own() {
    for mode in [NextHopMode::Auto, NextHopMode::Keep, NextHopMode::SelfAddress] {
        let net = reflected(mode);
        assert_eq!(hops(&net, 0, block(1)), ["fe80::2%2"]);
        assert_eq!(hops(&net, 2, block(1)), [address(0).to_string()], "{mode:?}");
        assert_eq!(hops(&net, 1, block(2)), [format!("{}%2", address(2))], "the other way an IPv4 next hop stays");
    }
}

#[test]
fn an_offer_of_ipv6_next_hops_that_changes_resets_the_session() {
    let mut net = numbered(|_, _| ());
    let peer = PeerKey::new(IpAddr::from(global(1)));
    net.configure(0, |config| {
        config.peers.get_mut(&peer).unwrap().extended_next_hop = ExtendedNextHop::Absent;
    });
    net.run(seconds(10));
    let view = net.node(0).speaker.as_ref().unwrap().peers().remove(0).view;
    assert_eq!((view.established_count, view.families), (2, vec![Family::Ipv6]));
}
