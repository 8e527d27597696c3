//! Peers that are reached by a gateway of their own (Calico's BGPPeer.spec.reachableBy).

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::Family;
use model::object::{BgpPeer, Node, Whom};

use crate::world::World;

/// The gateway of each peer of this node that has one, as an address each. Of two BGPPeers the one for some nodes counts
/// before the one for all, then the first by name.
pub fn gateways(world: &World) -> BTreeMap<IpAddr, IpAddr> {
    let Some(own) = world.objects.node(&world.node) else { return BTreeMap::new() };
    let mut peers: Vec<&BgpPeer> =
        world.objects.bgp_peers().filter(|peer| peer.reachable_by.is_some() && peer.is_for(own)).collect();
    peers.sort_by_key(|peer| peer.node.is_none() && peer.node_selector.is_none());
    let mut gateways = BTreeMap::new();
    for peer in peers {
        let Some(gateway) = peer.reachable_by else { continue };
        for address in addresses(world, own, peer, Family::of(gateway)) {
            // A gateway that is the peer itself is on a link, or is not reached at all.
            if address != gateway {
                gateways.entry(address).or_insert(gateway);
            }
        }
    }
    gateways
}

fn addresses(world: &World, own: &Node, peer: &BgpPeer, family: Family) -> Vec<IpAddr> {
    match &peer.whom {
        Whom::Address(address) => vec![address.address],
        Whom::Nodes(selector) => {
            let others = world.objects.nodes().filter(|other| other.name != own.name);
            let chosen = others.filter(|other| selector.chooses(&other.meta.labels));
            chosen.filter_map(|other| other.address(family)).map(|a| a.address).collect()
        }
        Whom::Range { .. } | Whom::Interface(_) => Vec::new(),
    }
}
