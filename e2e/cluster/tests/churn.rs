//! A hundred pods come and go, ten times: nothing of them is left on any node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::figures::{self, Usage};
use cluster::images::PAUSE;
use cluster::trial::{Company, Trial, until};
use serde_json::{Value, json};

const PODS: usize = 100;
const ROUNDS: usize = 10;
/// For a hundred pods on two cores.
const LONG: Duration = Duration::from_secs(240);
/// How long the agents are watched.
const WHILE: Duration = Duration::from_secs(10);

/// What a node has of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Traces {
    leases: usize,
    links: usize,
    routes: usize,
    namespaces: usize,
}

fn traces(trial: &Trial) -> Result<BTreeMap<String, Traces>> {
    let mut all = BTreeMap::new();
    for node in trial.cluster.nodes() {
        let pods: Value = serde_json::from_str(&trial.cluster.margayctl(&node.name, &["pod", "list", "-o", "json"])?)?;
        let leases = pods.as_array().with_context(|| format!("no list of pods: {pods}"))?.len();
        let count = |text: String, mark: &str| text.lines().filter(|line| line.contains(mark)).count();
        let traces = Traces {
            leases,
            links: count(node.stdout(&["ip", "-o", "link", "show", "type", "veth"])?, "cali"),
            routes: count(node.stdout(&["ip", "route", "show"])?, "dev cali"),
            namespaces: count(node.stdout(&["ls", "/run/netns"])?, "cni-"),
        };
        all.insert(node.name.clone(), traces);
    }
    Ok(all)
}

fn scale(trial: &Trial, replicas: usize) -> Result<Duration> {
    let start = Instant::now();
    trial.kubectl(&["scale", "deployment/churn", &format!("--replicas={replicas}")])?;
    until(LONG, &format!("{replicas} pods"), || {
        let status = trial.kubectl(&["get", "deployment/churn", "-o", "jsonpath={.status.readyReplicas}"])?;
        let ready: usize = status.parse().unwrap_or_default();
        std::thread::sleep(Duration::from_millis(200));
        ensure!(ready == replicas, "{ready} are ready");
        if replicas == 0 {
            let left = trial.kubectl(&["get", "pods", "-o", "name"])?.lines().count();
            ensure!(left == 0, "{left} are not gone yet");
        }
        Ok(())
    })?;
    Ok(start.elapsed())
}

fn most(trial: &Trial) -> Result<u64> {
    let rss = trial.cluster.nodes().iter().map(Usage::of_agent).collect::<Result<Vec<_>>>()?;
    Ok(rss.iter().map(|usage| usage.rss).max().unwrap_or_default() / 1024)
}

#[test]
fn a_hundred_pods_churned_ten_times_leave_no_lease_no_link_and_no_route() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let (plan, one) = (&trial.cluster.plan, trial.cluster.node("n1"));
    let labels = json!({"app": "churn"});
    trial.apply(&[json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "churn"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false, "enableServiceLinks": false,
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}}],
                "containers": [{"name": "pause", "image": PAUSE}],
            },
        }},
    })])?;
    let before = traces(&trial)?;
    figures::record(plan, "agent, idle: memory", &format!("{} MiB", most(&trial)?))?;
    figures::record(plan, "agent, idle: processor", &format!("{:.1} % of one", Usage::busy(&one, WHILE)?))?;
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        came.push(scale(&trial, PODS)?);
        if round == 1 {
            let during = traces(&trial)?;
            let leases: usize = during.values().zip(before.values()).map(|(now, then)| now.leases - then.leases).sum();
            ensure!(leases == PODS, "{leases} leases for {PODS} pods: {during:?}");
            figures::record(plan, "agent, 100 pods in the cluster: memory", &format!("{} MiB", most(&trial)?))?;
            let busy = Usage::busy(&one, WHILE)?;
            figures::record(plan, "agent, 100 pods in the cluster: processor", &format!("{busy:.1} % of one"))?;
        }
        went.push(scale(&trial, 0)?);
    }
    let seconds = |all: Vec<Duration>| format!("{:.1} s, median of {ROUNDS}", figures::median(all));
    figures::record(plan, "100 pods until all are Ready", &seconds(came))?;
    figures::record(plan, "100 pods until all are gone", &seconds(went))?;
    figures::record(plan, "agent, after 1000 pods: memory", &format!("{} MiB", most(&trial)?))?;
    until(Duration::from_secs(60), "every node as it was before", || {
        let after = traces(&trial)?;
        ensure!(after == before, "{after:?} instead of {before:?}");
        Ok(())
    })
}
