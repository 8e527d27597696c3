//! Upstream's network conformance specs. What each promises is told by its name; the list is in docs/cluster.md.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cluster::conformance;
use cluster::trial::{Company, Trial};

/// Specs of the network that every conformant cluster has to pass; none of them needs a cloud.
const FOCUS: &str = r"\[sig-network\].*\[Conformance\]";
/// As many as there are in the release that is built.
const COUNT: usize = 45;
/// They wait more than they work.
const PROCESSES: usize = 3;
/// Those that fail here, each with the reason.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn upstreams_network_conformance_specs_pass() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let plan = &trial.cluster.plan;
    let specs = conformance::specs(plan, FOCUS)?;
    ensure!(specs.len() == COUNT, "{} specs: the list in docs/cluster.md is of another release", specs.len());
    let outcomes = conformance::run(plan, &specs, PROCESSES)?;
    let mut failed = BTreeSet::new();
    for outcome in outcomes.values() {
        let verdict = outcome.failure.as_deref().map_or("passed", |_| "FAILED");
        println!("{verdict} {:>4} s  {}", outcome.seconds, outcome.name);
        if let Some(failure) = &outcome.failure {
            println!("{failure}");
            failed.insert(outcome.name.as_str());
        }
    }
    let missing: Vec<_> = specs.iter().filter(|name| !outcomes.contains_key(*name)).collect();
    ensure!(missing.is_empty(), "these did not run: {missing:?}: see {}", plan.logs().display());
    let known = |name: &&str| KNOWN.iter().any(|(known, _)| name.contains(known));
    let surprising: Vec<_> = failed.into_iter().filter(|name| !known(name)).collect();
    ensure!(surprising.is_empty(), "{} of {COUNT} failed: {surprising:#?}", surprising.len());
    Ok(())
}
