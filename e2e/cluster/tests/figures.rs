//! How long things take that users wait for, each beside what it is compared with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::cluster::Cluster;
use cluster::cni;
use cluster::figures;
use cluster::images::PAUSE;
use cluster::node::Disk;
use cluster::trial::{Company, PORT, SOON, Trial, until};
use serde_json::{Value, json};

/// An odd number: the median is one of them.
const PODS: usize = 11;
/// A hundred per cent more than ptp's, and the noise of two cores under load.
const MARGIN: f64 = 1.0;

/// What `kubectl get pods --watch` says as it says it.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    fn start(trial: &Trial) -> Result<Self> {
        let line =
            "jsonpath={.metadata.name} {.spec.nodeName} {.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}";
        // Else a pod that never becomes Ready would be waited for without end.
        let args = ["-n", &trial.namespace, "get", "pods", "--watch", "--request-timeout=10m", "-o", line];
        let mut child = trial.cluster.kubectl.command(&args).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("kubectl has no stdout")?);
        Ok(Self { child, lines })
    }

    /// From the moment that a pod has a node to the moment that it is Ready.
    fn scheduled_to_ready(&mut self, pod: &str) -> Result<Duration> {
        let mut scheduled = None;
        loop {
            let mut line = String::new();
            ensure!(self.lines.read_line(&mut line)? > 0, "kubectl ended its watch");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [name, _, "True"] if name == pod => {
                    return Ok(scheduled.get_or_insert_with(Instant::now).elapsed());
                }
                [name, _, ..] if name == pod => _ = scheduled.get_or_insert_with(Instant::now),
                _ => {}
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn pause(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "n3"}, "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false, "containers": [{"name": "pause", "image": PAUSE}],
        },
    })
}

/// One pod after another on n3, once the runtime gives pods there addresses that begin so.
fn pods_start(trial: &Trial, network: &str) -> Result<f64> {
    let mut watch = Watch::start(trial)?;
    until(SOON, &format!("a pod with an address from {network}"), || {
        trial.apply(&[pause("probe")])?;
        watch.scheduled_to_ready("probe")?;
        let address = trial.kubectl(&["get", "pod", "probe", "-o", "jsonpath={.status.podIP}"])?;
        trial.delete(&["pod", "probe"])?;
        ensure!(address.starts_with(network), "{address}");
        Ok(())
    })?;
    let mut all = Vec::new();
    for number in 0..PODS {
        let name = format!("pod-{number}");
        trial.apply(&[pause(&name)])?;
        all.push(watch.scheduled_to_ready(&name)?);
    }
    let strange: Vec<_> = trial.pods()?.into_iter().filter(|pod| !pod.ip.starts_with(network)).collect();
    ensure!(strange.is_empty(), "not of {network}: {strange:?}");
    trial.delete(&["pods", "--all"])?;
    Ok(figures::median(all))
}

#[test]
fn a_pod_is_ready_about_as_soon_as_with_the_ptp_plugin() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let plan = &trial.cluster.plan;
    let ours = pods_start(&trial, "10.244.")?;
    // The first configuration by name counts; with addresses of its own, margay's leases on the node are safe.
    let configuration = cni::write_ptp(plan, "n3", "10.245.0.0/24")?;
    trial.afterwards("margay's configuration again", move |_| Ok(fs::remove_file(&configuration)?));
    let theirs = pods_start(&trial, "10.245.")?;
    trial.undo()?;
    figures::record(plan, "pod scheduled to Ready: margay", &format!("{ours:.2} s, median of {PODS}"))?;
    figures::record(plan, "pod scheduled to Ready: ptp", &format!("{theirs:.2} s, median of {PODS}"))?;
    ensure!(ours < theirs + MARGIN, "{ours:.2} s instead of {theirs:.2} s");
    Ok(())
}

#[test]
fn a_new_node_has_reachable_pods_soon_after_it_registers() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let node = cluster.node("n3");
    trial.afterwards("every node runs", Cluster::revive);
    node.kill()?;
    cluster.kubectl.delete(&["node", "n3"])?;
    // It waits for a node of this name.
    trial.apply(&[Trial::server("newcomer", "n3")])?;
    node.come_back(Disk::Empty, &cluster.debian)?;
    cluster.until(SOON, "n3 to register", |kubectl| kubectl.text(&["get", "node", "n3"]))?;
    let registered = Instant::now();
    let address = cluster.until(SOON, "an address for its pod", |kubectl| {
        let get = ["-n", &trial.namespace, "get", "pod", "newcomer", "-o", "jsonpath={.status.podIP}"];
        let address = kubectl.text(&get)?;
        ensure!(!address.is_empty(), "it has none yet");
        Ok(address)
    })?;
    cluster.plan.outside().run(|| {
        until(SOON, "a connection from outside", || {
            let target = format!("{address}:{PORT}").parse()?;
            Ok(std::net::TcpStream::connect_timeout(&target, Duration::from_millis(500))?)
        })
    })?;
    let took = registered.elapsed().as_secs_f64();
    figures::record(&cluster.plan, "node registered to its pod reachable from outside", &format!("{took:.1} s"))?;
    cluster.nodes_ready(SOON)?;
    let image = fs::metadata(cluster.plan.images().join("margay.tar"))?.len();
    figures::record(&cluster.plan, "image, as imported", &format!("{:.1} MiB", image as f64 / f64::from(1 << 20)))?;
    Ok(())
}
