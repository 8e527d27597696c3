//! NetworkPolicy on real kubelets, beside kube-proxy: who is cut, who is not, and when.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::cluster::ProxyMode;
use cluster::images::TOOLS;
use cluster::plan::OUTSIDE;
use cluster::pod_netns::PodNetns;
use cluster::trial::{Company, PORT, Pod, SOON, Trial, until};
use e2e::netns::Netns;
use e2e::traffic::Traffic;
use e2e::wait::throughout;
use serde_json::{Value, json};

/// How long something has to stay as it is.
const WHILE: Duration = Duration::from_secs(10);
/// Three nodes, one after another.
const ROLLOUT: Duration = Duration::from_secs(180);

/// A policy for pods labelled `app: NAME`, or for all if there is no name.
fn policy(name: &str, about: Option<&str>, spec: &Value) -> Value {
    let chosen = about.map_or_else(|| json!({}), |app| json!({"matchLabels": {"app": app}}));
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {"podSelector": chosen},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        policy["spec"][key] = value.clone();
    }
    policy
}

/// A peer: pods of the namespace labelled `app: NAME`.
fn pods(app: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app": app}}})
}

fn named<'a>(pods: &'a [Pod], name: &str) -> Result<&'a Pod> {
    pods.iter().find(|pod| pod.name == name).with_context(|| format!("no pod {name} in {pods:?}"))
}

fn socket(pod: &Pod) -> String {
    format!("{}:{PORT}", pod.ip)
}

/// Waits until a pod's new connections fare as they should.
fn fares(trial: &Trial, from: &Pod, target: &str, connects: bool) -> Result<()> {
    until(SOON, &format!("{} to {target}: {}", from.name, verdict(connects)), || {
        ensure!(trial.connects(from, target)? == connects, "it is {}", verdict(!connects));
        Ok(())
    })
}

/// The same of the host behind the router.
fn outside_fares(trial: &Trial, target: &str, connects: bool) -> Result<()> {
    until(SOON, &format!("from outside to {target}: {}", verdict(connects)), || {
        ensure!(trial.connects_from_outside(target)? == connects, "it is {}", verdict(!connects));
        Ok(())
    })
}

fn verdict(connects: bool) -> &'static str {
    if connects { "allowed" } else { "cut" }
}

/// A server on n1, a friend of it on the same node and one on another, and a stranger on each of these.
fn five(trial: &Trial) -> Result<Vec<Pod>> {
    let with = |name: &str, app: &str, node: &str| {
        let mut pod = Trial::server(name, node);
        pod["metadata"]["labels"]["app"] = app.into();
        pod
    };
    trial.run(&[
        Trial::server("server", "n1"),
        with("friend-near", "friend", "n1"),
        with("friend-far", "friend", "n2"),
        with("stranger-near", "stranger", "n1"),
        with("stranger-far", "stranger", "n3"),
    ])
}

#[test]
fn a_policy_cuts_strangers_and_lets_friends_by_until_it_is_changed_or_gone() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let all = five(&trial)?;
    let server = named(&all, "server")?;
    let everybody = |friends: bool, strangers: bool| -> Result<()> {
        for pod in all.iter().filter(|pod| pod.name != "server") {
            let connects = if pod.name.starts_with("friend") { friends } else { strangers };
            fares(&trial, pod, &socket(server), connects)?;
        }
        Ok(())
    };
    everybody(true, true)?;
    let rule = |port: u16| json!({"ingress": [{"from": [pods("friend")], "ports": [{"port": port}]}]});
    trial.apply(&[policy("friends", Some("server"), &rule(PORT))])?;
    everybody(true, false).context("friends may, on this port")?;
    trial.apply(&[policy("friends", Some("server"), &rule(PORT + 1))])?;
    everybody(false, false).context("friends may, on another port")?;
    // A label is enough to become a friend.
    trial.apply(&[policy("friends", Some("server"), &rule(PORT))])?;
    trial.kubectl(&["label", "pod", "stranger-far", "app=friend", "--overwrite"])?;
    fares(&trial, named(&all, "stranger-far")?, &socket(server), true).context("with a friend's label")?;
    trial.kubectl(&["label", "pod", "stranger-far", "app=stranger", "--overwrite"])?;
    everybody(true, false).context("without that label again")?;
    // What the node itself asks is never cut, and other pods never were.
    trial.ask_from_node("n1", &[format!("{}/hostname", socket(server))])?;
    fares(&trial, server, &socket(named(&all, "stranger-far")?), true)?;
    trial.delete(&["networkpolicy", "friends"])?;
    everybody(true, true).context("without a policy")
}

