//! Which packets leave with the node's address instead of the pod's.

use dataplane::want::Nat;
use model::object::AllowedUse;

use crate::world::World;

/// `natOutgoing`: what comes from such a pool and goes to no pool is masqueraded. A disabled pool still counts, as its
/// pods live on; one for service addresses only is no place that pods are in.
pub fn nat(world: &World) -> Nat {
    let of_pods = |uses: &[AllowedUse]| uses.contains(&AllowedUse::Workload) || uses.contains(&AllowedUse::Tunnel);
    let pools = || world.objects.pools().filter(|pool| of_pods(&pool.allowed_uses));
    Nat {
        masquerade: pools().filter(|pool| pool.nat_outgoing).map(|pool| pool.cidr).collect(),
        inside: pools().map(|pool| pool.cidr).collect(),
    }
}
