//! BGP under load: ours, BIRD, FRR, GoBGP and OpenBGPD as the same router, taking turns on one machine.
//!
//! A contestant runs in a namespace of its own; the load (feeders, receivers, a watch on the contestant's kernel) is one
//! thread in another, joined to it by one link. What comes out is kept as lines of JSON, from which
//! [`report`](self::report) makes the document.

mod contestant;
mod load;
mod record;
pub mod report;
pub mod scenario;
mod usage;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use self::contestant::Contestant;
use self::contestant::Running;
use self::load::{KernelWatch, Load};
pub use self::record::{Measure, Record};
use self::scenario::{CONTESTANT, Scenario, Step};
use crate::ip;
use crate::netns::Netns;
use crate::programs::Programs;

/// How long all sessions may take to come up.
const CONNECT: Duration = Duration::from_secs(90);

/// Where figures come from: processors, memory, kernel.
pub fn machine() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: f64 = total.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // What follows says how somebody has built it.
    let release = release.trim().split('-').next().unwrap_or_default();
    Ok(format!("{processors} processors, {:.0} GiB, Linux {release}", kib / 1048576.0))
}

/// Which loads, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The loads.
    pub scenarios: Vec<Scenario>,
    /// Who takes part.
    pub contestants: Vec<Contestant>,
    /// How often each takes its turn.
    pub rounds: usize,
    /// The start of the names of the namespaces.
    pub prefix: String,
}

impl Plan {
    /// Everything.
    pub fn full(rounds: usize) -> Plan {
        let contestants = Contestant::ALL.to_vec();
        Plan { scenarios: scenario::all(), contestants, rounds, prefix: "bench-bgp".into() }
    }

    /// A load of each kind, but small: that it runs, and that each contestant does its work.
    pub fn short(prefix: &str) -> Plan {
        let loads = ["feeder-100k", "reflect-100", "mesh-200", "kernel-100k", "keepalives"];
        let chosen = scenario::all().into_iter().filter(|scenario| loads.contains(&scenario.name));
        let scenarios = chosen.map(Scenario::short).collect();
        Plan { scenarios, contestants: Contestant::ALL.to_vec(), rounds: 1, prefix: prefix.into() }
    }
}

/// Whether a contestant is spared a load in a round, and why. Who takes many times as long as the others would fill the
/// hour with its own figures.
pub fn spared(contestant: Contestant, scenario: &Scenario, round: usize) -> Option<&'static str> {
    let huge = scenario.prefixes >= 1_000_000;
    let many = huge || scenario.receivers.len() > 100;
    match contestant {
        Contestant::Gobgp if huge => Some("has not taken a million prefixes within 200 s"),
        Contestant::Gobgp if many => Some("needs more than a minute for half of the clients"),
        Contestant::Gobgp | Contestant::Frr | Contestant::Openbgpd
            if round > 0 && (huge || contestant == Contestant::Gobgp) =>
        {
            Some("takes its turn in the first round only, for its time")
        }
        _ if !contestant.has_kernel() && scenario.watch == scenario::Watch::Both => {
            Some("puts no routes into the kernel by itself")
        }
        _ => None,
    }
}

/// Runs every load with every contestant, in turns. `each` gets what was measured as it comes; a contestant that fails is
/// a record too.
pub fn run(plan: &Plan, say: fn(&str), mut each: impl FnMut(Record) -> Result<()> + Send) -> Result<()> {
    let programs = Programs::find()?;
    for round in 0..plan.rounds {
        for scenario in &plan.scenarios {
            let scenario = &scenario.in_round(round);
            for contestant in &plan.contestants {
                if let Some(why) = spared(*contestant, scenario, round) {
                    say(&format!("round {}, {}: {contestant} {why}", round + 1, scenario.name));
                    continue;
                }
                say(&format!("round {}, {}: {contestant}", round + 1, scenario.name));
                let folder = tempfile::Builder::new().prefix("margay-bench-").tempdir()?;
                let record = |step: String, outcome| Record {
                    scenario: scenario.name.into(),
                    contestant: *contestant,
                    round,
                    step,
                    outcome,
                };
                let arena = Arena::build(&plan.prefix)?;
                let outcome = turn(*contestant, scenario, &arena, folder.path(), &programs, &mut |step, measure| {
                    each(record(step, Ok(measure)))
                });
                arena.down()?;
                if let Err(error) = outcome {
                    say(&format!("{contestant}: {error:#}"));
                    each(record("failed".into(), Err(format!("{error:#}"))))?;
                }
            }
        }
    }
    Ok(())
}