#[test]
fn pods_stay_ready_when_every_connection_of_theirs_is_denied() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let mut servers = ["n1", "n2", "n3"].map(|node| Trial::server(&format!("on-{node}"), node));
    for server in &mut servers {
        let container = &mut server["spec"]["containers"][0];
        container["readinessProbe"]["failureThreshold"] = 1.into();
        container["livenessProbe"] = container["readinessProbe"].clone();
    }
    trial.apply(&[policy("nothing", None, &json!({"policyTypes": ["Ingress", "Egress"]}))])?;
    // They become ready under the policy too.
    let all = trial.run(&servers)?;
    let (one, two) = (named(&all, "on-n1")?, named(&all, "on-n2")?);
    fares(&trial, one, &socket(two), false)?;
    outside_fares(&trial, &socket(one), false)?;
    throughout(WHILE, "pods that are ready and were never restarted", || {
        for pod in trial.cluster.kubectl.list(&["-n", &trial.namespace, "pods"])? {
            let status = &pod["status"]["containerStatuses"][0];
            ensure!(status["ready"] == true && status["restartCount"] == 0, "{status}");
        }
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    })
}

/// Policies that name pods and an outside network, met by connections to a service's addresses.
fn policies_see_who_asks_and_who_answers(trial: &Trial) -> Result<()> {
    let all = five(trial)?;
    trial.apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
        "spec": {"type": "NodePort", "externalTrafficPolicy": "Local", "selector": {"app": "server"},
            "ports": [{"port": 80, "targetPort": PORT}]},
    })])?;
    let service = trial.cluster.kubectl.json(&["-n", &trial.namespace, "get", "service", "server"])?;
    let address = service["spec"]["clusterIP"].as_str().context("the service has no ClusterIP")?;
    let cluster_ip = format!("{address}:80");
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("the service has no NodePort")?;
    let node_port = format!("{}:{port}", trial.cluster.plan.node_ip("n1")?);
    for pod in &all {
        fares(trial, pod, &cluster_ip, true)?;
    }
    outside_fares(trial, &node_port, true)?;

    // Ingress: rules are about the pod's port and the client's address, on both sides of the translation.
    let ports = json!([{"port": PORT}]);
    let ingress =
        |block: &str| json!({"ingress": [{"from": [pods("friend"), {"ipBlock": {"cidr": block}}], "ports": ports}]});
    trial.apply(&[policy("ingress", Some("server"), &ingress(&format!("{OUTSIDE}/32")))])?;
    for (name, connects) in
        [("friend-near", true), ("friend-far", true), ("stranger-near", false), ("stranger-far", false)]
    {
        fares(trial, named(&all, name)?, &cluster_ip, connects)?;
    }
    outside_fares(trial, &node_port, true)?;
    trial.apply(&[policy("ingress", Some("server"), &ingress("192.0.2.0/24"))])?;
    outside_fares(trial, &node_port, false)?;

    // Egress: towards a service a pod may go where it may go towards the pods behind it.
    let egress = |app: &str| json!({"policyTypes": ["Egress"], "egress": [{"to": [pods(app)], "ports": ports}]});
    let friend = named(&all, "friend-far")?;
    trial.apply(&[policy("egress", Some("friend"), &egress("stranger"))])?;
    fares(trial, friend, &cluster_ip, false)?;
    trial.apply(&[policy("egress", Some("friend"), &egress("server"))])?;
    fares(trial, friend, &cluster_ip, true)
}

#[test]
fn policies_hold_for_cluster_ip_and_node_port_with_kube_proxy_in_nftables_mode() -> Result<()> {
    policies_see_who_asks_and_who_answers(&Trial::new(Company::None)?)
}

#[test]
fn policies_hold_for_cluster_ip_and_node_port_with_kube_proxy_in_iptables_mode() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    trial.afterwards("kube-proxy as it was", |cluster| cluster.set_proxy_mode(ProxyMode::Nftables));
    trial.cluster.set_proxy_mode(ProxyMode::Iptables)?;
    policies_see_who_asks_and_who_answers(&trial)?;
    trial.undo()
}

