//! Pods through the real CNI protocol: idempotent, together with other plugins, and whatever dies in between.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cni::Attachment;
use e2e::lab::{self, POD_NAMESPACE};
use e2e::netns::Netns;
use e2e::plan::{FAMILIES, Family, Shape};
use e2e::trial::Trial;
use e2e::{ip, objects, reach, wait};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// One node; no pods yet.
fn empty_node() -> Result<Trial> {
    let trial = Trial::planned(Shape::Tor, |plan| plan.nodes = 1)?;
    trial.up_without_pods()?;
    Ok(trial)
}

/// Names of host sides on the node.
fn host_sides(node: &Netns) -> Result<BTreeSet<String>> {
    let links: Vec<Value> = serde_json::from_str(&node.stdout("ip", &["-j", "link", "show"])?)?;
    let names = links.iter().filter_map(|link| link["ifname"].as_str());
    Ok(names.filter(|name| name.starts_with("cali")).map(str::to_owned).collect())
}

fn addresses_in(pod: &Netns) -> Result<BTreeSet<IpAddr>> {
    let links: Vec<Value> =
        serde_json::from_str(&pod.stdout("ip", &["-j", "addr", "show", "dev", "eth0", "scope", "global"])?)?;
    let addresses = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
    Ok(addresses.filter_map(|address| address["local"].as_str()?.parse().ok()).collect())
}

fn leases(trial: &Trial) -> Result<Vec<Value>> {
    trial.node(1).ctl().list(&["pod", "list"])
}

#[test]
fn a_second_add_of_the_same_attachment_gives_the_same_result() -> Result<()> {
    let trial = empty_node()?;
    let first = trial.attach(1, "a")?;
    let sides = host_sides(&trial.plan.node_netns(1))?;
    let second = trial.attach(1, "a")?;
    ensure!(first == second, "{first} became {second}");
    ensure!(host_sides(&trial.plan.node_netns(1))? == sides && sides.len() == 1, "{sides:?}");
    ensure!(leases(&trial)?.len() == 1, "{:?}", leases(&trial)?);
    Ok(())
}

#[test]
fn the_pod_is_plumbed_as_calico_has_it() -> Result<()> {
    let trial = empty_node()?;
    let result = trial.attach(1, "a")?;
    let (node, pod) = (trial.plan.node_netns(1), trial.plan.pod_netns(1, "a"));
    // The first eleven hex digits of sha1("lab.n1-a").
    let name = host_sides(&node)?.into_iter().next().unwrap_or_default();
    ensure!(name == "califc658c2ec01", "{name}");
    let link: Vec<Value> = serde_json::from_str(&node.stdout("ip", &["-j", "link", "show", "dev", &name])?)?;
    ensure!(link[0]["address"] == "ee:ee:ee:ee:ee:ee", "{link:?}");
    for (sysctl, value) in [("conf", "proxy_arp"), ("conf", "forwarding"), ("neigh", "proxy_delay")] {
        let path = format!("/proc/sys/net/ipv4/{sysctl}/{name}/{value}");
        let text = node.run(|| Ok(std::fs::read_to_string(&path)?))?;
        let wanted = if value == "proxy_delay" { "0" } else { "1" };
        ensure!(text.trim() == wanted, "{path} is {text}");
    }
    let routes = pod.stdout("ip", &["route"])?;
    ensure!(routes.contains("default via 169.254.1.1 dev eth0"), "{routes}");
    let neighbours = pod.stdout("ip", &["neigh"])?;
    ensure!(neighbours.contains("169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT"), "{neighbours}");
    let routes = pod.stdout("ip", &["-6", "route"])?;
    ensure!(routes.contains("default via fe80::ecee:eeff:feee:eeee dev eth0"), "{routes}");
    for family in FAMILIES {
        let address = lab::address(&result, family)?;
        ensure!(addresses_in(&pod)?.contains(&address), "{address} is not on eth0");
        let route = trial.node(1).kernel_routes(&address.to_string())?;
        ensure!(route.len() == 1 && route[0]["dev"] == name.as_str(), "{route:?}");
    }
    // No bridge anywhere, and no dependence on the node's own default route.
    ensure!(node.stdout("ip", &["-j", "link", "show", "type", "bridge"])?.trim() == "[]", "there is a bridge");
    ip::batch_in(&node, &["route del 0.0.0.0/0".into()])?;
    reach::ping(&pod, trial.plan.node_ip(1, Family::V4), 3, SOON)?;
    Ok(())
}

