//! The kernel's table says what the agent wants, whatever others do to it, and what is not ours is not touched.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::lab::Node;
use e2e::monitor::Monitor;
use e2e::plan::Shape;
use e2e::router::Config;
use e2e::trial::Trial;
use e2e::{ip, wait};
use serde_json::Value;

/// What the promise says.
const A_SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(20);

/// Every route of ours, with the parts that matter, in order.
fn ours(node: &Node) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        let text =
            node.netns.stdout("ip", &["-j", "-N", "-d", family, "route", "show", "table", "main", "proto", "109"])?;
        let routes: Vec<Value> = serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text })?;
        for route in routes {
            let key = |name: &str| route[name].to_string();
            let hops = key("nexthops");
            found.push(format!("{} {} via {} dev {} {hops}", key("type"), key("dst"), key("gateway"), key("dev")));
        }
    }
    found.sort();
    Ok(found)
}

/// A lab whose first node has all its routes, and those.
fn settled() -> Result<(Trial, Vec<String>)> {
    let trial = Trial::up(Shape::Tor)?;
    let node = trial.node(1);
    let (v4, v6) = trial.plan.pod_cidrs(2);
    let wanted = wait::until(SOON, "routes to the other node's pods", || {
        ensure!(node.kernel_routes(&v4)?.len() == 1 && node.kernel_routes(&v6)?.len() == 1, "not there");
        let rows = node.ctl().list(&["route", "list"])?;
        ensure!(rows.iter().all(|row| row["installed"] == true), "{rows:?}");
        let wanted = ours(&node)?;
        ensure!(wanted.len() == rows.len(), "{} of ours in the kernel, {} in route list", wanted.len(), rows.len());
        Ok(wanted)
    })?;
    Ok((trial, wanted))
}

fn back_within_a_second(node: &Node, wanted: &[String]) -> Result<()> {
    wait::until(A_SECOND, "our routes are back", || {
        let there = ours(node)?;
        let missing: Vec<_> = wanted.iter().filter(|route| !there.contains(route)).collect();
        ensure!(missing.is_empty(), "missing {missing:?}");
        ensure!(there == wanted, "more than was wanted: {there:?}");
        Ok(())
    })
}

#[test]
fn a_route_of_ours_that_is_deleted_by_hand_is_back_within_a_second() -> Result<()> {
    let (trial, wanted) = settled()?;
    let node = trial.node(1);
    let (v4, v6) = trial.plan.pod_cidrs(2);
    let pod = trial.pod_ip(1, "a", e2e::plan::Family::V4)?;
    for prefix in [v4, v6, format!("{pod}/32"), trial.plan.pod_cidrs(1).0] {
        ip::batch_in(&node.netns, &[format!("route del {prefix} proto 109")])?;
        back_within_a_second(&node, &wanted)?;
    }
    Ok(())
}

#[test]
fn a_flushed_table_is_filled_again_within_a_second_and_foreign_routes_are_left_alone() -> Result<()> {
    let (trial, wanted) = settled()?;
    let node = trial.node(1);
    let gateway = trial.plan.uplink(1, 1).router;
    let foreign = [format!("10.77.0.0/16 via {}", gateway.0), format!("fd00:77::/32 via {}", gateway.1)];
    ip::batch_in(&node.netns, &foreign.clone().map(|route| format!("route add {route} proto static")))?;
    for family in ["-4", "-6"] {
        node.netns.stdout("ip", &[family, "route", "flush", "table", "main", "proto", "109"])?;
    }
    back_within_a_second(&node, &wanted)?;
    for prefix in ["10.77.0.0/16", "fd00:77::/32"] {
        let routes = node.kernel_routes(prefix)?;
        ensure!(routes.len() == 1 && routes[0]["protocol"] == "static", "the foreign route: {routes:?}");
    }
    node.agent()?.kill()?;
    node.start_agent()?;
    node.ctl().wait_established(2, SOON)?;
    ensure!(node.kernel_routes("10.77.0.0/16")?.len() == 1, "a restart took the foreign route away");
    Ok(())
}

#[test]
fn a_bounced_uplink_has_its_routes_back_within_a_second() -> Result<()> {
    let (trial, wanted) = settled()?;
    let node = trial.node(1);
    ip::batch_in(&node.netns, &["link set eth0 down".into(), "link set eth0 up".into()])?;
    back_within_a_second(&node, &wanted)
}

#[test]
fn a_route_of_someone_else_to_a_prefix_of_ours_is_not_replaced() -> Result<()> {
    let (trial, _) = settled()?;
    let node = trial.node(1);
    let (v4, _) = trial.plan.pod_cidrs(2);
    ip::batch_in(
        &node.netns,
        &[format!("route add {v4} via {} proto static metric 5", trial.plan.uplink(1, 1).router.0)],
    )?;
    ip::batch_in(&node.netns, &[format!("route del {v4} proto 109")])?;
    wait::until(A_SECOND, "both routes stand side by side", || {
        let routes = node.kernel_routes(&v4)?;
        ensure!(routes.len() == 2, "{routes:?}");
        Ok(())
    })
}

