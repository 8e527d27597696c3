//! A hundred pods come and go, ten times: nothing of them is left on any node.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster::figures::{self, Usage};
use cluster::images::PAUSE;
use cluster::traces::settled;
use cluster::trial::{Company, Trial, until};
use serde_json::json;

const PODS: usize = 100;
const ROUNDS: usize = 10;
/// For a hundred pods on two cores.
const LONG: Duration = Duration::from_secs(240);
/// Until nodes have what the API server says, and nothing else.
const WHOLE: Duration = Duration::from_secs(60);
/// How long the agents are watched.
const WHILE: Duration = Duration::from_secs(10);

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
    settled(&trial.cluster, WHOLE)?;
    figures::record(plan, "agent, idle: memory", &format!("{} MiB", most(&trial)?))?;
    figures::record(plan, "agent, idle: processor", &format!("{:.1} % of one", Usage::busy(&one, WHILE)?))?;
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        came.push(scale(&trial, PODS)?);
        if round == 1 {
            settled(&trial.cluster, WHOLE)?;
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
    settled(&trial.cluster, WHOLE).map(|_| ())
}
