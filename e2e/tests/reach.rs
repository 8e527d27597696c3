//! Pods reach each other, the nodes, and hosts behind the router, in every shape and with both routers.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::plan::Shape;
use e2e::reach;
use e2e::trial::Trial;

fn every_way_is_open(trial: &Trial) -> Result<()> {
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
