//! Every change of a namespace's routes and nexthop objects, as `ip monitor` tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::netns::Netns;
use crate::wait;

/// Writes down changes of routes and nexthop objects from its start to its end.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    output: PathBuf,
}

impl Monitor {
    /// Starts it, and returns when it hears.
    pub fn start(folder: &Path, netns: &Netns) -> Result<Self> {
        let output = folder.join(format!("monitor-{}", netns.name()));
        let file = fs::File::create(&output)?;
        let child = netns.run(|| {
            let mut ip = Command::new("ip");
            ip.args(["-o", "monitor", "route", "nexthop"]).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
            ip.spawn().context("cannot run ip")
        })?;
        let pid = child.id().to_string();
        let monitor = Self { child, output };
        wait::until(Duration::from_secs(5), "ip monitor", || {
            let sockets = netns.run(|| Ok(fs::read_to_string("/proc/thread-self/net/netlink")?))?;
            let hears = sockets.lines().any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields.get(2) == Some(&pid.as_str())
                    && fields.get(3).is_some_and(|groups| !groups.trim_matches('0').is_empty())
            });
            ensure!(hears, "it does not listen yet");
            Ok(())
        })?;
        Ok(monitor)
    }

    /// Changes that name `what`, so far.
    pub fn changes(&self, what: &str) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.output)?;
        Ok(text.lines().filter(|line| line.contains(what)).map(str::to_owned).collect())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
