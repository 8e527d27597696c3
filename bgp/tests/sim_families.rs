//! IPv4 and IPv6 over sessions of either family.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::net::{IpAddr, Ipv6Addr};

use bgp::config::Origination;
use bgp::sim::Net;
use bgp::{PeerConfig, PeerKey, SpeakerConfig};
use model::{Family, Prefix};
use sim_support::{address, asn, block, config, seconds};

fn address6(node: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, node as u16 + 1)
}

fn block6(node: usize) -> Prefix {
    Prefix::new(Ipv6Addr::new(0xfd00, node as u16, 0, 0, 0, 0, 0, 0).into(), 64).unwrap()
}

/// Nodes 0 and 1 with both families, with a session at the addresses that `at` picks.
fn pair(at: fn(usize) -> IpAddr, change: fn(&mut SpeakerConfig)) -> Net {
    let mut net = Net::new(1);
    for node in 0..2 {
        let mut config = config(node, 64512);
        config.local_ipv6 = Some(address6(node));
        config.originate.insert(block6(node), Origination::default());
        config.peers.insert(PeerKey::new(at(1 - node)), PeerConfig::new("other", asn(64512)));
        change(&mut config);
        net.add(vec![address(node), address6(node).into()], config);
    }
    net.run(seconds(5));
    net
}

fn families(net: &Net) -> Vec<Family> {
    net.node(0).speaker.as_ref().unwrap().peers()[0].view.families.clone()
}

#[test]
fn rfc4760_a_session_over_ipv4_carries_ipv6_with_the_nodes_ipv6_address_as_next_hop() {
    let net = pair(address, |_| ());
    assert_eq!(families(&net), [Family::Ipv4, Family::Ipv6]);
    let beliefs = &net.beliefs()[0];
    assert_eq!(beliefs.get(&block6(1).to_string()), Some(&vec![address6(1).to_string()]));
    assert_eq!(beliefs.get(&block(1).to_string()), Some(&vec![address(1).to_string()]));
}

#[test]
fn without_an_ipv6_address_a_session_over_ipv4_offers_ipv4_only() {
    let net = pair(address, |config| config.local_ipv6 = None);
    assert_eq!(families(&net), [Family::Ipv4]);
    assert_eq!(net.beliefs()[0].len(), 1);
}

#[test]
fn a_session_over_ipv6_carries_ipv6() {
    let net = pair(|node| address6(node).into(), |_| ());
    assert_eq!(families(&net), [Family::Ipv6]);
    assert_eq!(net.beliefs()[0].get(&block6(1).to_string()), Some(&vec![address6(1).to_string()]));
    assert_eq!(net.beliefs()[0].len(), 1);
}

#[test]
fn two_sessions_of_both_families_give_every_route_once() {
    let net = pair(address, |config| {
        let other = if config.local_ipv6 == Some(address6(0)) { 1 } else { 0 };
        config.peers.insert(PeerKey::new(address6(other).into()), PeerConfig::new("other, by IPv6", asn(64512)));
    });
    assert_eq!(net.node(0).established(), 2);
    assert_eq!(net.beliefs()[0].get(&block6(1).to_string()), Some(&vec![address6(1).to_string()]), "one next hop");
}

#[test]
fn a_new_ipv6_address_of_the_node_is_told_without_a_reset() {
    let mut net = pair(address, |_| ());
    net.configure(1, |config| config.local_ipv6 = Some(address6(9)));
    net.run(seconds(1));
    assert_eq!(net.beliefs()[0].get(&block6(1).to_string()), Some(&vec![address6(9).to_string()]));
    let status = &net.node(0).speaker.as_ref().unwrap().peers()[0];
    assert_eq!(status.view.established_count, 1);
}

#[test]
fn an_ipv6_address_that_comes_later_resets_the_session_that_can_now_carry_ipv6() {
    let mut net = pair(address, |config| config.local_ipv6 = None);
    for node in 0..2 {
        net.configure(node, |config| config.local_ipv6 = Some(address6(node)));
    }
    net.run(seconds(10));
    assert_eq!(families(&net), [Family::Ipv4, Family::Ipv6]);
    assert_eq!(net.beliefs()[0].len(), 2);
}
