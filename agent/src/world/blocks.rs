//! Blocks of pools, as the API server or files have them, and which of them are this node's.

use ipam::block::{Picture, Told};
use model::object::{AffinityState, IpPool, IpamBlockSpec, Node};
use model::{NodeName, Prefix};

use super::{Dirty, DirtyRoutes, Objects, World};

impl World {
    /// Takes in what the API told of blocks. Nothing follows for routes unless a block comes or goes.
    pub(super) fn learn_block(&mut self, told: Told) -> Dirty {
        let before = own(&self.picture, &self.objects, &self.node);
        self.picture.learn(told, self.node.as_str());
        let now = own(&self.picture, &self.objects, &self.node);
        if before == now {
            return Dirty::nothing();
        }
        let routes = before.into_iter().chain(now).collect();
        Dirty { bgp: true, tunnel: true, routes: DirtyRoutes::Some(routes), ..Dirty::nothing() }
    }

    /// This node's blocks in order: claimed through the API, or written in files.
    pub fn own_blocks(&self) -> Vec<Prefix> {
        own(&self.picture, &self.objects, &self.node)
    }

    /// All that is this node's: its pod CIDRs, and its blocks.
    pub fn own_prefixes(&self) -> Vec<Prefix> {
        let node = self.objects.node(&self.node);
        let cidrs = node.into_iter().flat_map(|node| node.pod_cidrs.iter().copied());
        cidrs.chain(self.own_blocks()).collect()
    }

    /// This node's addresses beyond what is its own: borrowed of others' blocks, or brought along by their pods. Each is a
    /// route and an announcement of its own.
    pub fn lone_addresses(&self) -> Vec<Prefix> {
        let own = self.own_prefixes();
        // In a pool of pod CIDRs an address that is not of ours is of another node's by now.
        let pools: Vec<Prefix> = self.carved_pools().map(|pool| pool.cidr).collect();
        let addresses = self.leases.iter().flat_map(|lease| lease.addresses.iter().copied());
        let inside = |all: &[Prefix], address| all.iter().any(|prefix| prefix.contains(address));
        addresses.filter(|a| !inside(&own, *a) && inside(&pools, *a)).map(Prefix::host).collect()
    }

    /// Pools that are carved into blocks: those that no node's pod CIDR touches. The others are the pod CIDRs' own.
    pub fn carved_pools(&self) -> impl Iterator<Item = &IpPool> {
        let touches = |node: &Node, pool: &IpPool| node.pod_cidrs.iter().any(|cidr| cidr.overlaps(&pool.cidr));
        self.objects.pools().filter(move |pool| !self.objects.nodes().any(|node| touches(node, pool)))
    }

    /// Blocks of this node that are written in files.
    pub fn file_blocks(&self) -> impl Iterator<Item = &IpamBlockSpec> {
        of_files(&self.objects, &self.node)
    }
}

fn own(picture: &Picture, objects: &Objects, node: &NodeName) -> Vec<Prefix> {
    let claimed = picture.own(node.as_str()).map(|block| block.cidr);
    let mut own: Vec<Prefix> = claimed.chain(of_files(objects, node).map(|block| block.cidr)).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// A block whose claim is there and is not confirmed is nobody's yet.
fn of_files<'a>(objects: &'a Objects, node: &'a NodeName) -> impl Iterator<Item = &'a IpamBlockSpec> {
    let mine = objects.blocks().filter(|block| block.host() == Some(node.as_str()) && !block.deleted);
    mine.filter(|block| {
        let mut claims =
            objects.block_affinities().filter(|claim| claim.cidr == block.cidr && claim.node == node.as_str());
        claims.all(|claim| claim.state == AffinityState::Confirmed)
    })
}