#[test]
fn del_takes_all_of_a_pod_away_and_may_be_repeated() -> Result<()> {
    let trial = empty_node()?;
    trial.attach(1, "a")?;
    let network = trial.node(1).network();
    let attachment = trial.attachment(1, "a");
    let alone = trial.node(1).network_alone("1.0.0"); // CHECK of bandwidth 1.1.1 panics where there is nothing to shape
    alone.check(&attachment)?;
    network.del(&attachment)?;
    network.del(&attachment)?;
    ensure!(leases(&trial)?.is_empty(), "{:?}", leases(&trial)?);
    wait::until(SOON, "the host side is gone", || {
        let left = host_sides(&trial.plan.node_netns(1))?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    ensure!(alone.check(&attachment).is_err(), "CHECK is content with a pod that is gone");
    Ok(())
}

#[test]
fn check_sees_what_is_broken() -> Result<()> {
    let trial = empty_node()?;
    trial.attach(1, "a")?;
    let network = trial.node(1).network_alone("1.1.0");
    let attachment = trial.attachment(1, "a");
    network.check(&attachment)?;
    ip::batch_in(&trial.plan.pod_netns(1, "a"), &["route del 0.0.0.0/0".into()])?;
    ensure!(network.check(&attachment).is_err(), "the default route is gone, and CHECK is content");
    Ok(())
}

#[test]
fn fifty_adds_at_once_give_fifty_different_addresses() -> Result<()> {
    let trial = empty_node()?;
    let names: Vec<String> = (0..50).map(|number| format!("p{number}")).collect();
    for name in &names {
        trial.pod(1, name)?;
    }
    let results: Vec<Result<Value>> = std::thread::scope(|scope| {
        let adds: Vec<_> = names.iter().map(|name| scope.spawn(|| trial.attach(1, name))).collect();
        adds.into_iter().map(|add| add.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))).collect()
    });
    let mut seen = BTreeSet::new();
    for result in results {
        let result = result?;
        for family in FAMILIES {
            ensure!(seen.insert(lab::address(&result, family)?), "{family} address given twice: {result}");
        }
    }
    ensure!(host_sides(&trial.plan.node_netns(1))?.len() == 50, "not fifty host sides");
    for name in ["p0", "p49"] {
        reach::ping(&trial.plan.pod_netns(1, name), trial.plan.node_ip(1, Family::V4), 1, SOON)?;
    }
    Ok(())
}

#[test]
fn kill_9_of_the_shim_at_any_moment_leaves_one_address_and_one_veth_after_a_retry() -> Result<()> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let trial = empty_node()?;
    let node = trial.plan.node_netns(1);
    let pod = trial.plan.pod_netns(1, "a");
    let attachment = trial.pod(1, "a")?;
    let network = trial.node(1).network_alone("1.0.0");
    let mut config = network.conflist["plugins"][0].clone();
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!("margay");
    let program = network.path[0].join("margay-cni");
    let arguments: Vec<String> = attachment.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut address = None;
    for round in 0..60u64 {
        node.run(|| {
            let mut shim = Command::new(&program)
                .env_clear()
                .env("CNI_COMMAND", "ADD")
                .env("CNI_CONTAINERID", &attachment.container_id)
                .env("CNI_NETNS", &attachment.netns)
                .env("CNI_IFNAME", &attachment.ifname)
                .env("CNI_ARGS", arguments.join(";"))
                .env("CNI_PATH", "/usr/lib/cni")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            if let Some(mut pipe) = shim.stdin.take() {
                pipe.write_all(config.to_string().as_bytes()).ok();
            }
            std::thread::sleep(Duration::from_micros(200 * round));
            shim.kill().ok();
            shim.wait()?;
            Ok(())
        })?;
        if round % 5 == 4 {
            let result = network.add(&attachment)?;
            let now = lab::address(&result, Family::V4)?;
            ensure!(*address.get_or_insert(now) == now, "round {round}: {address:?} became {now}");
            ensure!(host_sides(&node)?.len() == 1, "round {round}: {:?}", host_sides(&node)?);
            ensure!(addresses_in(&pod)?.len() == 2, "round {round}: {:?}", addresses_in(&pod)?);
            ensure!(leases(&trial)?.len() == 1, "round {round}: {:?}", leases(&trial)?);
            reach::ping(&pod, trial.plan.node_ip(1, Family::V4), 1, SOON)?;
            if round % 10 == 9 {
                network.del(&attachment)?;
                address = None;
            }
        }
    }
    Ok(())
}

#[test]
fn a_pod_deleted_while_the_agent_is_down_is_released_when_it_is_back() -> Result<()> {
    let trial = empty_node()?;
    trial.attach(1, "a")?;
    trial.attach(1, "b")?;
    trial.node(1).agent()?.kill()?;
    trial.detach(1, "a")?;
    trial.node(1).start_agent()?;
    wait::until(SOON, "one lease", || {
        let rows = leases(&trial)?;
        ensure!(rows.len() == 1 && rows[0]["name"] == "n1-b", "{rows:?}");
        Ok(())
    })?;
    reach::ping(&trial.plan.pod_netns(1, "b"), trial.plan.node_ip(1, Family::V4), 1, SOON).map(|_| ())
}

