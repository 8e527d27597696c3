//! Packets between pods of one bridge, which rules see only where the kernel is told to show them.

use std::time::Duration;

use dataplane::linux::sysctl::{self, Change};
use tokio::sync::mpsc;

use crate::fact::Fact;

/// How often the settings are looked at again: nothing tells of their changes, and `sysctl --system`, or udev once the
/// module is loaded, may take them back.
const AGAIN: Duration = Duration::from_secs(2);

/// The settings, and what could not be made of them.
#[derive(Debug, Default)]
pub struct Bridged {
    problem: Option<String>,
}

impl Bridged {
    /// Has packets that a bridge forwards meet the rules for those that are routed, where the kernel has `br_netfilter`.
    /// Concerns the calling thread's network namespace.
    pub fn see(&mut self) {
        let mut problem = None;
        for name in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
            match sysctl::set(name, "1") {
                Ok(Change::Same) => {}
                Ok(Change::Written) => tracing::info!(name, "set to 1: bridged packets meet the policies"),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        if let Some(problem) = problem.as_ref().filter(|problem| self.problem.as_ref() != Some(problem)) {
            tracing::warn!(%problem, "pods of one bridge may reach each other past their policies: is br_netfilter loaded?");
        }
        self.problem = problem;
    }

    /// Sees to it until nobody listens any more, and tells what stands in the way.
    pub async fn keep(mut self, facts: mpsc::Sender<Fact>) {
        let mut told = None;
        loop {
            if self.problem != told {
                told.clone_from(&self.problem);
                if facts.send(Fact::Bridged(told.clone())).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
            tokio::task::block_in_place(|| self.see());
        }
    }
}
