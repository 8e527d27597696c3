//! Who takes part: how each program is told to be the same router, started and ended.

mod bird;
mod frr;
mod gobgp;
mod margay;
mod openbgpd;

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::scenario::Scenario;
use super::usage;
use crate::netns::Netns;
use crate::programs::Programs;
use crate::wait;

/// A program that speaks BGP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// Ours.
    Margay,
    /// BIRD 2.
    Bird,
    /// FRR: bgpd and zebra.
    Frr,
    /// GoBGP.
    Gobgp,
    /// OpenBGPD, portable.
    Openbgpd,
}

impl Contestant {
    /// All, ours first.
    pub const ALL: [Contestant; 5] =
        [Contestant::Margay, Contestant::Bird, Contestant::Frr, Contestant::Gobgp, Contestant::Openbgpd];

    /// The Debian package it is from.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Contestant::Margay => None,
            Contestant::Bird => Some("bird2"),
            Contestant::Frr => Some("frr"),
            Contestant::Gobgp => Some("gobgpd"),
            Contestant::Openbgpd => Some("openbgpd"),
        }
    }

    /// Whether it can put routes into the kernel by itself: GoBGP cannot, and OpenBGPD is kept from it as it would take
    /// every route of the load for its own.
    pub fn has_kernel(self) -> bool {
        matches!(self, Contestant::Margay | Contestant::Bird | Contestant::Frr)
    }

    /// The processes to start, one after the other.
    fn commands(self, scenario: &Scenario, folder: &Path, programs: &Programs) -> Result<Vec<Command>> {
        match self {
            Contestant::Margay => margay::commands(scenario, folder, programs),
            Contestant::Bird => bird::commands(scenario, folder),
            Contestant::Frr => frr::commands(scenario, folder),
            Contestant::Gobgp => gobgp::commands(scenario, folder),
            Contestant::Openbgpd => openbgpd::commands(scenario, folder),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contestant::Margay => "margay",
            Contestant::Bird => "BIRD",
            Contestant::Frr => "FRR",
            Contestant::Gobgp => "GoBGP",
            Contestant::Openbgpd => "OpenBGPD",
        })
    }
}

/// A contestant that runs. Ends when dropped.
#[derive(Debug)]
pub(super) struct Running {
    children: Vec<Child>,
}

impl Running {
    /// Starts it in `netns` and waits until it listens on port 179.
    pub fn start(
        contestant: Contestant,
        scenario: &Scenario,
        folder: &Path,
        netns: &Netns,
        programs: &Programs,
    ) -> Result<Running> {
        fs::create_dir_all(folder)?;
        let mut running = Running { children: Vec::new() };
        for mut command in contestant.commands(scenario, folder, programs)? {
            let program = command.get_program().to_string_lossy().into_owned();
            let log = File::options().create(true).append(true).open(folder.join("log"))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
            let child = netns.run(|| command.spawn().with_context(|| format!("cannot run {program}")))?;
            running.children.push(child);
            // FRR's bgpd wants zebra's socket to be there.
            if program.ends_with("zebra") {
                wait::until(Duration::from_secs(5), "zebra", || {
                    Ok(fs::metadata(folder.join("zserv.api")).map(|_| ())?)
                })?;
            }
        }
        wait::until(Duration::from_secs(20), &format!("{contestant} to listen"), || {
            if netns.run(listens)? {
                return Ok(());
            }
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("nobody listens on port 179; it said {tail:?}")
        })?;
        Ok(running)
    }

    /// Its processes, and those that they started.
    pub fn processes(&self) -> Result<std::collections::BTreeSet<u32>> {
        usage::family(&self.children.iter().map(Child::id).collect::<Vec<_>>())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let processes = self.processes().unwrap_or_default();
        let tell = |signal: Signal| {
            for pid in processes.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
                kill_process(pid, signal).ok();
            }
        };
        tell(Signal::TERM);
        let gone = wait::until(Duration::from_secs(3), "its end", || {
            if self.children.iter_mut().all(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                return Ok(());
            }
            bail!("it still runs")
        });
        if gone.is_err() {
            tell(Signal::KILL);
        }
        self.children.iter_mut().for_each(|child| drop(child.wait()));
    }
}

/// Ends what an interrupted run has left in a namespace of the bench.
pub(super) fn end_all_in(netns: &Netns) -> Result<()> {
    let pids = Command::new("ip").args(["netns", "pids", netns.name()]).output().context("cannot run ip")?;
    for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
    Ok(())
}

/// Whether anybody listens on TCP port 179 in the calling thread's namespace.
fn listens() -> Result<bool> {
    let listening = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().unwrap_or_default();
            local.ends_with(":00B3") && fields.nth(1) == Some("0A")
        })
    };
    Ok(listening("/proc/thread-self/net/tcp") || listening("/proc/thread-self/net/tcp6"))
}
