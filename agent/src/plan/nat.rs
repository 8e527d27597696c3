//! Which packets leave with the node's address instead of the pod's.

use dataplane::want::Nat;
use model::Prefix;
use model::object::{AllowedUse, NatOutgoingExclusions};

use crate::world::World;

/// `natOutgoing`: what comes from such a pool and goes to no pool is masqueraded. A disabled pool still counts, as its
/// pods live on; one for service addresses only is no place that pods are in. Nodes are outside, unless a FelixConfiguration
/// excludes them (`natOutgoingExclusions`).
pub fn nat(world: &World) -> Nat {
    let of_pods = |uses: &[AllowedUse]| uses.contains(&AllowedUse::Workload) || uses.contains(&AllowedUse::Tunnel);
    let pools = || world.objects.pools().filter(|pool| of_pods(&pool.allowed_uses));
    let excluded = world.objects.felix(&world.node).nat_outgoing_exclusions;
    let nodes = (excluded == Some(NatOutgoingExclusions::IPPoolsAndHostIPs)).then(|| {
        let addresses = world.objects.nodes().flat_map(|node| [node.ipv4, node.ipv6]).flatten();
        addresses.map(|node| Prefix::host(node.address))
    });
    Nat {
        masquerade: pools().filter(|pool| pool.nat_outgoing).map(|pool| pool.cidr).collect(),
        inside: pools().map(|pool| pool.cidr).chain(nodes.into_iter().flatten()).collect(),
    }
}
