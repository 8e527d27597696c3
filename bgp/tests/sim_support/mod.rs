//! Nodes by number for the simulations: node `n` is 10.0.0.`n+1` and originates 10.244.`n`.0/24.
#![allow(dead_code, clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp::config::Origination;
use bgp::sim::Net;
use bgp::{PeerConfig, PeerKey, SpeakerConfig};
use model::api::show::PeerKind;
use model::{Asn, Prefix, RouterId};

pub fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap()
}

pub fn address(node: usize) -> IpAddr {
    let octet = node as u32 + 1;
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + octet))
}

pub fn key(node: usize) -> PeerKey {
    PeerKey::new(address(node))
}

pub fn block(node: usize) -> Prefix {
    Prefix::new(Ipv4Addr::new(10, 244, node as u8, 0).into(), 24).unwrap()
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A node that originates its block and has no peers.
pub fn config(node: usize, local_as: u32) -> SpeakerConfig {
    let router_id = RouterId::new(0x0a00_0001 + node as u32).unwrap();
    let mut config = SpeakerConfig::new(router_id, asn(local_as));
    config.originate.insert(block(node), Origination::default());
    config.pools = vec!["10.244.0.0/16".parse().unwrap()];
    config
}

pub fn peer_with(config: &mut SpeakerConfig, node: usize, remote_as: u32) {
    config.peers.insert(key(node), PeerConfig::new(format!("node {node}"), asn(remote_as)));
}

pub fn mesh_config(node: usize, size: usize) -> SpeakerConfig {
    let mut config = config(node, 64512);
    for other in (0..size).filter(|other| *other != node) {
        let mut peer = PeerConfig::new(format!("Mesh_{other}"), asn(64512));
        peer.kind = PeerKind::Mesh;
        config.peers.insert(key(other), peer);
    }
    config
}

/// A mesh that has had ten seconds to come up.
pub fn mesh(size: usize, seed: u64) -> Net {
    let mut net = Net::new(seed);
    for node in 0..size {
        net.add(vec![address(node)], mesh_config(node, size));
    }
    net.run(seconds(10));
    net
}