/// One contestant under one load: from its start to its end.
fn turn(
    contestant: Contestant,
    scenario: &Scenario,
    arena: &Arena,
    folder: &Path,
    programs: &Programs,
    each: &mut (impl FnMut(String, Measure) -> Result<()> + Send),
) -> Result<()> {
    let watched = scenario.uses_kernel() && contestant.has_kernel();
    let kernel = match watched {
        true => Some(arena.contestant.run(|| KernelWatch::open(scenario.prefixes as usize))?),
        false => None,
    };
    let running = Running::start(contestant, scenario, folder, &arena.contestant, programs)?;
    let processes = running.processes()?;
    arena.load.run(|| {
        let mut load = Load::new(scenario, SocketAddr::from((CONTESTANT, 179)), kernel);
        let before = usage::of(&processes)?;
        let seconds = load.connect(CONNECT)?;
        each("connect".into(), Measure::new(seconds, before, usage::of(&processes)?))?;
        load.idle(scenario.settle)?;
        let mut done: Vec<Step> = Vec::new();
        for step in &scenario.steps {
            let again = if done.contains(step) { " again" } else { "" };
            done.push(*step);
            let seen = watched || scenario.watch != scenario::Watch::Kernel;
            if seen || matches!(step, Step::Idle { .. }) {
                each(format!("{step}{again}"), measure(&mut load, *step, scenario, &processes)?)?;
            }
        }
        Ok(())
    })
}

fn measure(load: &mut Load<'_>, step: Step, scenario: &Scenario, processes: &BTreeSet<u32>) -> Result<Measure> {
    load.idle(scenario.rest)?;
    let before = usage::of(processes)?;
    if let Step::Idle { seconds } = step {
        load.idle(Duration::from_secs(u64::from(seconds)))?;
        return Ok(Measure::new(f64::from(seconds), before, usage::of(processes)?));
    }
    let outcome = load.step(step, scenario.patience)?;
    let after = usage::of(processes)?;
    ensure!(!load.is_void(), "the kernel dropped announcements of routes: no figures from this");
    let seconds = outcome.received.or(outcome.in_kernel).context("nothing was watched")?;
    let measure = Measure::new(seconds, before, after);
    Ok(Measure { in_kernel: outcome.in_kernel, lost: outcome.lost, silence: Some(outcome.silence), ..measure })
}

/// Two namespaces and the link between them.
struct Arena {
    contestant: Netns,
    load: Netns,
}

impl Arena {
    fn build(prefix: &str) -> Result<Arena> {
        let arena =
            Arena { contestant: Netns::named(format!("{prefix}-c")), load: Netns::named(format!("{prefix}-l")) };
        arena.down()?;
        let (contestant, load) = (arena.contestant.name(), arena.load.name());
        ip::batch(&[
            format!("netns add {contestant}"),
            format!("netns add {load}"),
            format!("link add c0 netns {contestant} type veth peer name l0 netns {load}"),
        ])?;
        for netns in [&arena.contestant, &arena.load] {
            netns.sysctl(&[("ipv6/conf/all/disable_ipv6", "1"), ("ipv4/ip_forward", "1")])?;
        }
        let up = ["link set lo up".to_string(), format!("addr add {CONTESTANT}/16 dev c0"), "link set c0 up".into()];
        ip::batch_in(&arena.contestant, &up)?;
        let mut lines = vec!["link set lo up".to_string(), "link set l0 up".into()];
        let addresses = scenario::all()
            .iter()
            .flat_map(|s| s.peers().map(|peer| peer.address).collect::<Vec<_>>())
            .collect::<std::collections::BTreeSet<_>>();
        lines.extend(addresses.iter().map(|address| format!("addr add {address}/16 dev l0")));
        ip::batch_in(&arena.load, &lines)?;
        Ok(arena)
    }

    fn down(&self) -> Result<()> {
        for netns in [&self.contestant, &self.load].into_iter().filter(|netns| netns.exists()) {
            contestant::end_all_in(netns)?;
            ip::batch(&[format!("netns del {}", netns.name())])?;
        }
        Ok(())
    }
}

/// The version of each contestant, as its package says; ours as the program does.
pub fn versions(contestants: &[Contestant]) -> Result<Vec<(Contestant, String)>> {
    let version = |contestant: &Contestant| {
        let Some(package) = contestant.package() else { return env!("CARGO_PKG_VERSION").to_string() };
        let asked = std::process::Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
        asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    Ok(contestants.iter().map(|contestant| (*contestant, version(contestant))).collect())
}

/// Reads what [`run`] gave out, a line each.
pub fn read(file: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", file.display()))).collect()
}
