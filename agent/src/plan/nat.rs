//! Which packets leave with the node's address instead of the pod's, and which to service addresses go no further.

use std::collections::BTreeSet;

use dataplane::want::{Nat, Strays};
use model::Prefix;
use model::object::{AllowedUse, FelixSettings, NatOutgoingExclusions, ServiceBlocks, ServiceLoopPrevention};

use crate::world::World;

/// `natOutgoing`: what comes from such a pool and goes to no pool is masqueraded. A disabled pool still counts, as its
/// pods live on; one for service addresses only is no place that pods are in. Nodes are outside, unless a FelixConfiguration
/// excludes them (`natOutgoingExclusions`).
pub fn nat(world: &World) -> Nat {
    let of_pods = |uses: &[AllowedUse]| uses.contains(&AllowedUse::Workload) || uses.contains(&AllowedUse::Tunnel);
    let pools = || world.objects.pools().filter(|pool| of_pods(&pool.allowed_uses));
    let felix = world.objects.felix(&world.node);
    let nodes = (felix.nat_outgoing_exclusions == Some(NatOutgoingExclusions::IPPoolsAndHostIPs)).then(|| {
        let addresses = world.objects.nodes().flat_map(|node| [node.ipv4, node.ipv6]).flatten();
        addresses.map(|node| Prefix::host(node.address))
    });
    let (services, strays) = strays(world, &felix);
    Nat {
        masquerade: pools().filter(|pool| pool.nat_outgoing).map(|pool| pool.cidr).collect(),
        inside: pools().map(|pool| pool.cidr).chain(nodes.into_iter().flatten()).collect(),
        services,
        strays,
    }
}

/// What is to be forwarded to a service address has passed kube-proxy, which knows no such Service: the router, which was
/// told of the block, would send it back (`serviceLoopPrevention` of FelixConfiguration).
fn strays(world: &World, felix: &FelixSettings) -> (BTreeSet<Prefix>, Strays) {
    let blocks = || super::services::configured(world).into_iter().flat_map(ServiceBlocks::all).copied().collect();
    match felix.service_loop_prevention {
        Some(ServiceLoopPrevention::Disabled) => (BTreeSet::new(), Strays::default()),
        Some(ServiceLoopPrevention::Reject) => (blocks(), Strays::Reject),
        Some(ServiceLoopPrevention::Drop) | None => (blocks(), Strays::Drop),
    }
}
