//! Condition Allocatable of IPPools: whether a pool gives addresses, as Calico's controller says it.

use model::object::IpPool;

use crate::world::World;

/// Condition `Allocatable` of an IPPool. Calico `IPPool.status.conditions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocatable {
    /// `metadata.uid` of the pool.
    pub uid: Option<String>,
    /// Whether it gives addresses.
    pub gives: Gives,
    /// For a person.
    pub message: String,
}

/// Whether a pool gives addresses, in Calico's words (`reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// It does.
    Ok,
    /// `spec.disabled`.
    PoolDisabled,
    /// Another pool has the same CIDR, and gives in its place.
    CidrOverlap,
}

impl Gives {
    /// As `reason` spells it.
    pub const fn reason(self) -> &'static str {
        match self {
            Gives::Ok => "OK",
            Gives::PoolDisabled => "PoolDisabled",
            Gives::CidrOverlap => "CIDROverlap",
        }
    }
}

/// One for each pool, by name.
pub(super) fn reports(world: &World) -> impl Iterator<Item = (String, Allocatable)> {
    world.objects.pools().map(|pool| (pool.meta.name.clone(), allocatable(world, pool)))
}

fn allocatable(world: &World, pool: &IpPool) -> Allocatable {
    // As blocks find their pool: the longest, and of the same the last by name.
    let same = world.objects.pools().filter(|other| other.cidr == pool.cidr).last();
    let (gives, message) = match same {
        _ if pool.disabled => (Gives::PoolDisabled, "spec.disabled is set: no new address is given".to_string()),
        Some(other) if other.meta.name != pool.meta.name => (
            Gives::CidrOverlap,
            format!("IPPool {} has the same CIDR {} and gives its addresses", other.meta.name, pool.cidr),
        ),
        _ => (Gives::Ok, "addresses are given from this pool".to_string()),
    };
    Allocatable { uid: pool.meta.uid.clone(), gives, message }
}
