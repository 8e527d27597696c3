//! Taking margay off a cluster, as docs/install.md says it, and putting it on again.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::cluster::Cluster;
use cluster::plan::repository;
use cluster::trial::{Company, SOON, Trial, until};

/// Everything of margay's on a node, as commands that print it.
const TRACES: &[(&str, &str)] = &[
    ("routes", "ip route show proto 109; ip -6 route show proto 109"),
    ("links", "ip -o link show type veth | grep cali"),
    ("packet rules", "nft list tables | grep margay"),
    ("the plugin", "ls /opt/cni/bin | grep margay"),
    ("its configuration", "ls /etc/cni/net.d | grep margay"),
    ("addresses of the tunnel", "ip -o addr show dev tunl0 | grep -v 'scope link'"),
    ("state", "ls -d /var/lib/margay"),
    ("the socket", "ls -d /run/margay"),
    ("the name of its protocol", "ls /etc/iproute2/rt_protos.d | grep margay"),
];

fn traces(cluster: &Cluster) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for node in cluster.nodes() {
        for (what, command) in TRACES {
            let output = node.output(&["sh", "-c", &format!("{{ {command}; }} 2>/dev/null")])?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if !text.is_empty() {
                found.push(format!("{}: {what}: {text}", node.name));
            }
        }
    }
    Ok(found)
}

fn dns(cluster: &Cluster, replicas: &str) -> Result<()> {
    let deployment = "deployment/coredns";
    cluster.kubectl.text(&["-n", "kube-system", "scale", deployment, &format!("--replicas={replicas}")])?;
    cluster.kubectl.text(&["-n", "kube-system", "rollout", "status", deployment, "--timeout=90s"])?;
    cluster.until(SOON, "the end of pods of DNS", |kubectl| {
        let pods = kubectl.text(&["-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "name"])?;
        ensure!(pods.lines().count().to_string() == replicas, "{pods}");
        Ok(())
    })
}

#[test]
fn uninstalled_it_leaves_nothing_on_any_node_and_can_be_installed_again() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    trial.afterwards("margay is installed again", |cluster| {
        cluster.install_margay()?;
        cluster.nodes_ready(SOON)?;
        dns(cluster, "2")
    });
    dns(cluster, "0")?;
    cluster.kubectl.delete(&["-n", "kube-system", "daemonset", "margay"])?;
    ensure!(!traces(cluster)?.is_empty(), "nothing was there to be taken away");
    let file = repository().join("manifests/margay-uninstall.yaml");
    let file = file.to_string_lossy();
    cluster.roll_out(&std::fs::read_to_string(&*file)?, "kube-system", "daemonset/margay-uninstall", SOON)?;
    cluster.kubectl.delete(&["-f", &file])?;
    until(Duration::from_secs(20), "nodes without a trace", || {
        let found = traces(cluster)?;
        ensure!(found.is_empty(), "{found:#?}");
        Ok(())
    })?;
    trial.undo()
}