#[test]
fn equal_paths_by_two_routers_become_one_multipath_route() -> Result<()> {
    let trial = Trial::up(Shape::TwoTors)?;
    let node = trial.node(1);
    let (v4, v6) = trial.plan.pod_cidrs(2);
    for prefix in [&v4, &v6] {
        wait::until(SOON, "two next hops", || {
            let routes = node.kernel_routes(prefix)?;
            let hops: usize = routes.iter().map(|route| route["nexthops"].as_array().map_or(1, Vec::len)).sum();
            ensure!(hops == 2, "{prefix}: {routes:?}");
            let row = node.ctl().route(prefix)?;
            ensure!(row["nextHops"].as_array().is_some_and(|hops| hops.len() == 2), "{row}");
            Ok(())
        })?;
    }
    trial.router(2).stop()?;
    wait::until(SOON, "one next hop when one router is gone", || {
        let row = node.ctl().route(&v4)?;
        ensure!(row["nextHops"].as_array().is_some_and(|hops| hops.len() == 1), "{row}");
        ensure!(row["installed"] == true, "{row}");
        Ok(())
    })
}

/// The prefixes of a router that has many, as a route's line begins.
const MANY: &str = "10.66.";

/// How many of the many are in the kernel by a nexthop object of ours.
fn by_object(node: &Node) -> Result<usize> {
    let text = node.netns.stdout("ip", &["-o", "-4", "route", "show", "proto", "109"])?;
    Ok(text.lines().filter(|line| line.starts_with(MANY) && line.contains(" nhid 18287165")).count())
}

/// A lab whose router has 200 prefixes more, all of them on the first node.
fn with_many_routes() -> Result<Trial> {
    let trial = Trial::up(Shape::Tor)?;
    let router = trial.router(1);
    let mut config = Config { graceful_restart: true, ..Config::of_tor(&trial.plan, 1) };
    config.networks.extend((0..200).map(|number| format!("{MANY}{number}.0/24")));
    router.stop()?;
    router.start(&config)?;
    wait::until(SOON, "200 routes by an object", || {
        let there = by_object(&trial.node(1))?;
        ensure!(there == 200, "{there}");
        Ok(())
    })?;
    // The other node has to come back to the router, too: else its routes come in the middle of what is watched.
    let (v4, v6) = trial.plan.pod_cidrs(2);
    wait::until(SOON, "the other node's routes", || {
        for (family, cidr) in [("-4", &v4), ("-6", &v6)] {
            let text = trial.node(1).netns.stdout("ip", &[family, "route", "show", "proto", "109"])?;
            ensure!(text.contains(cidr.as_str()), "no {cidr}");
        }
        Ok(())
    })?;
    Ok(trial)
}

#[test]
fn many_routes_of_one_router_share_an_object_which_a_newborn_agent_knows_as_its_own() -> Result<()> {
    let trial = with_many_routes()?;
    let node = trial.node(1);
    let objects = || node.netns.stdout("ip", &["nexthop", "show"]);
    let before = objects()?;
    let of_ipv4 = before.lines().filter(|line| line.contains(&trial.plan.uplink(1, 1).router.0.to_string())).count();
    ensure!(of_ipv4 == 1, "{before}");
    let monitor = Monitor::start(&trial.plan.folder(), &node.netns)?;
    node.agent()?.kill()?;
    node.start_agent()?;
    node.ctl().wait_established(2, SOON)?;
    wait::until(SOON, "routes are compared", || {
        let rows = node.ctl().list(&["route", "list"])?;
        ensure!(rows.len() > 200 && rows.iter().all(|row| row["installed"] == true), "{} rows", rows.len());
        Ok(())
    })?;
    ensure!(objects()? == before, "{}", objects()?);
    let changes = [monitor.changes(MANY)?, monitor.changes("id 18287165")?].concat();
    ensure!(changes.is_empty(), "rewritten: {changes:#?}");
    Ok(())
}

#[test]
fn an_object_that_goes_with_its_link_is_back_with_all_its_routes_within_a_second() -> Result<()> {
    let trial = with_many_routes()?;
    let node = trial.node(1);
    for harm in ["link set eth0 down", "nexthop flush proto 109"] {
        ip::batch_in(&node.netns, &[harm.into(), "link set eth0 up".into()])?;
        wait::until(A_SECOND, harm, || {
            let there = by_object(&node)?;
            ensure!(there == 200, "{there}");
            Ok(())
        })?;
    }
    Ok(())
}
