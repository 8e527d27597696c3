//! Policies for pods that another plugin wires: a bridge as flannel's, real packets, and nothing of the node's but one table touched.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::bridged::{Addresses, BRIDGE, Bridged, NAMESPACE};
use e2e::netns::Netns;
use e2e::pipe::Pipe;
use e2e::pods::policy;
use e2e::prober::Expected::{Answer, Silence};
use e2e::prober::Probe;
use e2e::process::Process;
use e2e::programs::Programs;
use e2e::{ip, wait};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// Only `front` reaches `web`, and that on port 80.
fn only_front() -> Value {
    let rule = json!({"from": [{"podSelector": {"matchLabels": {"app": "front"}}}], "ports": [{"port": 80}]});
    policy(NAMESPACE, "web", json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [rule]}))
}

/// No pod is reached, and none reaches anything.
fn nothing() -> Value {
    policy(NAMESPACE, "nothing", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
}

/// Probes that say whether [`only_front`] is in force between pods of the bridge.
fn between_pods(lab: &Bridged) -> Result<Vec<Probe>> {
    let open = [lab.between("front", "web", 80, Answer)?, lab.between("web", "cron", 81, Answer)?];
    let shut = [lab.between("front", "web", 81, Silence)?, lab.between("cron", "web", 80, Silence)?];
    Ok([open, shut].as_flattened().as_flattened().to_vec())
}

#[test]
fn packets_from_pod_to_pod_over_the_bridge_meet_the_policies() -> Result<()> {
    let mut lab = Bridged::up()?;
    let (cron, front) = (lab.between("cron", "web", 80, Answer)?, lab.between("front", "web", 81, Answer)?);
    let open = [cron, front, lab.to_service("cron", 80, Answer)?].concat();
    lab.prober.hold(&open)?;
    lab.apply(&[only_front()])?;
    let service = [lab.to_service("front", 80, Answer)?, lab.to_service("cron", 80, Silence)?];
    let judged = [between_pods(&lab)?, service.concat()].concat();
    lab.prober.hold(&judged)?;
    lab.apply(&[])?;
    lab.prober.hold(&open)
}

#[test]
fn packets_between_another_node_and_a_pod_meet_the_policies() -> Result<()> {
    let mut lab = Bridged::up()?;
    let ways = |lab: &Bridged, ingress, egress| -> Result<Vec<Probe>> {
        Ok([lab.to_pod(lab.other, "web", 80, ingress)?, lab.to_node("cron", 2, 80, egress)?].concat())
    };
    let both_open = ways(&lab, Answer, Answer)?;
    lab.prober.hold(&both_open)?;
    let of = |app: &str, way: &str| {
        policy(NAMESPACE, way, json!({"podSelector": {"matchLabels": {"app": app}}, "policyTypes": [way]}))
    };
    lab.apply(&[of("web", "Ingress"), of("cron", "Egress")])?;
    let shut = ways(&lab, Silence, Silence)?;
    // The other way of each pod, and a pod that no policy is about.
    let open = [
        lab.to_pod(lab.other, "cron", 80, Answer)?,
        lab.to_node("web", 2, 80, Answer)?,
        lab.to_node("front", 2, 80, Answer)?,
    ];
    lab.prober.hold(&[shut, open.concat()].concat())?;
    lab.apply(&[])?;
    lab.prober.hold(&both_open)
}

#[test]
fn the_node_reaches_its_own_pods_and_a_connection_that_stands_goes_on_whatever_the_policies() -> Result<()> {
    let mut lab = Bridged::up()?;
    let web = lab.pod("web")?.clone();
    let clients = [lab.pod("front")?.netns.clone(), lab.trial.plan.node_netns(2)];
    let mut pipes = Vec::new();
    for address in web.addresses {
        for client in &clients {
            pipes.push(Pipe::open(client, &web.netns, SocketAddr::new(address, 8080))?);
        }
    }
    lab.apply(&[nothing()])?;
    pipes.iter().try_for_each(Pipe::carries)?;
    let shut = [lab.between("front", "web", 80, Silence)?, lab.to_node("web", 1, 80, Silence)?].concat();
    let open = [lab.to_pod(lab.node, "web", 80, Answer)?, lab.to_pod(lab.node, "cron", 81, Answer)?].concat();
    lab.prober.hold(&[shut, open].concat())
}

#[test]
fn a_pod_whose_address_is_unknown_is_left_alone_and_comes_under_its_policy_with_it() -> Result<()> {
    let mut lab = Bridged::up()?;
    lab.know("web", Addresses::Unknown)?;
    lab.apply(&[only_front()])?;
    let untouched = [lab.between("cron", "web", 80, Answer)?, lab.to_node("web", 2, 80, Answer)?].concat();
    lab.prober.hold(&untouched)?;
    lab.know("web", Addresses::Told)?;
    lab.apply(&[only_front()])?;
    let judged = between_pods(&lab)?;
    lab.prober.hold(&judged)?;
    // A client that gets its address later is let in with it.
    lab.know("front", Addresses::Unknown)?;
    lab.apply(&[only_front()])?;
    let stranger = lab.between("front", "web", 80, Silence)?;
    lab.prober.hold(&stranger)?;
    lab.know("front", Addresses::Told)?;
    lab.apply(&[only_front()])?;
    lab.prober.hold(&judged)
}

#[test]
fn what_pods_may_send_to_their_node_is_what_the_configuration_says_and_the_node_still_reaches_them() -> Result<()> {
    let mut lab = Bridged::up()?;
    let to_host = |action: &str| {
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration", "metadata": {"name": "default"},
            "spec": {"defaultEndpointToHostAction": action},
        })
    };
    let beside = [lab.to_pod(lab.node, "web", 80, Answer)?, lab.to_node("web", 2, 80, Answer)?].concat();
    let [open, shut] = [Answer, Silence].map(|expected| lab.to_node("web", 1, 80, expected));
    let (open, shut) = ([open?.to_vec(), beside.clone()].concat(), [shut?.to_vec(), beside].concat());
    lab.prober.hold(&open)?;
    lab.apply(&[to_host("Drop")])?;
    lab.comes_to(&shut)?;
    // The node's own policies are not asked about what is accepted before.
    let host = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": {"name": "n1", "labels": {"role": "node"}},
        "spec": {"node": "n1", "interfaceName": "*"},
    });
    let closed = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "closed"},
        "spec": {"selector": "role == 'node'", "types": ["Ingress"]},
    });
    lab.apply(&[to_host("Accept"), host.clone(), closed.clone()])?;
    lab.comes_to(&open)?;
    lab.apply(&[to_host("Return"), host, closed])?;
    lab.comes_to(&shut)
}

