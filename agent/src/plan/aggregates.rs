//! Aggregates that this node announces, and what drops in the kernel what nothing inside them leads to.

use std::collections::BTreeMap;

use bgp::config::{Aggregate, Specifics};
use dataplane::want::Route;
use model::Prefix;
use model::api::show::RouteSource;
use model::object::{self, Community};

use super::routes::RoutePlan;
use crate::world::World;

/// By prefix: of the node's own BGPConfiguration before everybody's.
pub fn aggregates(world: &World) -> BTreeMap<Prefix, Aggregate> {
    all(world).map(|aggregate| (aggregate.cidr, planned(aggregate))).collect()
}

/// The node's own last: it wins.
fn all(world: &World) -> impl Iterator<Item = &object::Aggregate> {
    let names = ["default".to_string(), format!("node.{}", world.node)];
    let found = names.into_iter().filter_map(|name| world.objects.bgp_configuration(&name));
    found.flat_map(|configuration| &configuration.aggregates)
}

fn planned(aggregate: &object::Aggregate) -> Aggregate {
    let specifics = if aggregate.summary_only { Specifics::Suppressed } else { Specifics::Told };
    let mut planned = Aggregate { specifics, ..Aggregate::default() };
    for community in &aggregate.communities {
        match *community {
            Community::Standard(high, low) => planned.communities.push(u32::from(high) << 16 | u32::from(low)),
            Community::Large(a, b, c) => planned.large_communities.push([a, b, c]),
        }
    }
    planned
}

/// All of them.
pub fn prefixes(world: &World) -> impl Iterator<Item = Prefix> {
    all(world).map(|aggregate| aggregate.cidr)
}

/// The kernel's part of an aggregate: what no route inside leads to is dropped, lest it follow a default route back to who
/// sent it here.
pub fn of_aggregate(world: &World, prefix: &Prefix) -> Option<RoutePlan> {
    let inside = |inner: &Prefix| inner.length() > prefix.length() && prefix.covers(inner);
    let own = world.own_prefixes().iter().any(inside);
    let announced = own || world.learned.first_after(prefix).is_some_and(inside);
    announced.then(|| RoutePlan {
        source: RouteSource::Aggregate,
        route: Ok(Route::blackhole(*prefix)),
        encap: [].into(),
    })
}
