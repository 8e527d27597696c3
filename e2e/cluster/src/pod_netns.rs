//! A pod's network namespace under a name, so that what runs in it needs no `kubectl exec`.

use std::ops::Deref;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::netns::Netns;

use crate::cluster::Cluster;
use crate::trial::Pod;

/// The name goes when this goes; the namespace is the pod's.
#[derive(Debug)]
pub struct PodNetns {
    netns: Netns,
}

impl PodNetns {
    /// Gives the namespace of a pod that runs a name.
    pub fn of(cluster: &Cluster, pod: &Pod) -> Result<Self> {
        let pid = cluster.node(&pod.node).pid_in_pod(&pod.uid)?;
        let netns = Netns::named(format!("{}-pod-{}", cluster.plan.prefix, pod.uid));
        let status = Command::new("ip").args(["netns", "attach", netns.name(), &pid.to_string()]).status()?;
        ensure!(status.success(), "cannot name the namespace of pod {}", pod.name);
        Ok(Self { netns })
    }
}

impl Deref for PodNetns {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.netns
    }
}

impl Drop for PodNetns {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", self.netns.name()]).status().ok();
    }
}