/// Everything of the node's network that is another's: links, addresses, routes, rules of routing, packet rules, sysctls.
fn of_others(node: &Netns) -> Result<Vec<String>> {
    let asked: [&[&str]; 7] = [
        &["-o", "link"],
        &["-4", "-o", "addr"],
        &["-6", "-o", "addr"],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["rule"],
        &["nexthop"],
    ];
    let mut seen = asked.map(|arguments| node.stdout("ip", arguments)).into_iter().collect::<Result<Vec<_>>>()?;
    let tables = node.stdout("nft", &["list", "tables"])?;
    for table in tables.lines().filter(|table| *table != "table inet margay") {
        let words: Vec<&str> = ["list"].into_iter().chain(table.split(' ')).collect();
        seen.push(node.stdout("nft", &words)?);
    }
    let forwarding = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/forwarding";
    seen.push(node.stdout("sh", &["-c", forwarding])?);
    Ok(seen)
}

#[test]
fn nothing_of_the_other_plugins_is_touched_and_nothing_of_ours_is_there_but_the_table() -> Result<()> {
    let mut lab = Bridged::without_agent()?;
    let node = lab.trial.plan.node_netns(1);
    let bridged = || node.stdout("sh", &["-c", "cat /proc/sys/net/bridge/bridge-nf-call-ip*tables"]);
    node.sysctl(&[("bridge/bridge-nf-call-iptables", "0"), ("bridge/bridge-nf-call-ip6tables", "0")])?;
    // As a plugin may call its links that is not ours.
    let link = "link add cali0123456789a address ee:ee:ee:ee:ee:ee type veth peer name theirs";
    let lines =
        [link, "link set cali0123456789a up", "link set theirs up", "route add 10.244.1.77 dev cali0123456789a"];
    ip::batch_in(&node, &lines.map(str::to_owned))?;
    // Where another agent of the network would peer, take leases for those links, and announce and translate.
    for (name, yaml) in e2e::objects::of_lab(&lab.trial.plan) {
        lab.trial.node(1).objects()?.write(&name, &yaml)?;
    }
    let before = of_others(&node)?;
    lab.start_agent()?;
    lab.apply(&[only_front()])?;
    let judged = between_pods(&lab)?;
    lab.prober.hold(&judged)?;
    ensure!(bridged()? == "1\n1\n", "bridged packets do not meet the rules");
    // As `sysctl --system` does where a distribution says so.
    node.sysctl(&[("bridge/bridge-nf-call-iptables", "0"), ("bridge/bridge-nf-call-ip6tables", "0")])?;
    wait::until(SOON, "bridged packets meeting the rules again", || {
        ensure!(bridged()? == "1\n1\n", "{}", bridged()?);
        Ok(())
    })?;
    let table = lab.table()?;
    ensure!(!table.contains("type nat") && !table.contains("masquerade"), "{table}");
    let listens = node.stdout("ss", &["-Hlntu", "sport", "=", ":179"])?;
    ensure!(listens.is_empty(), "{listens}");
    ensure!(lab.trial.node(1).ctl().list(&["pod", "list"])?.is_empty(), "the other plugin's pods have leases");
    let after = of_others(&node)?;
    ensure!(after == before, "{before:#?} became {after:#?}");

    // Nor when it goes; its last rules stay.
    lab.trial.node(1).agent()?.stop()?;
    lab.prober.hold(&judged)?;
    ensure!(of_others(&node)? == before && node.stdout("ip", &["link", "show", BRIDGE]).is_ok());
    Ok(())
}

