//! What was measured in a run: written down by tests, printed in one table at the end.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::node::Node;
use crate::plan::Plan;

/// Adds a line to the run's table.
pub fn record(plan: &Plan, name: &str, value: &str) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(file(plan))?;
    Ok(writeln!(file, "{name}\t{value}")?)
}

/// The table, in the order of measuring; empty if nothing was measured.
pub fn table(plan: &Plan) -> String {
    let text = fs::read_to_string(file(plan)).unwrap_or_default();
    let rows: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// Beside the logs: it outlives the cluster as they do.
fn file(plan: &Plan) -> PathBuf {
    plan.logs().join("figures.txt")
}

/// What the agent of a node takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub rss: u64,
    /// Processor time since it was started, in hundredths of a second.
    pub ticks: u64,
}

impl Usage {
    /// Now.
    pub fn of_agent(node: &Node) -> Result<Self> {
        let script = "p=$(pgrep -o -x margay-agent) && grep VmRSS /proc/$p/status && cut -d')' -f2 /proc/$p/stat";
        let text = node.stdout(&["bash", "-c", script])?;
        let mut words = text.split_whitespace();
        let rss = words.nth(1).and_then(|word| word.parse().ok());
        // After "kB" and from the third field of stat on: user time is the 14th, system time the 15th.
        let times: Vec<u64> = words.skip(1 + 11).take(2).filter_map(|word| word.parse().ok()).collect();
        let rss = rss.with_context(|| format!("no memory in {text:?}"))?;
        Ok(Self { rss, ticks: times.iter().sum() })
    }

    /// Per cent of one processor that the agent takes over a while.
    pub fn busy(node: &Node, period: Duration) -> Result<f64> {
        let (start, before) = (Instant::now(), Self::of_agent(node)?);
        std::thread::sleep(period);
        let used = Self::of_agent(node)?.ticks.saturating_sub(before.ticks);
        Ok(f64::from(u32::try_from(used)?) / start.elapsed().as_secs_f64())
    }
}

/// Of an odd number of durations the one in the middle, in seconds.
pub fn median(mut durations: Vec<Duration>) -> f64 {
    durations.sort();
    durations.get(durations.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([9, 1, 3].map(Duration::from_secs).to_vec()), 3.0);
    }
}
