//! IPIP with real packets, in a guest whose kernel has the module.

use anyhow::{Result, ensure};
use e2e::guest;

fn plays(scenario: &str) -> Result<()> {
    let played = guest::play(scenario)?;
    ensure!(played.verdict == "ok", "{}\n── the guest's console:\n{}", played.verdict, played.console);
    Ok(())
}

#[test]
fn a_guest_boots_and_builds_machines() -> Result<()> {
    plays("machines")
}

#[test]
fn ipip_always_tunnels_pods_of_one_subnet_in_real_packets() -> Result<()> {
    plays("always")
}

#[test]
fn ipip_cross_subnet_routes_plainly_inside_a_subnet() -> Result<()> {
    plays("crosssubnet-same")
}

#[test]
fn ipip_cross_subnet_tunnels_where_a_router_lies_between() -> Result<()> {
    plays("crosssubnet-other")
}
