//! What a pod may have: which blocks are open to it, and what is written on it.

use ipam::{Annotations, Block, Openness, Space};
use model::PodRef;
use model::object::{AssignmentMode, IP_ADDRS, IPV4_POOLS, IPV6_POOLS, IpPool};

use crate::world::World;

/// The addresses this node may give, and to whom: its pod CIDRs, each within its pool.
pub fn space(world: &World, pod: Option<&PodRef>) -> Space {
    let Some(node) = world.objects.node(&world.node) else { return Space::default() };
    let mut space = Space::default();
    for prefix in &node.pod_cidrs {
        let pool = world.objects.pools().filter(|p| p.cidr.covers(prefix)).max_by_key(|p| p.cidr.length());
        space.blocks.push(match pool {
            Some(pool) => Block {
                prefix: *prefix,
                pool: pool.meta.name.clone(),
                pool_cidr: pool.cidr,
                openness: openness(world, pool, pod),
                stock: None,
            },
            None => Block {
                prefix: *prefix,
                pool: String::new(),
                pool_cidr: *prefix,
                openness: Openness::Closed(format!("no IPPool covers {prefix} of Node {}", node.name)),
                stock: None,
            },
        });
    }
    space.blocks.extend(super::blocks::blocks(world, pod));
    space.kept_back.extend(world.objects.reservations().flat_map(|it| it.reserved_cidrs.iter().copied()));
    space.reserved.extend(crate::plan::encap::tunnel_address(world));
    space
}

pub(super) fn openness(world: &World, pool: &IpPool, pod: Option<&PodRef>) -> Openness {
    let labels = world.objects.node(&world.node).map(|n| n.meta.labels.clone()).unwrap_or_default();
    if pool.disabled {
        return Openness::Closed("the pool is disabled".into());
    }
    if !pool.serves_workloads() {
        return Openness::Closed("allowedUses does not name Workload".into());
    }
    if !pool.node_selector.chooses(&labels) {
        return Openness::Named(format!("nodeSelector {} does not choose this node", pool.node_selector));
    }
    if !pool.namespace_selector.is_all() {
        let namespace = pod.and_then(|p| world.objects.namespace(&p.namespace));
        let chosen = namespace.is_some_and(|n| pool.namespace_selector.chooses(&n.meta.labels));
        if !chosen {
            return Openness::Named(format!("namespaceSelector {} does not choose it", pool.namespace_selector));
        }
    }
    match pool.assignment_mode {
        AssignmentMode::Automatic => Openness::Open,
        AssignmentMode::Manual => Openness::Named("assignmentMode is Manual".into()),
    }
}

/// What is written on a pod, or on its namespace where the pod says nothing.
pub fn annotations(world: &World, pod: Option<&PodRef>) -> Annotations {
    let Some(reference) = pod else { return Annotations::default() };
    let on_pod = world.objects.pod(reference).map(|p| &p.meta.annotations);
    let on_namespace = world.objects.namespace(&reference.namespace).map(|n| &n.meta.annotations);
    let either = |key| on_pod.and_then(|a| a.get(key)).or_else(|| on_namespace.and_then(|a| a.get(key))).cloned();
    Annotations {
        ip_addrs: on_pod.and_then(|a| a.get(IP_ADDRS)).cloned(),
        ipv4_pools: either(IPV4_POOLS),
        ipv6_pools: either(IPV6_POOLS),
    }
}
