//! Kubernetes' own end-to-end specs, run against the cluster by several processes side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::plan::Plan;

/// What became of one spec.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// Its full name, with tags in brackets.
    name: String,
    /// Why it failed; none if it passed.
    failure: Option<String>,
    /// How long it took.
    seconds: u64,
}

/// Specs that a cluster has to pass.
#[derive(Debug, Clone, Copy)]
pub struct Specs {
    /// A regular expression (of Go) for their names.
    pub focus: &'static str,
    /// How many there are in the release that is built.
    pub count: usize,
    /// Over how many processes they are dealt.
    pub processes: usize,
    /// Those that fail here, each by a part of its name, with the reason.
    pub known: &'static [(&'static str, &'static str)],
}

impl Specs {
    /// Runs all, prints what became of each, and names those that failed without being known to.
    pub fn pass(&self, plan: &Plan) -> Result<()> {
        let specs = specs(plan, self.focus)?;
        ensure!(specs.len() == self.count, "{} specs: the list in docs/cluster.md is of another release", specs.len());
        let outcomes = run(plan, &specs, self.processes)?;
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
        let known = |name: &&str| self.known.iter().any(|(known, _)| name.contains(known));
        let surprising: Vec<_> = failed.into_iter().filter(|name| !known(name)).collect();
        ensure!(surprising.is_empty(), "{} of {} failed: {surprising:#?}", surprising.len(), self.count);
        Ok(())
    }
}

/// Names of the specs that match a regular expression and are not skipped for what they need.
fn specs(plan: &Plan, focus: &str) -> Result<Vec<String>> {
    let mut child = start(plan, "list", focus, &["--ginkgo.dry-run"])?;
    child.wait()?;
    Ok(outcomes(plan, "list")?.into_iter().map(|outcome| outcome.name).collect())
}

/// Runs them, dealt out to so many processes. Specs that must be alone come last, in one.
fn run(plan: &Plan, specs: &[String], processes: usize) -> Result<BTreeMap<String, Outcome>> {
    let (alone, social): (Vec<&String>, Vec<&String>) = specs.iter().partition(|name| name.contains("[Serial]"));
    let mut all = BTreeMap::new();
    let mut shards = vec![Vec::new(); processes];
    for (number, name) in social.into_iter().enumerate() {
        shards[number % processes].push(name.as_str());
    }
    let mut running = Vec::new();
    for (number, shard) in shards.iter().enumerate().filter(|(_, shard)| !shard.is_empty()) {
        running.push((format!("shard-{number}"), start(plan, &format!("shard-{number}"), &exactly(shard), &[])?));
    }
    for (name, child) in &mut running {
        child.wait()?;
        all.extend(outcomes(plan, name)?.into_iter().map(|outcome| (outcome.name.clone(), outcome)));
    }
    if !alone.is_empty() {
        let names: Vec<&str> = alone.iter().map(|name| name.as_str()).collect();
        start(plan, "alone", &exactly(&names), &[])?.wait()?;
        all.extend(outcomes(plan, "alone")?.into_iter().map(|outcome| (outcome.name.clone(), outcome)));
    }
    Ok(all)
}

/// A regular expression (of Go) for these names: ginkgo puts the suite's before each, and no name ends as another does.
fn exactly(names: &[&str]) -> String {
    let quoted = names.iter().map(|name| {
        let escape = |letter: char| match letter {
            letter if letter.is_alphanumeric() || letter == ' ' => letter.to_string(),
            letter => format!("\\{letter}"),
        };
        name.chars().map(escape).collect::<String>()
    });
    format!(" ({})$", quoted.collect::<Vec<_>>().join("|"))
}

fn start(plan: &Plan, name: &str, focus: &str, more: &[&str]) -> Result<Child> {
    let log = File::create(plan.logs().join(format!("conformance-{name}.log")))?;
    let report = report(plan, name);
    fs::remove_file(&report).ok();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", plan.control_plane().name()]).arg(plan.programs().join("e2e.test"));
    command.arg(format!("--kubeconfig={}", plan.kubeconfig("admin").display()));
    command.arg(format!("--kubectl-path={}", plan.programs().join("kubectl").display()));
    command.arg(format!("--ginkgo.focus={focus}")).arg(format!("--ginkgo.json-report={}", report.display()));
    command.args(["--provider=local", "--allowed-not-ready-nodes=0", "--minStartupPods=0", "--node-os-distro=debian"]);
    command.args(["--dump-logs-on-failure=false", "--ginkgo.no-color", "--ginkgo.v=false", "--ginkgo.timeout=40m"]);
    command.args(more).current_dir(plan.folder());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot run e2e.test")
}

fn report(plan: &Plan, name: &str) -> PathBuf {
    plan.logs().join(format!("conformance-{name}.json"))
}

/// Reads ginkgo's report: the specs that ran, and what the suite itself failed with.
fn outcomes(plan: &Plan, name: &str) -> Result<Vec<Outcome>> {
    let log = plan.logs().join(format!("conformance-{name}.log"));
    let context = || format!("e2e.test made no report: see {}", log.display());
    let report: Value = serde_json::from_slice(&fs::read(report(plan, name)).with_context(context)?)?;
    let mut all = Vec::new();
    for spec in report[0]["SpecReports"].as_array().into_iter().flatten() {
        let state = spec["State"].as_str().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&spec["LeafNodeType"]);
        let failure = || {
            spec["Failure"]["Message"].as_str().unwrap_or("no message").lines().take(6).collect::<Vec<_>>().join("\n")
        };
        if kind != "It" {
            // BeforeSuite: no spec has run after it failed.
            ensure!(state == "passed", "{kind} {state}: {}: see {}", failure(), log.display());
            continue;
        }
        if state == "skipped" || state == "pending" {
            continue;
        }
        let texts = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().map(text);
        let name = texts.chain([text(&spec["LeafNodeText"])]).collect::<Vec<_>>().join(" ");
        let seconds = spec["RunTime"].as_u64().unwrap_or_default() / 1_000_000_000;
        all.push(Outcome { name, failure: (state != "passed").then(failure), seconds });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_letter_by_letter() {
        assert_eq!(exactly(&["a [b] (c)", "d"]), r" (a \[b\] \(c\)|d)$");
    }
}
