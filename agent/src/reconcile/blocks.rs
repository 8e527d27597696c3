//! The reconciler and blocks: when the next steps are planned, and what is seen only over time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipam::block::{POD_HANDLE, plan};
use model::Time;
use model::object::Kind;

use super::Reconciler;
use crate::apply::blocks::Hand;
use crate::fact::{Fact, Source};
use crate::plan::blocks::{self, Seen};

/// How long changes are collected before they are written.
const COLLECT: Duration = Duration::from_millis(50);
/// How long to wait after steps that failed: from the one, doubling, to the other.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(30);
/// How often all blocks are looked at: others may have taken theirs away, or left some.
const SURVEY: Duration = Duration::from_secs(600);
/// The same while addresses are short.
const SURVEY_SHORT: Duration = Duration::from_secs(30);
/// How often something is looked at that only time changes.
const TICK: Duration = Duration::from_secs(30);
/// How long an address may be held for a pod that nobody knows of.
const LEAKED: Duration = Duration::from_secs(15 * 60);
/// How long a node may be missing before its blocks are cleared away.
const GONE: Duration = Duration::from_secs(60);

/// What is remembered of the talk with the hand.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    hand: Option<Hand>,
    /// Something has changed that may lead to other steps.
    dirty: bool,
    busy: bool,
    /// Not before this.
    not_before: Time,
    /// When to look even if nothing changes.
    tick: Option<Time>,
    wait: Option<Duration>,
    surveyed: Option<Time>,
    /// Why the last steps came to nothing.
    pub(super) problem: Option<String>,
    /// Why fewer addresses are ready than should be.
    pub(super) short: Vec<String>,
    suspects: BTreeMap<(IpAddr, u64), Time>,
    missing: BTreeMap<String, Time>,
    gone: BTreeSet<String>,
}

impl Blocks {
    pub(super) fn with(hand: Option<Hand>) -> Blocks {
        Blocks { hand, dirty: true, ..Blocks::default() }
    }

    /// Whether other steps may follow from a fact.
    pub(super) fn note(&mut self, fact: &Fact) {
        let concerns = |kind: Kind| {
            matches!(
                kind,
                Kind::Node | Kind::Pod | Kind::Namespace | Kind::IpPool | Kind::IpReservation | Kind::IpamConfiguration
            )
        };
        self.dirty |= match fact {
            Fact::Blocks(_) | Fact::Lease(_) | Fact::InSync(_) => true,
            Fact::Object(fact) => concerns(fact.object.key().kind),
            Fact::ObjectGone(key) => concerns(key.kind),
            _ => false,
        };
    }

    /// The hand is through with its steps.
    pub(super) fn done(&mut self, problem: Option<String>, now: Time) {
        self.busy = false;
        self.dirty = true;
        let wait = match (&problem, self.wait) {
            (None, _) => None,
            (Some(_), None) => Some(SOON),
            (Some(_), Some(before)) => Some((before * 2).min(LATE)),
        };
        if let Some(problem) = problem.as_ref().filter(|problem| self.problem.as_ref() != Some(*problem)) {
            tracing::warn!(%problem, "blocks can't be written; what is ready is given meanwhile");
        }
        (self.problem, self.wait) = (problem, wait);
        self.not_before = now + wait.unwrap_or(COLLECT);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.hand.as_ref()?;
        if self.busy {
            return None;
        }
        if self.dirty { Some(self.not_before) } else { self.tick.map(|tick| tick.max(self.not_before)) }
    }
}

