//! How heavy the programs are: memory of the agent, size of the shim and the time it takes to start.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Figure, median};
use crate::cni;
use crate::lab::Lab;
use crate::plan::{Plan, Shape};
use crate::programs::Programs;
use crate::router::Config;
use crate::wait;

const ROUTES: usize = 1000;
const PODS: usize = 100;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn run(rounds: usize, say: fn(&str)) -> Result<Vec<Figure>> {
    let programs = Programs::find()?;
    let size = fs::metadata(programs.shim())?.len() as f64;
    let mut figures = vec![Figure {
        what: "size of margay-cni".into(),
        ours: format!("{:.2} MiB", size / MIB),
        beside: "limit 2 MiB".into(),
        ratio: size / (2.0 * MIB),
        promised: 1.0,
    }];
    say(&format!("start of margay-cni, {rounds} rounds, taking turns with /bin/true"));
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(start(&programs.shim())?);
        floor.push(start(Path::new("/bin/true"))?);
    }
    let (ours, floor) = (median(&mut ours), median(&mut floor));
    figures.push(Figure {
        what: "start of margay-cni (VERSION), above /bin/true".into(),
        ours: format!("{:.2} ms", ours - floor),
        beside: format!("limit 1 ms (/bin/true {floor:.2} ms)"),
        ratio: ours - floor,
        promised: 1.0,
    });
    say(&format!("memory of margay-agent with {ROUTES} routes and {PODS} pods"));
    let plan = Plan { nodes: 1, ..Plan::new("bench-weight", Shape::Tor) };
    let lab = Lab::new(plan, programs, |_| {})?;
    let outcome = memory(&lab);
    lab.down()?;
    let (now, peak) = outcome?;
    figures.push(Figure {
        what: format!("agent RSS, {ROUTES} routes and {PODS} pods"),
        ours: format!("{:.1} MiB", now / MIB),
        beside: format!("limit 20 MiB (peak {:.1} MiB)", peak / MIB),
        ratio: now / (20.0 * MIB),
        promised: 1.0,
    });
    Ok(figures)
}

fn start(program: &Path) -> Result<f64> {
    let begun = Instant::now();
    cni::run(program, &[("CNI_COMMAND", "VERSION".into())], b"{\"cniVersion\":\"1.0.0\"}")?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// RSS and its peak, in octets.
fn memory(lab: &Lab) -> Result<(f64, f64)> {
    lab.build_machines()?;
    let mut config = Config::of_tor(&lab.plan, 1);
    config.networks.extend((0..ROUTES).map(|number| format!("20.{}.{}.0/24", number / 256, number % 256)));
    lab.router(1).start(&config)?;
    let node = lab.node(1);
    node.objects()?.write_all(&lab.plan)?;
    let agent = node.start_agent()?;
    node.ctl().wait_established(2, Duration::from_secs(30))?;
    for pod in 0..PODS {
        lab.attach(1, &format!("p{pod}"))?;
    }
    wait::until(Duration::from_secs(30), "all routes in the kernel", || {
        let text = node.netns.stdout("ip", &["-o", "route", "show", "proto", "109"])?;
        ensure!(text.lines().count() > ROUTES + PODS, "{} routes", text.lines().count());
        Ok(())
    })?;
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
