//! What dies and comes back: a node, the API server. Pods that need neither notice nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::cluster::Cluster;
use cluster::control_plane::{self, Part};
use cluster::node::Disk;
use cluster::pod_netns::PodNetns;
use cluster::trial::{Company, PORT, Pod, SOON, Trial, until};
use e2e::traffic::Traffic;
use serde_json::json;

fn named<'a>(pods: &'a [Pod], name: &str) -> Result<&'a Pod> {
    pods.iter().find(|pod| pod.name == name).with_context(|| format!("no pod {name} in {pods:?}"))
}

fn everybody_reaches_everybody(trial: &Trial, pods: &[Pod]) -> Result<()> {
    let targets: Vec<_> = pods.iter().map(|pod| format!("{}:{PORT}/hostname", pod.ip)).collect();
    let names: Vec<_> = pods.iter().map(|pod| pod.name.clone()).collect();
    for pod in pods {
        ensure!(trial.ask(pod, &targets)? == names, "{} hears others than it asks", pod.name);
    }
    trial.ask_from_outside(&targets)?;
    Ok(())
}

/// A node loses power under traffic between the two others, and comes back with this disk.
fn a_node_dies_and_comes_back(disk: Disk) -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let pods = trial.run(&["n1", "n2", "n3"].map(|node| Trial::server(&format!("on-{node}"), node)))?;
    everybody_reaches_everybody(&trial, &pods)?;
    let (one, three) = (named(&pods, "on-n1")?, named(&pods, "on-n3")?);
    let netns = PodNetns::of(cluster, one)?;
    let traffic = Traffic::start(cluster.plan.folder(), &netns, three.ip.parse()?)?;

    let container = "jsonpath={.status.containerStatuses[0].containerID}";
    let before = trial.kubectl(&["get", "pod", "on-n2", "-o", container])?;
    let node = cluster.node("n2");
    trial.afterwards("every node runs", Cluster::revive);
    node.kill()?;
    traffic.flows(200, SOON)?;
    node.come_back(disk, &cluster.debian)?;
    cluster.until(SOON, "n2 is Ready again, and its pod", |_| {
        let pod = cluster.kubectl.json(&["-n", &trial.namespace, "get", "pod", "on-n2"])?;
        // It is another container, and ready.
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(status["ready"] == true && status["containerID"] != before, "{status}");
        Ok(())
    })?;
    cluster.nodes_ready(SOON)?;
    let pods = trial.ready()?;
    until(SOON, "everybody reaches everybody again", || everybody_reaches_everybody(&trial, &pods))?;
    let (answers, lost) = traffic.stop()?;
    ensure!(lost == 0, "{lost} packets lost between the other nodes, {answers} answered");
    Ok(())
}

#[test]
fn a_node_that_loses_power_comes_back_with_its_pods_and_the_others_notice_nothing() -> Result<()> {
    a_node_dies_and_comes_back(Disk::Kept)
}

#[test]
fn another_machine_in_a_nodes_place_serves_its_pods() -> Result<()> {
    a_node_dies_and_comes_back(Disk::Empty)
}

#[test]
fn pods_come_go_and_talk_while_the_api_server_is_away_and_everything_catches_up() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let pods = trial.run(&["n1", "n2", "n3"].map(|node| Trial::server(&format!("on-{node}"), node)))?;
    let (one, three) = (named(&pods, "on-n1")?, named(&pods, "on-n3")?);
    let netns = PodNetns::of(cluster, one)?;
    let traffic = Traffic::start(cluster.plan.folder(), &netns, three.ip.parse()?)?;

    trial.afterwards("the API server runs", |cluster| {
        if !control_plane::runs(&cluster.plan, Part::ApiServer)? {
            control_plane::start_part(&cluster.plan, Part::ApiServer)?;
        }
        control_plane::ready(&cluster.plan)?;
        cluster.nodes_ready(SOON)
    });
    control_plane::kill_part(&cluster.plan, Part::ApiServer)?;
    // The kubelet runs what lies in this folder without asking anybody.
    let node = cluster.node("n2");
    let alone = StaticPod::start(&trial)?;
    let address = alone.address(SOON)?;
    let asked = netns.run(|| {
        until(SOON, "the pod that came without the API", || {
            Ok(std::net::TcpStream::connect_timeout(&format!("{address}:{PORT}").parse()?, Duration::from_secs(1))?)
        })
    });
    asked?;
    alone.stop()?;
    until(SOON, "the end of the pod's route", || {
        let routes = node.stdout(&["ip", "route"])?;
        ensure!(!routes.contains(&format!("{address} ")), "{routes}");
        Ok(())
    })?;
    traffic.flows(100, SOON)?;

    trial.undo()?;
    trial.apply(&[Trial::server("late", "n2")])?;
    let pods = trial.ready()?;
    everybody_reaches_everybody(&trial, &pods)?;
    let (answers, lost) = traffic.stop()?;
    ensure!(lost == 0, "{lost} packets lost while the API server was away, {answers} answered");
    Ok(())
}

/// A pod that the kubelet of n2 runs from a file, whatever the API server does.
struct StaticPod<'a> {
    trial: &'a Trial,
}

impl<'a> StaticPod<'a> {
    const FILE: &'static str = "/etc/kubernetes/manifests/static.json";

    fn start(trial: &'a Trial) -> Result<Self> {
        let mut pod = Trial::server("static", "n2");
        pod["metadata"]["namespace"] = json!(trial.namespace);
        let text = pod.to_string();
        trial.afterwards("no static pod", |cluster| cluster.node("n2").stdout(&["rm", "-f", Self::FILE]).map(|_| ()));
        // The kubelet reads every file of the folder but those whose name begins with a dot: any other unfinished one is a pod too.
        let part = Self::FILE.replace("static.json", ".static.part");
        let write = format!("cat > {part} <<'END'\n{text}\nEND\nmv {part} {file}", file = Self::FILE);
        trial.cluster.node("n2").stdout(&["sh", "-c", &write])?;
        Ok(Self { trial })
    }

    /// As its node has it: the one route that no pod of the API server has.
    fn address(&self, within: Duration) -> Result<String> {
        let node = self.trial.cluster.node("n2");
        until(within, "an address for the pod that came without the API", || {
            let list = node.stdout(&[
                "ctr",
                "-n",
                "k8s.io",
                "containers",
                "list",
                "-q",
                "labels.\"io.kubernetes.pod.name\"==static-n2",
            ])?;
            let container = list.lines().next().context("it has no container yet")?.to_owned();
            let pids = node.stdout(&["ctr", "-n", "k8s.io", "tasks", "list"])?;
            let line = pids.lines().find(|line| line.starts_with(&container)).context("no task yet")?;
            let pid = line.split_whitespace().nth(1).context("a task without pid")?.to_owned();
            let text = node.stdout(&["nsenter", "-t", &pid, "-n", "ip", "-4", "-o", "addr", "show", "dev", "eth0"])?;
            let address =
                text.split_whitespace().skip_while(|word| *word != "inet").nth(1).context("no address yet")?;
            Ok(address.split('/').next().unwrap_or(address).to_owned())
        })
    }

    fn stop(self) -> Result<()> {
        self.trial.cluster.node("n2").stdout(&["rm", Self::FILE])?;
        Ok(())
    }
}
