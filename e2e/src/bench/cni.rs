//! CNI ADD and DEL through the whole shim, agent included, beside `ptp` with `host-local`.

use std::path::{Path, PathBuf};
use std::time::Instant;

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
    let outcome = race(&lab, &programs, rounds);
    lab.down()?;
    let [mut ours, mut ptp] = outcome?;
    let (add, del) = (median(&mut ours.add), median(&mut ours.del));
    let (ptp_add, ptp_del) = (median(&mut ptp.add), median(&mut ptp.del));
    let figure = |verb: &str, ours: f64, theirs: f64, promised| Figure {
        what: format!("CNI {verb}, median of {rounds}"),
        ours: format!("{ours:.2} ms"),
        beside: format!("ptp + host-local, IPv4 {theirs:.2} ms"),
        ratio: ours / theirs,
        promised,
    };
    Ok(vec![figure("ADD", add, ptp_add, 1.0 / 4.0), figure("DEL", del, ptp_del, 1.0 / 12.0)])
}

fn race(lab: &Lab, programs: &Programs, rounds: usize) -> Result<[Contestant; 2]> {
    lab.build_machines()?;
    let node = lab.node(1);
    node.objects()?.write_all(&lab.plan)?;
    node.start_agent()?;
    let margay = json!({"cniVersion": "1.0.0", "name": "bench", "type": "margay-cni", "socket": node.socket()});
    // IPv4 only: with IPv6, ptp waits nearly two seconds for duplicate address detection. Ours plumbs both families.
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
