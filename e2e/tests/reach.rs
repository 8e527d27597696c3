//! Pods reach each other, the nodes, and hosts behind the router, in every shape and with both routers.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::plan::Shape;
use e2e::trial::Trial;
use e2e::{reach, wait};
use serde_json::Value;

/// Every node has a route of ours to every other node's pods: the default route would carry them too, and hide a gap.
fn every_node_knows_every_block(trial: &Trial) -> Result<()> {
    let pairs = (1..=trial.plan.nodes).flat_map(|node| (1..=trial.plan.nodes).map(move |other| (node, other)));
    for (node, other) in pairs.filter(|(node, other)| node != other) {
        let (v4, v6) = trial.plan.pod_cidrs(other);
        for prefix in [v4, v6] {
            wait::until(Duration::from_secs(15), &format!("n{node}'s route to {prefix}"), || {
                let routes = trial.node(node).kernel_routes(&prefix)?;
                let ours = |route: &Value| ["109", "margay"].iter().any(|name| route["protocol"] == *name);
                ensure!(!routes.is_empty() && routes.iter().all(ours), "{routes:?}");
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn every_way_is_open(trial: &Trial) -> Result<()> {
    every_node_knows_every_block(trial)?;
    let ways = reach::ways(trial)?;
    let outcomes = reach::try_all(&ways, Duration::from_secs(15));
    let (table, good) = reach::table(&ways, &outcomes);
    ensure!(good, "not every way is open:\n{table}");
    Ok(())
}

#[test]
fn pods_reach_everything_in_a_mesh() -> Result<()> {
    every_way_is_open(&Trial::up(Shape::Mesh)?)
}

#[test]
fn pods_reach_everything_behind_one_router() -> Result<()> {
    every_way_is_open(&Trial::up(Shape::Tor)?)
}

#[test]
fn pods_reach_everything_behind_one_router_that_is_frr() -> Result<()> {
    every_way_is_open(&Trial::up_with_frr(Shape::Tor)?)
}

#[test]
fn pods_reach_everything_behind_two_routers() -> Result<()> {
    every_way_is_open(&Trial::up(Shape::TwoTors)?)
}

#[test]
fn pods_reach_everything_with_a_route_reflector() -> Result<()> {
    every_way_is_open(&Trial::up(Shape::RouteReflector)?)
}