#[test]
fn the_rules_outlive_the_agent_and_a_foreign_flush_and_a_new_agent_touches_nothing() -> Result<()> {
    let mut lab = Bridged::up()?;
    lab.apply(&[only_front()])?;
    let node = lab.trial.plan.node_netns(1);
    let judged = between_pods(&lab)?;
    let before = lab.table()?;
    lab.trial.node(1).agent()?.kill()?;
    lab.prober.hold(&judged)?;
    lab.start_agent()?;
    lab.apply(&[only_front()])?;
    ensure!(chains(&lab.table()?) == chains(&before), "{before} became {}", lab.table()?);
    node.stdout("nft", &["flush", "ruleset"])?;
    wait::until(Duration::from_secs(1), "the rules again", || lab.table().map(drop))?;
    lab.prober.hold(&judged)
}

/// The chains but the marker's, with their handles, which are others in a table that was made anew, and without what counts.
fn chains(table: &str) -> Vec<String> {
    let chains = table.split("\n\n").filter(|part| part.trim_start().starts_with("chain "));
    let lines = chains.filter(|chain| !chain.contains("NetworkPolicy/marker")).flat_map(str::lines);
    let uncounted = |line: &str| match (line.split_once("counter packets"), line.rsplit_once(" # ")) {
        (Some((before, _)), Some((_, handle))) => format!("{before} # {handle}"),
        _ => line.to_owned(),
    };
    lines.filter(|line| line.contains(" # ")).map(uncounted).collect()
}

#[test]
fn where_the_kernel_does_not_show_what_a_bridge_forwards_the_node_says_so() -> Result<()> {
    let lab = Bridged::without_agent()?;
    let (node, empty) = (lab.trial.node(1), lab.trial.plan.folder().join("empty"));
    std::fs::create_dir_all(&empty)?;
    node.objects()?;
    // As without `br_netfilter`, in a mount namespace of the agent's own.
    let script = r#"mount --bind "$0" /proc/sys/net/bridge && exec "$@""#;
    let mut agent = Command::new("unshare");
    agent.args(["--mount", "sh", "-c", script]).arg(&empty).arg(Programs::find()?.agent());
    agent.args(["--policy-only", "--node-name", "n1", "--http-address", "", "--objects"]);
    agent.arg(node.folder.join("objects")).arg("--state-dir").arg(node.state()).arg("--socket").arg(node.socket());
    Process::start(&lab.trial.plan.folder().join("pids"), "n1-agent", &node.netns, &node.log(), &mut agent)?;
    wait::until(SOON, "the problem", || {
        let status = node.ctl().json(&["node", "status"])?;
        let problems = status["problems"].to_string();
        ensure!(problems.contains("past their policies: is br_netfilter loaded?"), "{problems}");
        Ok(())
    })
}

#[test]
fn a_user_asks_the_same_questions_as_anywhere() -> Result<()> {
    let mut lab = Bridged::up()?;
    lab.apply(&[only_front()])?;
    let shut = lab.between("cron", "web", 80, Silence)?;
    lab.prober.hold(&shut)?;
    let ctl = lab.trial.node(1).ctl();
    let asked = |question: &[&str]| -> Result<(String, Option<i32>)> {
        let output = ctl.output(question)?;
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        println!("$ margayctl {}\n{text}", question.join(" "));
        Ok((text, output.status.code()))
    };
    let (text, code) = asked(&["node", "status"])?;
    let whole = "\nIt enforces policies alone: another plugin wires the pods.\n";
    ensure!(code == Some(0) && text.ends_with(whole), "a problem, or more than policies: {text}");
    let (text, code) = asked(&["policy", "show", "shop/web"])?;
    ensure!(code == Some(0) && text.contains("NetworkPolicy/shop/web"), "{text}");
    let (text, code) = asked(&["policy", "test", "shop/front", "shop/web", "80"])?;
    ensure!(code == Some(0) && text.contains("NetworkPolicy/shop/web"), "{text}");
    let (text, code) = asked(&["policy", "test", "shop/cron", "shop/web", "80"])?;
    ensure!(code == Some(1) && text.contains("NetworkPolicy/shop/web"), "{text}");
    let (text, code) = asked(&["policy", "counters"])?;
    ensure!(code == Some(0) && text.contains("NetworkPolicy/shop/web"), "{text}");
    wait::until(SOON, "the denial in the log", || {
        let (text, _) = asked(&["policy", "log"])?;
        ensure!(text.contains("shop/cron") && text.contains("shop/web"), "{text}");
        Ok(())
    })?;
    let (text, code) = asked(&["trace", "shop/front", "shop/web", "--port", "80"])?;
    ensure!(code == Some(0) && text.contains("NetworkPolicy/shop/web ingress[0] allows it"), "{text}");
    ensure!(text.ends_with("Verdict: goes to pod shop/web on node n1, this one, on the link, cni0\n"), "{text}");
    let (text, code) = asked(&["trace", "shop/cron", "shop/web", "--port", "80"])?;
    ensure!(code == Some(1) && text.contains("ingress   DROPPED"), "{text}");
    Ok(())
}
