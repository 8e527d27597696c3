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