/// New connections from a namespace, one after another until it is over: how many came about, and how many did not.
fn knock(from: &Netns, target: &str, over: &AtomicBool) -> Result<(usize, usize)> {
    let target: SocketAddr = target.parse()?;
    from.run(|| {
        let (mut answered, mut unanswered) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            match TcpStream::connect_timeout(&target, Duration::from_millis(500)) {
                Ok(_) => answered += 1,
                Err(_) => unanswered += 1,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok((answered, unanswered))
    })
}

/// Restarts agents while friends talk and strangers knock.
fn under_policies(what: impl FnOnce(&Trial) -> Result<()>) -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let all = five(&trial)?;
    let server = named(&all, "server")?;
    trial.apply(&[
        policy("friends", Some("server"), &json!({"ingress": [{"from": [pods("friend")]}]})),
        policy("strangers", Some("stranger"), &json!({"policyTypes": ["Egress"]})),
    ])?;
    for pod in all.iter().filter(|pod| pod.name != "server") {
        fares(&trial, pod, &socket(server), pod.name.starts_with("friend"))?;
    }
    let names = ["friend-near", "friend-far", "stranger-near", "stranger-far"];
    let knockers = names.map(|name| named(&all, name).and_then(|pod| PodNetns::of(cluster, pod)));
    let knockers = knockers.into_iter().collect::<Result<Vec<_>>>()?;
    let pings = Traffic::start(cluster.plan.folder(), knockers.get(1).context("no friend")?, server.ip.parse()?)?;
    let over = AtomicBool::new(false);
    let (target, stop) = (socket(server), &over);
    let (done, outcomes) = std::thread::scope(|scope| {
        let knocking: Vec<_> = knockers.iter().map(|netns| scope.spawn(|| knock(netns, &target, stop))).collect();
        let done = what(&trial).and_then(|()| pings.flows(200, SOON));
        over.store(true, Ordering::Relaxed);
        let outcomes: Vec<_> = knocking.into_iter().map(|thread| thread.join()).collect();
        (done, outcomes)
    });
    done?;
    for (name, outcome) in names.into_iter().zip(outcomes) {
        let (answered, unanswered) = outcome.ok().with_context(|| format!("{name} broke down"))??;
        let counts = format!("{name}: {answered} connections, {unanswered} without an answer");
        let right =
            if name.starts_with("friend") { answered > 0 && unanswered == 0 } else { answered == 0 && unanswered > 0 };
        ensure!(right, "{counts}");
    }
    let (answers, lost) = pings.stop()?;
    ensure!(lost == 0, "{lost} of {} pings of a friend were lost", answers + lost);
    Ok(())
}

fn rolled_out(trial: &Trial) -> Result<()> {
    let timeout = format!("--timeout={}s", ROLLOUT.as_secs());
    let status = ["-n", "kube-system", "rollout", "status", "daemonset/margay", &timeout];
    trial.cluster.kubectl.text(&status).map(|_| ())
}

#[test]
fn an_upgrade_of_the_daemonset_under_policies_loses_no_allowed_packet_and_leaks_none() -> Result<()> {
    under_policies(|trial| {
        let stamp = format!("MARGAY_TRIAL=policy-{}", std::process::id());
        trial.cluster.kubectl.text(&["-n", "kube-system", "set", "env", "daemonset/margay", &stamp])?;
        rolled_out(trial)
    })
}

#[test]
fn kill_9_of_every_agent_at_once_leaves_the_policies_in_force() -> Result<()> {
    under_policies(|trial| {
        for node in trial.cluster.nodes() {
            node.stdout(&["pkill", "-9", "-x", "margay-agent"])?;
        }
        rolled_out(trial)
    })
}

#[test]
fn the_first_packet_of_a_pod_is_already_under_its_policy() -> Result<()> {
    const EACH: usize = 4;
    let trial = Trial::new(Company::None)?;
    let server = trial.run(&[Trial::server("server", "n1")])?.remove(0);
    trial.apply(&[policy("hasty", Some("hasty"), &json!({"policyTypes": ["Egress"]}))])?;
    // They ask from their first moment on, and say when somebody answers.
    let script = format!(
        "for i in $(seq 40); do /agnhost connect {} --timeout=100ms 2>/dev/null && echo LEAK $i; done; echo done",
        socket(&server)
    );
    let hasty = |name: String, app: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node}, "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "containers": [{"name": "hasty", "image": TOOLS, "command": ["sh", "-c", script]}],
            },
        })
    };
    let mut asking = vec![hasty("free".into(), "free", "n2")];
    for node in &trial.cluster.plan.nodes {
        asking.extend((0..EACH).map(|number| hasty(format!("hasty-{node}-{number}"), "hasty", node)));
    }
    trial.apply(&asking)?;
    for pod in &asking {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        trial.cluster.kubectl.wait(
            "jsonpath={.status.phase}=Succeeded",
            &["-n", &trial.namespace, "pod", name],
            SOON,
        )?;
        let said = trial.kubectl(&["logs", name])?;
        // One that no policy is about is answered: it is not the script that keeps the others quiet.
        ensure!(said.contains("LEAK") == (name == "free"), "{name}: {said}");
    }
    Ok(())
}
