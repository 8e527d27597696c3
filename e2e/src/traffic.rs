//! A steady stream of pings, and how many of them were lost.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Netns;
use crate::wait;

/// A hundred pings a second, from its start to its end.
#[derive(Debug)]
pub struct Traffic {
    /// Where to.
    pub target: IpAddr,
    child: Child,
    output: PathBuf,
}

impl Traffic {
    /// Starts it, and returns when the first answer is in.
    pub fn start(folder: PathBuf, netns: &Netns, target: IpAddr) -> Result<Self> {
        Self::start_from(folder, netns, None, target)
    }

    /// The same, from an address that the machine has.
    pub fn start_from(folder: PathBuf, netns: &Netns, source: Option<IpAddr>, target: IpAddr) -> Result<Self> {
        let output = folder.join(format!("traffic-{}-{target}", netns.name()).replace(':', "-"));
        let file = fs::File::create(&output)?;
        let child = netns.run(|| {
            let mut ping = Command::new("ping");
            if let Some(source) = source {
                ping.args(["-I", &source.to_string()]);
            }
            ping.args(["-n", "-i", "0.01", &target.to_string()])
                .stdin(Stdio::null())
                .stdout(file)
                .stderr(Stdio::null());
            ping.spawn().context("cannot run ping")
        })?;
        let traffic = Self { target, child, output };
        wait::until(Duration::from_secs(5), "traffic", || traffic.answered(1))?;
        Ok(traffic)
    }

    /// Waits until `count` more answers are in.
    pub fn flows(&self, count: u32, within: Duration) -> Result<()> {
        let goal = self.answers()?.len() + usize::try_from(count)?;
        wait::until(within, "more answers", || self.answered(goal))
    }

    /// Ends it: (answers, requests without one before the last answer).
    pub fn stop(mut self) -> Result<(usize, usize)> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id())?) {
            kill_process(pid, Signal::INT)?;
        }
        self.child.wait()?;
        let answers = self.answers()?;
        let last = answers.last().copied().unwrap_or(0);
        Ok((answers.len(), last - answers.len()))
    }

    fn answered(&self, goal: usize) -> Result<()> {
        let answers = self.answers()?.len();
        ensure!(answers >= goal, "{answers} of {goal} answers");
        Ok(())
    }

    /// Sequence numbers, from 1, of requests that were answered.
    fn answers(&self) -> Result<BTreeSet<usize>> {
        let text = fs::read_to_string(&self.output)?;
        let numbers = text.lines().filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok());
        Ok(numbers.collect())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