#[test]
fn a_state_directory_that_is_gone_or_garbage_doubles_no_address() -> Result<()> {
    let trial = empty_node()?;
    let kept: BTreeSet<IpAddr> = lab_addresses(&trial.attach(1, "a")?)?;
    for garbage in [None, Some(&b"\x00\xff{not a journal"[..])] {
        trial.node(1).agent()?.kill()?;
        for file in files_below(&trial.node(1).state())? {
            match garbage {
                None => std::fs::remove_file(file)?,
                Some(bytes) => std::fs::write(file, bytes)?,
            }
        }
        trial.node(1).start_agent()?;
        let pod = if garbage.is_some() { "c" } else { "b" };
        let new = lab_addresses(&trial.attach(1, pod)?)?;
        ensure!(new.is_disjoint(&kept), "{new:?} are given twice");
        wait::until(SOON, "the running pod's addresses", || {
            let rows = leases(&trial)?;
            let found =
                rows.iter().any(|row| kept.iter().all(|ip| row["addresses"].to_string().contains(&ip.to_string())));
            ensure!(found, "{kept:?} are not recovered: {rows:?}");
            Ok(())
        })?;
        reach::ping(&trial.plan.pod_netns(1, "a"), trial.plan.node_ip(1, Family::V4), 1, SOON)?;
    }
    let log = std::fs::read_to_string(trial.node(1).log())?;
    ensure!(log.contains(&trial.node(1).state().display().to_string()), "the log names no bad file");
    Ok(())
}

fn lab_addresses(result: &Value) -> Result<BTreeSet<IpAddr>> {
    FAMILIES.into_iter().map(|family| lab::address(result, family)).collect()
}

fn files_below(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn gc_releases_all_but_the_valid_attachments() -> Result<()> {
    let trial = empty_node()?;
    trial.attach(1, "a")?;
    trial.attach(1, "b")?;
    let network = trial.node(1).network_alone("1.1.0");
    network.gc(&[&trial.attachment(1, "b")])?;
    let rows = leases(&trial)?;
    ensure!(rows.len() == 1 && rows[0]["name"] == "n1-b", "{rows:?}");
    wait::until(SOON, "one host side", || {
        let sides = host_sides(&trial.plan.node_netns(1))?;
        ensure!(sides.len() == 1, "{sides:?}");
        Ok(())
    })
}

#[test]
fn a_pod_may_ask_for_its_addresses_by_annotation() -> Result<()> {
    let trial = empty_node()?;
    let annotations = [("cni.projectcalico.org/ipAddrs", "[\"10.244.1.77\",\"fd00:244:0:1::77\"]")];
    trial.node(1).objects()?.write("pod-n1-a", &objects::pod(POD_NAMESPACE, "n1-a", "n1", &annotations))?;
    // The object may arrive a moment after the pod: another pod's ADD shows that the agent has read it.
    wait::until(SOON, "the asked-for address", || {
        let result = trial.attach(1, "a")?;
        let address = lab::address(&result, Family::V4)?;
        if address.to_string() != "10.244.1.77" {
            trial.node(1).network().del(&trial.attachment(1, "a"))?;
        }
        ensure!(address.to_string() == "10.244.1.77", "it got {address}");
        ensure!(lab::address(&result, Family::V6)?.to_string() == "fd00:244:0:1::77", "{result}");
        Ok(())
    })
}

#[test]
fn every_version_of_the_spec_is_spoken() -> Result<()> {
    let trial = empty_node()?;
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let network = trial.node(1).network_alone(version);
        let attachment = trial.pod(1, "a")?;
        let result = network.add(&attachment)?;
        ensure!(result["cniVersion"] == version, "{result}");
        let has_version = result["ips"][0]["version"].is_string();
        ensure!(has_version == version.starts_with("0."), "ips.version belongs to 0.x alone: {result}");
        network.del(&attachment)?;
    }
    Ok(())
}

#[test]
fn portmap_and_bandwidth_work_behind_it_in_the_chain() -> Result<()> {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    let trial = empty_node()?;
    let mut attachment: Attachment = trial.pod(1, "a")?;
    attachment.capabilities = json!({
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000},
    });
    let network = trial.node(1).network();
    network.add(&attachment)?;
    let (node, pod) = (trial.plan.node_netns(1), trial.plan.pod_netns(1, "a"));
    let side = host_sides(&node)?.into_iter().next().unwrap_or_default();
    let shaping = node.stdout("tc", &["qdisc", "show", "dev", &side])?;
    ensure!(shaping.contains("tbf"), "bandwidth did not shape {side}: {shaping}");
    let listener = pod.listen(([0; 4], 80).into())?;
    let server = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"hello")?;
        Ok(())
    });
    let target = std::net::SocketAddr::new(trial.plan.node_ip(1, Family::V4), 8080);
    let heard = trial.plan.outside_netns().run(|| {
        let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard)?;
        Ok(heard)
    })?;
    ensure!(heard == "hello", "{heard:?}");
    server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    network.del(&attachment)
}