impl Reconciler {
    /// Plans the next steps, if anything may have changed, and has them taken.
    pub(super) fn push_blocks(&mut self, now: Time) {
        let in_sync = [Source::Objects, Source::Kernel, Source::Leases].iter().all(|s| self.world.is_in_sync(*s));
        if self.blocks.hand.is_none() || !in_sync || self.blocks.deadline().is_none_or(|due| due > now) {
            return;
        }
        let carved = blocks::carved(&self.world).into_iter().any(|pool| pool.serves_workloads());
        if !carved && !self.world.picture.is_surveyed() {
            // A cluster without such pools is not asked for blocks.
            (self.blocks.dirty, self.blocks.tick) = (false, None);
            return;
        }
        self.blocks.dirty = false;
        self.blocks.tick = Some(now + TICK);
        let every = if self.blocks.short.is_empty() { SURVEY } else { SURVEY_SHORT };
        if self.blocks.surveyed.is_none_or(|at| now >= at + every) {
            self.blocks.surveyed = Some(now);
            self.world.picture.look_again();
        }
        let gone = self.gone(now);
        if gone != self.blocks.gone {
            // What they left has to be seen before it is cleared away.
            self.world.picture.look_again();
            self.blocks.gone = gone.clone();
        }
        let seen = Seen { unix_seconds: self.unix_seconds(now), leaked: self.leaked(now), gone };
        let wants = blocks::wants(&self.world, seen);
        let plan = plan(&self.world.picture, &wants);
        self.blocks.short = plan.problems;
        if plan.ops.is_empty() {
            return;
        }
        self.world.picture.issue(&plan.ops, self.world.node.as_str());
        for op in &plan.ops {
            tracing::debug!(?op, "block");
        }
        if let Some(hand) = &self.blocks.hand {
            self.blocks.busy = true;
            hand.take(plan.ops);
        }
    }

    /// Why there is not one block to give from.
    pub(super) fn no_block(&self) -> String {
        let why = self.blocks.problem.as_ref().or(self.blocks.short.first());
        why.map_or("no block is claimed yet".into(), |why| format!("no block is claimed yet: {why}"))
    }

    /// What a person should know of blocks, one sentence each.
    pub(super) fn block_problems(&self) -> Vec<String> {
        let failed = self.blocks.problem.iter().map(|problem| format!("blocks can't be written: {problem}"));
        failed.chain(self.blocks.short.iter().cloned()).collect()
    }

    /// Addresses written for pods of this node that neither the journal, nor the kernel, nor the API server knows, since
    /// long enough. The number says which time of its being given is meant.
    fn leaked(&mut self, now: Time) -> BTreeMap<IpAddr, u64> {
        let node = self.world.node.as_str();
        let mut seen = BTreeSet::new();
        for block in self.world.picture.blocks() {
            for (ordinal, by) in block.held().filter(|(_, by)| by.node() == Some(node)) {
                let of_pod = by.handle_id.as_deref().is_some_and(|handle| handle.starts_with(POD_HANDLE));
                let Some(address) = block.address(ordinal).filter(|_| of_pod) else { continue };
                let leased = self.world.leases.holder(address).is_some() || self.world.leases.has_ended(address);
                let routed = self.world.kernel.way_to(address).is_some_and(|way| way.prefix.is_host());
                if !leased && !routed {
                    seen.insert((address, block.given_at(ordinal)));
                }
            }
        }
        self.blocks.suspects.retain(|suspect, _| seen.contains(suspect));
        for suspect in seen {
            self.blocks.suspects.entry(suspect).or_insert(now);
        }
        let old = self.blocks.suspects.iter().filter(|(_, since)| now.since(**since) >= LEAKED);
        old.map(|(suspect, _)| *suspect).collect()
    }

    /// Nodes that are gone and whose blocks this node clears away: one node at a time does, another each hour.
    fn gone(&mut self, now: Time) -> BTreeSet<String> {
        let known: BTreeSet<&str> = self.world.objects.nodes().map(|node| node.name.as_str()).collect();
        let missing: BTreeSet<String> =
            self.world.picture.hosts().iter().filter(|host| !known.contains(host.as_str())).cloned().collect();
        self.blocks.missing.retain(|host, _| missing.contains(host));
        for host in missing {
            self.blocks.missing.entry(host).or_insert(now);
        }
        let hour = self.unix_seconds(now) / 3600;
        if blocks::caretaker(&known, hour) != Some(self.world.node.as_str()) {
            return BTreeSet::new();
        }
        let gone = self.blocks.missing.iter().filter(|(_, since)| now.since(**since) >= GONE);
        gone.map(|(host, _)| host.clone()).collect()
    }

    fn unix_seconds(&self, now: Time) -> u64 {
        self.born + now.since(Time::START).as_secs()
    }
}
