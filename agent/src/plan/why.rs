//! Why a route is wanted, for a person.

use ipam::Lease;
use model::Prefix;
use model::api::show::RouteSource;

use crate::world::World;

/// Who wants the route of a prefix.
pub fn reason(world: &World, prefix: &Prefix, source: RouteSource) -> String {
    match source {
        RouteSource::Block => "own block: what no pod has is dropped here".to_string(),
        RouteSource::Aggregate => "announced aggregate: what nothing inside leads to is dropped here".to_string(),
        RouteSource::Gateway => "a BGP peer, by the gateway that its BGPPeer names (reachableBy)".to_string(),
        RouteSource::Pod => match world.leases.holder(prefix.address()) {
            Some(lease) => format!("pod {}", owner(lease)),
            None => "pod".to_string(),
        },
        RouteSource::Bgp => match world.learned.best(prefix) {
            Some(best) => {
                let peers: Vec<String> = best.next_hops.iter().map(|h| h.peer.to_string()).collect();
                format!("from {}: {}", peers.join(", "), best.reason)
            }
            None => "learned".to_string(),
        },
    }
}

fn owner(lease: &Lease) -> String {
    match &lease.pod {
        Some(pod) => pod.to_string(),
        None => lease.attachment.container_id.clone(),
    }
}
