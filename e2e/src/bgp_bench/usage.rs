//! What the processes of a contestant have used: CPU time and memory, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};

/// What a contestant has used until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// CPU seconds of all its threads, user and system.
    pub cpu: f64,
    /// Sum of the processes' highest resident memory (`VmHWM`), in MB of 1,000,000 octets.
    pub peak: f64,
    /// Sum of the processes' resident memory (`VmRSS`), in MB.
    pub resident: f64,
}

/// These processes and all that they started.
pub(super) fn family(of: &[u32]) -> Result<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut queue) = (BTreeSet::new(), of.to_vec());
    while let Some(pid) = queue.pop() {
        if found.insert(pid) {
            queue.extend(children.get(&pid).into_iter().flatten());
        }
    }
    Ok(found)
}

/// What the processes have used. One that is gone counts nothing.
pub(super) fn of(processes: &BTreeSet<u32>) -> Result<Usage> {
    let mut usage = Usage { cpu: 0.0, peak: 0.0, resident: 0.0 };
    for pid in processes {
        usage.cpu += cpu(*pid)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        usage.peak += kib(&status, "VmHWM:") * 1024.0 / 1e6;
        usage.resident += kib(&status, "VmRSS:") * 1024.0 / 1e6;
    }
    Ok(usage)
}

/// The scheduler's account is in nanoseconds, but knows living threads only; `stat` has ticks of 10 ms, of all. The greater counts.
fn cpu(pid: u32) -> Result<f64> {
    let field = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let Some(fields) = stat(pid) else { return Ok(0.0) };
    let ticks = field(&fields, 11).unwrap_or(0.0) + field(&fields, 12).unwrap_or(0.0);
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process has no threads")?;
    let nanoseconds: f64 = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum();
    let (by_ticks, by_scheduler) = (ticks / hertz, nanoseconds / 1e9);
    // Ticks are counted where they fall: more than one of them apart says that threads have ended.
    Ok(if by_ticks > by_scheduler * 1.2 + 0.05 { by_ticks } else { by_scheduler })
}

/// The fields of `/proc/PID/stat` from the third on (the second may hold anything).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(String::from).collect())
}

fn kib(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
