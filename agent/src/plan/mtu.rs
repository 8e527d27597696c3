//! How large packets may be: of the uplink, of the tunnel, of pods.

use model::object::EncapMode;

use super::own;
use crate::world::World;

/// The MTU where the uplink's is not known: Ethernet's.
const DEFAULT_MTU: u32 = 1500;
/// What an IPv4 header takes from a packet that is sent through IPIP.
const IPIP_OVERHEAD: u32 = 20;

/// MTU of the link that has the node's address, and which that is.
pub fn of_uplink(world: &World) -> (u32, String) {
    let own = own::addresses(world);
    let uplink = own.iter().find_map(|found| world.kernel.link_with(found.address.address));
    match uplink {
        Some(link) => (link.mtu, format!("{} has {}", link.name, link.mtu)),
        None => (DEFAULT_MTU, "no link has the node's address".into()),
    }
}

/// MTU of the tunnel device: what a FelixConfiguration says, else the uplink's, less the outer header.
pub fn of_tunnel(world: &World) -> u32 {
    let said = world.objects.felix(&world.node).ipip_mtu;
    said.unwrap_or_else(|| of_uplink(world).0.saturating_sub(IPIP_OVERHEAD))
}

/// MTU of a pod's link, and why: the uplink's, less what a tunnel takes.
pub fn of_pods(world: &World) -> (u32, String) {
    let (uplink, reason) = of_uplink(world);
    let tunnelled = world.objects.pools().find(|p| p.ipip_mode != EncapMode::Never);
    match (tunnelled, world.objects.felix(&world.node).ipip_mtu) {
        (Some(pool), Some(said)) => {
            let mtu = said.min(uplink);
            (mtu, format!("ipipMTU is {said}, {reason}, and IPPool {} may tunnel", pool.meta.name))
        }
        (Some(pool), None) => {
            (of_tunnel(world), format!("{reason}, less {IPIP_OVERHEAD} as IPPool {} may tunnel", pool.meta.name))
        }
        (None, _) => (uplink, reason),
    }
}
