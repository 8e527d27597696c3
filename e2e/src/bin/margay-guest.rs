//! The init of a User-mode Linux guest: plays one scenario of IPIP between two nodes and powers off.
//!
//! `nftables` knows no routed family in that kernel, so pools there have `natOutgoing: false`, and the agent has to live
//! without its table.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::ctl::text;
use e2e::lab::Lab;
use e2e::netns::Netns;
use e2e::objects::{self, Objects};
use e2e::plan::{CLUSTER_AS, Family, Plan, Shape};
use e2e::programs::Programs;
use e2e::{reach, wait};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

/// A guest is slow: a system call costs a hundred times what it does outside.
const PATIENCE: Duration = Duration::from_secs(30);
const PINGS: u32 = 5;
const PREFIX: &str = "guest";

fn main() -> Result<()> {
    ensure!(std::process::id() == 1, "margay-guest is the init of a guest; on a machine it has nothing to do");
    let (scenario, verdict) = (std::env::var("MARGAY_SCENARIO")?, std::env::var("MARGAY_VERDICT")?);
    let outcome = prepare().and_then(|()| play(&scenario));
    let said = match outcome {
        Ok(()) => "ok".to_owned(),
        Err(wrong) => {
            look_around();
            format!("{wrong:#}")
        }
    };
    fs::write(verdict, said)?;
    rustix::fs::sync();
    reboot(RebootCommand::PowerOff)?;
    Ok(())
}

fn say(words: &str) {
    println!("guest: {words}");
    std::io::stdout().flush().ok();
}

