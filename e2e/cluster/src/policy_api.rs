//! The conformance tests of ClusterNetworkPolicy, of sig-network's network-policy-api, run against the cluster.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::plan::Plan;

/// Longer than they take when all fail.
const LONG: Duration = Duration::from_secs(40 * 60);

/// What they make of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Promises kept: steps of a test count, tests do not.
    pub passed: usize,
    /// Tests that were not run, because they want a feature that was not asked for.
    pub skipped: usize,
}

/// Runs all tests but those that want a feature beyond the standard ones and `features`; an error names those that failed.
pub fn pass(plan: &Plan, features: &[&str]) -> Result<Counts> {
    let path = plan.logs().join("policy-api.log");
    let log = File::create(&path)?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", plan.control_plane().name()]).arg(plan.programs().join("policy.test"));
    command.args(["-test.v", &format!("-test.timeout={}s", LONG.as_secs())]);
    command.arg(format!("-supported-features={}", features.join(",")));
    command.env("KUBECONFIG", plan.kubeconfig("admin")).current_dir(plan.folder());
    let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let results = Results::read(&text);
    print!("{}", results.lines.concat());
    ensure!(results.failed.is_empty(), "these failed: {:#?}: see {}", results.failed, path.display());
    ensure!(status.success(), "the tests ended early: see {}", path.display());
    Ok(Counts { passed: results.passed, skipped: results.skipped })
}

#[derive(Debug, Default)]
struct Results<'a> {
    lines: Vec<String>,
    passed: usize,
    skipped: usize,
    failed: BTreeSet<&'a str>,
}

impl<'a> Results<'a> {
    /// From what a test program of Go says with `-test.v`: `--- PASS: TestConformance/Test/Step (1.00s)`.
    fn read(text: &'a str) -> Self {
        let mut results = Self::default();
        for line in text.lines().map(str::trim_start) {
            let Some((verdict, rest)) = line.strip_prefix("--- ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            let name = rest.split(' ').next().unwrap_or_default();
            let Some((_, name)) = name.split_once('/') else { continue };
            results.lines.push(format!("{verdict} {rest}\n"));
            match verdict {
                "FAIL" => _ = results.failed.insert(name),
                "SKIP" => results.skipped += 1,
                _ if name.contains('/') => results.passed += 1,
                _ => {}
            }
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_failures_named() {
        let results = Results::read(
            "=== RUN   TestConformance/A\n--- FAIL: TestConformance (9.00s)\n    --- FAIL: TestConformance/A (8.00s)\n        \
             --- PASS: TestConformance/A/does (1.00s)\n        --- FAIL: TestConformance/A/does_not (7.00s)\n    \
             --- SKIP: TestConformance/B (0.00s)\n",
        );
        assert_eq!((results.passed, results.skipped), (1, 1));
        assert_eq!(results.failed, BTreeSet::from(["A", "A/does_not"]));
    }
}
