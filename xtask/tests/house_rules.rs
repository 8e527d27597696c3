//! The house rules hold for every crate and every file of this workspace, whatever there is.

use xtask::rules::{self, House};

#[test]
fn the_house_rules_hold() -> anyhow::Result<()> {
    let house = House::discover()?;
    let breaches = rules::check(&house);
    let list: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} breach(es) of the house rules:\n\n{}\n", list.len(), list.join("\n\n"));
    Ok(())
}

#[test]
fn the_discovery_finds_the_house() -> anyhow::Result<()> {
    let house = House::discover()?;
    for name in ["model", "bgp", "dataplane", "margay-agent", "xtask"] {
        assert!(house.has(name), "{name} was not discovered");
    }
    let files: usize = house.rooms.iter().map(|room| room.sources.len()).sum();
    assert!(files > 20, "only {files} source files were discovered");
    Ok(())
}
