//! What the documents say is kept true: promises name tests that exist, dependencies have their row, links lead somewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::rules::House;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_promise_in_the_readme_names_a_test_that_exists() -> Result<()> {
    let house = House::discover()?;
    let exists = |name: &str| {
        let head = format!("fn {name}(");
        house.rooms.iter().flat_map(|room| &room.sources).any(|source| source.text.contains(&head))
    };
    let readme = read("README.md")?;
    let (_, after) = readme.split_once("\n## Promises").context("README has no promises")?;
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    ensure!(rows.len() > 5, "only {} promises", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let (promise, tests) = row.trim_matches('|').rsplit_once('|').context("a row without two columns")?;
        let names: Vec<&str> = quoted(tests).collect();
        ensure!(!names.is_empty(), "no test holds the promise {promise:?}");
        missing.extend(names.into_iter().filter(|name| !exists(name)));
    }
    ensure!(missing.is_empty(), "README names tests that do not exist: {missing:?}");
    Ok(())
}

#[test]
fn every_dependency_of_the_workspace_has_its_row() -> Result<()> {
    let manifest = read("Cargo.toml")?;
    let (_, after) = manifest.split_once("[workspace.dependencies]").context("no [workspace.dependencies]")?;
    let table = after.split("\n[").next().unwrap_or_default();
    let house = House::discover()?;
    let document = read("docs/dependencies.md")?;
    let rows: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    let named: Vec<&str> = rows.iter().flat_map(|row| row.split(", ")).collect();
    let names = table.lines().filter_map(|line| Some(line.split_once('=')?.0.trim()));
    let missing: Vec<&str> =
        names.filter(|name| !name.starts_with('#') && !house.has(name) && !named.contains(name)).collect();
    ensure!(missing.is_empty(), "docs/dependencies.md has no row for {missing:?}");
    Ok(())
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<()> {
    let mut documents = vec![PathBuf::from("README.md")];
    for entry in std::fs::read_dir(root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path.strip_prefix(root())?.to_owned());
        }
    }
    for document in documents {
        let text = read(&document.display().to_string())?;
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let path = root().join(document.parent().unwrap_or(Path::new(""))).join(target);
            ensure!(path.exists(), "{} links to {target}, which is not there", document.display());
        }
    }
    Ok(())
}

#[test]
fn every_rfc_that_the_code_cites_has_its_title_and_its_place_in_the_page() -> Result<()> {
    let house = House::discover()?;
    let missing = xtask::rfcs::without_row(&house);
    ensure!(missing.is_empty(), "add a row to xtask/src/rfcs/table.rs and run `{}`: {missing:?}", xtask::rfcs::COMMAND);
    let (page, fresh) = (read("docs/bgp.md")?, xtask::rfcs::page(&house));
    let heads = |page: &str| {
        let heads = page.lines().filter_map(|line| line.strip_prefix("## RFC ").map(str::to_owned));
        heads.collect::<std::collections::BTreeSet<_>>()
    };
    // The sentences may be some days old; `make docs` writes them anew.
    let missing: Vec<String> = heads(&fresh).difference(&heads(&page)).cloned().collect();
    ensure!(missing.is_empty(), "docs/bgp.md does not know {missing:?}: run `{}`", xtask::rfcs::COMMAND);
    for part in ["| [4271](#rfc-4271) |", "\n## RFC 7606\n", "bgp/src/wire/attr/fault.rs", "\nTests:\n"] {
        ensure!(fresh.contains(part), "{part:?} is not in it");
    }
    Ok(())
}
