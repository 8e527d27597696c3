//! CNI ADD and DEL through the whole shim, agent included, beside `ptp` with `host-local`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Figure, median};
use crate::cni;
use crate::ip;
use crate::lab::Lab;
use crate::netns::Netns;
use crate::plan::{Plan, Shape};
use crate::programs::{CNI_PLUGINS, Programs};

/// A plugin, and the milliseconds its calls took.
struct Contestant {
    program: PathBuf,
    config: Value,
    add: Vec<f64>,
    del: Vec<f64>,
}

pub(super) fn run(rounds: usize, say: fn(&str)) -> Result<Vec<Figure>> {
    say(&format!("CNI ADD and DEL, {rounds} rounds each, taking turns with ptp + host-local"));
    let programs = Programs::find()?;
    let plan = Plan { nodes: 1, ..Plan::new("bench-cni", Shape::Tor) };
    let lab = Lab::new(plan, programs.clone(), |_| {})?;
    let outcome = races(&lab, &programs, rounds);
    lab.down()?;
    outcome
}

/// Once with the work that `ptp` does too, once with both families as pods have them.
fn races(lab: &Lab, programs: &Programs, rounds: usize) -> Result<Vec<Figure>> {
    lab.build_machines()?;
    let objects = lab.node(1).objects()?;
    objects.write_all(&lab.plan)?;
    lab.node(1).start_agent()?;
    let mut figures = compare("IPv4 and IPv6", race(lab, programs, rounds)?);
    objects.write("pool-ipv6", NO_IPV6)?;
    std::thread::sleep(SETTLE * 20);
    figures.extend(compare("IPv4", race(lab, programs, rounds)?));
    Ok(figures)
}

/// The lab's IPv6 pool, giving no addresses.
const NO_IPV6: &str = "apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: ipv6
spec:
  cidr: fd00:244::/48
  disabled: true
";

fn compare(families: &str, [mut ours, mut ptp]: [Contestant; 2]) -> Vec<Figure> {
    let figure = |verb: &str, ours: f64, theirs: f64, promised| Figure {
        what: format!("CNI {verb}, {families}, median"),
        ours: format!("{ours:.2} ms"),
        beside: format!("ptp + host-local, IPv4 {theirs:.2} ms"),
        ratio: ours / theirs,
        promised,
    };
    let (add, del) = (median(&mut ours.add), median(&mut ours.del));
    let (ptp_add, ptp_del) = (median(&mut ptp.add), median(&mut ptp.del));
    vec![figure("ADD", add, ptp_add, 1.0 / 4.0), figure("DEL", del, ptp_del, 1.0 / 12.0)]
}

/// How long the kernel is left to finish with a pod's end: it holds a lock that everybody's next ADD needs.
const SETTLE: Duration = Duration::from_millis(80);

fn race(lab: &Lab, programs: &Programs, rounds: usize) -> Result<[Contestant; 2]> {
    let node = lab.node(1);
    let margay = json!({"cniVersion": "1.0.0", "name": "bench", "type": "margay-cni", "socket": node.socket()});
    // IPv4 only: with IPv6, ptp waits nearly two seconds for duplicate address detection.
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/16"}]],
        "dataDir": lab.plan.folder().join("host-local"), "routes": [{"dst": "0.0.0.0/0"}]});
    let ptp = json!({"cniVersion": "1.0.0", "name": "bench-ptp", "type": "ptp", "ipam": ipam});
    let contestant = |program, config| Contestant { program, config, add: Vec::new(), del: Vec::new() };
    let mut contestants = [contestant(programs.shim(), margay), contestant(Path::new(CNI_PLUGINS).join("ptp"), ptp)];
    for round in 0..rounds {
        for contestant in &mut contestants {
            let pod = Netns::named(format!("{}-pod-n1-r{round}", lab.plan.prefix));
            ip::batch(&[format!("netns add {}", pod.name())])?;
            let container = format!("bench{round}");
            let (add, del) = lab
                .plan
                .node_netns(1)
                .run(|| Ok((call(contestant, "ADD", &container, &pod)?, call(contestant, "DEL", &container, &pod)?)))?;
            contestant.add.push(add);
            contestant.del.push(del);
            ip::batch(&[format!("netns del {}", pod.name())])?;
            std::thread::sleep(SETTLE);
        }
    }
    Ok(contestants)
}

/// Milliseconds of one call, as a runtime sees it: fork, exec, standard input, answer, end.
fn call(contestant: &Contestant, verb: &str, container: &str, pod: &Netns) -> Result<f64> {
    let variables = [
        ("CNI_COMMAND", verb.to_owned()),
        ("CNI_CONTAINERID", container.to_owned()),
        ("CNI_NETNS", pod.path().display().to_string()),
        ("CNI_IFNAME", "eth0".to_owned()),
        ("CNI_PATH", CNI_PLUGINS.to_owned()),
    ];
    let stdin = contestant.config.to_string();
    let start = Instant::now();
    let ran = cni::run(&contestant.program, &variables, stdin.as_bytes())?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status == Some(0), "{verb} of {} failed: {said}", contestant.program.display());
    Ok(took)
}
