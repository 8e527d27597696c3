//! BGPFilters between a node and its router, changed while the agent runs: what they say applies soon, and no session is
//! reset for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::ctl::text;
use e2e::objects::{bgp_peer, tor_peer_spec};
use e2e::plan::{Family, RouterKind, Shape};
use e2e::router::Config;
use e2e::trial::Trial;
use e2e::wait;

const SOON: Duration = Duration::from_secs(20);
const A_SECOND: Duration = Duration::from_secs(1);

fn filter(spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata:\n  name: tor\nspec:\n{spec}")
}

/// Lets the default route in and one of the router's prefixes not, and keeps the node's own block from the router.
const STRICT: &str = "  importV4:
  - action: Accept
    matchOperator: Equal
    cidr: 0.0.0.0/0
  - action: Reject
    matchOperator: In
    cidr: 10.200.1.0/24
  exportV4:
  - action: Reject
    matchOperator: In
    cidr: 10.244.0.0/16
";

/// Whether a prefix is among our routes and in the kernel.
fn installed(trial: &Trial, prefix: &str) -> Result<bool> {
    let routes = trial.node(1).ctl().list(&["route", "list"])?;
    Ok(routes.iter().any(|route| route["prefix"] == prefix && route["installed"] == true))
}

fn since(trial: &Trial) -> Result<String> {
    let router = trial.plan.uplink(1, 1).router.0.to_string();
    Ok(text(&trial.node(1).ctl().peer(&router)?["since"]).to_string())
}

/// The reason of the one IPv4 route that the router sent of a prefix.
fn received(trial: &Trial, prefix: &str) -> Result<String> {
    let rows = trial.node(1).ctl().list(&["bgp", "routes", "received", "--prefix", prefix])?;
    ensure!(!rows.is_empty(), "{prefix} was not received");
    Ok(rows.iter().filter(|row| row["prefix"] == prefix).map(|row| text(&row["reason"]).to_string()).collect())
}

fn filters_at_run_time(kind: RouterKind) -> Result<()> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.router = kind;
        plan.nodes = 1;
        plan.pods.clear();
    })?;
    trial.up()?;
    let mut config = Config::of_tor(&trial.plan, 1);
    config.networks.push("0.0.0.0/0".into());
    trial.router(1).stop()?;
    trial.router(1).start(&config)?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    wait::until(SOON, "the default route is refused", || {
        let reason = received(&trial, "0.0.0.0/0")?;
        ensure!(reason == "refused: a default route", "{reason}");
        ensure!(installed(&trial, "10.200.1.0/24")?, "the router's prefix is not there");
        Ok(())
    })?;
    let before = since(&trial)?;

    let objects = trial.node(1).objects()?;
    objects.write("filter-tor", &filter(STRICT))?;
    let spec = tor_peer_spec(&trial.plan, Some(1), 1, Family::V4) + "  filters: [tor]\n";
    objects.write("peer-n1-tor-ipv4", &bgp_peer("n1-tor-ipv4", &spec))?;
    wait::until(SOON, "the filter is in force", || {
        ensure!(installed(&trial, "0.0.0.0/0")?, "the default route is not in the kernel");
        ensure!(!installed(&trial, "10.200.1.0/24")?, "the rejected prefix is in the kernel");
        let route = trial.router(1).route("10.244.1.0/24");
        ensure!(!route.as_ref().is_ok_and(|route| route.contains("65001")), "the router has our block: {route:?}");
        Ok(())
    })?;
    let reason = received(&trial, "10.200.1.0/24")?;
    ensure!(reason == "refused by rule 2 of importV4 in BGPFilter/tor", "{reason}");
    let router = trial.plan.uplink(1, 1).router.0.to_string();
    let tested = trial.node(1).ctl().output(&["filter", "test", &router, "10.200.1.0/24", "--direction", "import"])?;
    let said = String::from_utf8_lossy(&tested.stdout);
    ensure!(!tested.status.success() && said.contains("rule 2 of importV4 in BGPFilter/tor"), "{said}");

    objects.write(
        "filter-tor",
        &filter("  importV4:\n  - action: Reject\n    matchOperator: Equal\n    cidr: 10.200.2.0/24\n"),
    )?;
    wait::until(A_SECOND, "the other rules apply within a second", || {
        ensure!(!installed(&trial, "0.0.0.0/0")?, "the default route stays");
        ensure!(installed(&trial, "10.200.1.0/24")?, "the prefix that is rejected no longer is not there");
        ensure!(!installed(&trial, "10.200.2.0/24")?, "the prefix that is rejected now is there");
        let route = trial.router(1).route("10.244.1.0/24")?;
        ensure!(route.contains("65001"), "the router has not our block: {route}");
        Ok(())
    })?;

    objects.remove("filter-tor")?;
    wait::until(SOON, "without its filter the peer is taken nothing from", || {
        ensure!(!installed(&trial, "10.200.1.0/24")?, "a route stays");
        let status = trial.node(1).ctl().text(&["node", "status"])?;
        ensure!(status.contains("BGPFilter/tor does not exist"), "{status}");
        Ok(())
    })?;
    ensure!(since(&trial)? == before, "the session was reset");
    Ok(())
}

#[test]
fn a_filter_is_changed_at_run_time_without_a_session_reset_with_bird() -> Result<()> {
    filters_at_run_time(RouterKind::Bird)
}

#[test]
fn a_filter_is_changed_at_run_time_without_a_session_reset_with_frr() -> Result<()> {
    filters_at_run_time(RouterKind::Frr)
}
