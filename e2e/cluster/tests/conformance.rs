//! Upstream's own specs of the network. What each promises is told by its name; the lists are in docs/cluster.md.

use std::time::Instant;

use anyhow::Result;
use cluster::conformance::Specs;
use cluster::figures;
use cluster::trial::{Company, Trial};

/// What every conformant cluster has to pass; none of them needs a cloud. They wait more than they work.
const CONFORMANCE: Specs = Specs { focus: r"\[sig-network\].*\[Conformance\]", count: 45, processes: 3, known: &[] };

fn pass(what: &str, specs: Specs) -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let start = Instant::now();
    specs.pass(&trial.cluster.plan)?;
    figures::record(&trial.cluster.plan, what, &format!("{} specs, {} s", specs.count, start.elapsed().as_secs()))
}

#[test]
fn upstreams_network_conformance_specs_pass() -> Result<()> {
    pass("upstream's conformance specs", CONFORMANCE)
}