fn prepare() -> Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")] {
        mount(kind, target, kind, MountFlags::empty(), None).with_context(|| format!("cannot mount {target}"))?;
    }
    fs::create_dir_all("/run/netns")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim();
    fs::create_dir_all("/run/modules/lib/modules")?;
    std::os::unix::fs::symlink(
        format!("/usr/lib/uml/modules/{release}"),
        format!("/run/modules/lib/modules/{release}"),
    )?;
    for module in ["veth", "bridge", "ipip", "iptable_filter"] {
        let output = Command::new("/usr/sbin/modprobe").args(["-d", "/run/modules", module]).output()?;
        ensure!(output.status.success(), "modprobe {module}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// After a failure: what the nodes look like goes to the console, as the guest's own files end with it.
fn look_around() {
    for node in 1..=2 {
        let netns = Plan::new(PREFIX, Shape::Mesh).node_netns(node);
        for view in [&["route"][..], &["addr"], &["-s", "link", "show", "tunl0"]] {
            let shown = netns.stdout("ip", view).unwrap_or_else(|wrong| format!("{wrong:#}"));
            say(&format!("{}: ip {}\n{shown}", netns.name(), view.join(" ")));
        }
        let log = fs::read_to_string(format!("/run/margay/{PREFIX}/n{node}/agent.log")).unwrap_or_default();
        say(&log);
    }
}

/// What a scenario expects of the routes between the two nodes.
struct Scenario {
    ipip: &'static str,
    shape: Shape,
    tunnelled: bool,
}

fn play(name: &str) -> Result<()> {
    let scenario = match name {
        "machines" => return machines(),
        "always" => Scenario { ipip: "Always", shape: Shape::Mesh, tunnelled: true },
        "crosssubnet-same" => Scenario { ipip: "CrossSubnet", shape: Shape::Mesh, tunnelled: false },
        "crosssubnet-other" => Scenario { ipip: "CrossSubnet", shape: Shape::Tor, tunnelled: true },
        _ => bail!("no scenario is called {name}"),
    };
    let lab = Lab::new(Plan::new(PREFIX, scenario.shape), Programs::find()?, say)?;
    lab.build_machines()?;
    for number in 1..=lab.plan.nodes {
        let node = lab.node(number);
        write_objects(&node.objects()?, &lab.plan, scenario.ipip)?;
        node.start_agent()?;
    }
    say("waiting for the session between the nodes");
    for number in 1..=lab.plan.nodes {
        lab.node(number).ctl().wait_established(1, PATIENCE)?;
        lab.attach(number, "a")?;
    }
    let counters: Vec<Counter> =
        (1..=2).map(|node| Counter::install(lab.plan.node_netns(node))).collect::<Result<_>>()?;
    let target = lab.pod_ip(2, "a", Family::V4)?;
    reach::ping(&lab.plan.pod_netns(1, "a"), target, 1, PATIENCE)?;
    let before: Vec<u64> = counters.iter().map(Counter::packets).collect::<Result<_>>()?;
    let ping = reach::once(&lab.plan.pod_netns(1, "a"), target, PINGS)?;
    ensure!(ping.lost == 0, "{} of {PINGS} pings are lost", ping.lost);
    for (counter, before) in counters.iter().zip(before) {
        let packets = counter.packets()? - before;
        let expected = if scenario.tunnelled { u64::from(PINGS) } else { 0 };
        ensure!(packets == expected, "{} received {packets} IPIP packets, not {expected}", counter.0.name());
    }
    explained(&lab, scenario.tunnelled)
}

/// `route list` and the kernel say the same about the tunnel, with a reason.
fn explained(lab: &Lab, tunnelled: bool) -> Result<()> {
    let (cidr, _) = lab.plan.pod_cidrs(2);
    let node = lab.node(1);
    let kernel = node.kernel_routes(&cidr)?;
    let device = text(&kernel.first().context("n1 has no route to n2's pods")?["dev"]);
    ensure!((device == "tunl0") == tunnelled, "the kernel's route to {cidr} goes by {device}");
    wait::until(Duration::from_secs(5), "route list", || {
        let row = node.ctl().route(&cidr)?;
        ensure!(row["installed"] == true, "{row}");
        ensure!(!text(&row["reason"]).is_empty(), "no reason: {row}");
        let tunnel = &row["tunnel"];
        ensure!((tunnel == "tunl0" || *tunnel == true) == tunnelled, "tunnel is {tunnel}");
        Ok(())
    })?;
    if tunnelled {
        let link = node.netns.stdout("ip", &["-o", "link", "show", "tunl0"])?;
        ensure!(link.contains("mtu 1480"), "tunl0 leaves no room for its header: {link}");
        let pod = lab.plan.pod_netns(1, "a").stdout("ip", &["-o", "link", "show", "eth0"])?;
        ensure!(pod.contains("mtu 1480"), "the pod's MTU does not follow: {pod}");
    }
    Ok(())
}

fn write_objects(objects: &Objects, plan: &Plan, ipip: &str) -> Result<()> {
    for (name, yaml) in objects::of_lab(plan) {
        let own_as = format!("ASNumber: \"{}\"", plan.node_as(1));
        let yaml = match name.as_str() {
            "pool-ipv4" => yaml.replace("natOutgoing: true", &format!("natOutgoing: false\n  ipipMode: {ipip}")),
            "pool-ipv6" => yaml.replace("natOutgoing: true", "natOutgoing: false"),
            "bgp-default" => yaml.replace("nodeToNodeMeshEnabled: false", "nodeToNodeMeshEnabled: true"),
            // One cluster AS on both sides of the router, which routes but does not speak BGP here.
            name if name.starts_with("node-") => yaml
                .replace(&own_as, &format!("ASNumber: \"{CLUSTER_AS}\""))
                .replace(&format!("ASNumber: \"{}\"", plan.node_as(2)), &format!("ASNumber: \"{CLUSTER_AS}\"")),
            name if name.starts_with("peer-") => continue,
            _ => yaml,
        };
        objects.write(&name, &yaml)?;
    }
    Ok(())
}

/// Counts IPIP packets (protocol 4) that a node receives from the wire.
struct Counter(Netns);

impl Counter {
    fn install(netns: Netns) -> Result<Self> {
        netns.stdout("iptables-legacy", &["-A", "INPUT", "-p", "4"])?;
        Ok(Self(netns))
    }

    fn packets(&self) -> Result<u64> {
        let text = self.0.stdout("iptables-legacy", &["-nvxL", "INPUT"])?;
        let rule = text.lines().nth(2).context("iptables-legacy lists no rule")?;
        let count = rule.split_whitespace().next().context("the rule has no counter")?;
        count.parse().with_context(|| format!("not a counter: {rule}"))
    }
}

/// The guest alone: machines, links and the tunnel device are there.
fn machines() -> Result<()> {
    let lab = Lab::new(Plan::new(PREFIX, Shape::Tor), Programs::find()?, say)?;
    lab.build_machines()?;
    let node = lab.plan.node_netns(1);
    reach::ping(&node, lab.plan.node_ip(2, Family::V4), 1, PATIENCE)?;
    node.stdout("ip", &["link", "show", "tunl0"])?;
    Counter::install(node)?.packets()?;
    Ok(())
}
