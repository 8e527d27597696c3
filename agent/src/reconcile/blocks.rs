//! The reconciler and blocks: when the next steps are planned, and what is seen only over time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipam::block::{POD_HANDLE, plan};
use model::api::show::{BorrowedView, Problem};
use model::api::{Answer, IpamRelease, RefusalCode, Reply};
use model::object::Kind;
use model::{PodRef, Prefix, Time};

use super::{Reconciler, refuse};
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
/// How long pools lie untouched by pod CIDRs, in a cluster where no node has any, before blocks are claimed in them.
const UNTOUCHED: Duration = Duration::from_secs(30);
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
    /// Since when there have been pools to carve.
    carved: Option<Time>,
    /// Why the last steps came to nothing.
    pub(super) problem: Option<String>,
    /// Why fewer addresses are ready than should be.
    pub(super) short: Vec<String>,
    suspects: BTreeMap<(IpAddr, u64), Time>,
    /// What an operator wants taken back.
    released: BTreeMap<IpAddr, u64>,
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
            (self.blocks.dirty, self.blocks.tick, self.blocks.carved) = (false, None, None);
            return;
        }
        // A new cluster's nodes, and one that registers anew, get their pod CIDRs a moment after: what looks like a pool
        // to carve may be the pod CIDRs' own.
        let since = *self.blocks.carved.get_or_insert(now);
        let settled = self.world.objects.nodes().any(|node| !node.pod_cidrs.is_empty()) || now >= since + UNTOUCHED;
        if !settled {
            self.blocks.tick = Some(since + UNTOUCHED);
            self.blocks.dirty = false;
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
        let mut leaked: BTreeMap<IpAddr, u64> = old.map(|(suspect, _)| *suspect).collect();
        let mut released = std::mem::take(&mut self.blocks.released);
        released.retain(|address, given_at| self.held_here(*address) == Ok(*given_at));
        leaked.extend(released.iter().map(|(address, given_at)| (*address, *given_at)));
        self.blocks.released = released;
        leaked
    }

    /// The number at which a block says that an address was given, if it may be taken back here; else why not.
    fn held_here(&self, address: IpAddr) -> Result<u64, String> {
        if let Some(lease) = self.world.leases.holder(address) {
            let pod = lease.pod.as_ref().map_or(lease.attachment.container_id.clone(), ToString::to_string);
            return Err(format!("{address} is held by {pod}, which runs here"));
        }
        let block = self.world.picture.block_of(address);
        let block = block.ok_or_else(|| format!("{address} is in no block that this node has addresses in"))?;
        let ordinal = block.ordinal(address).ok_or_else(|| format!("{address} is beyond its block"))?;
        let by = block.holder(ordinal).ok_or_else(|| format!("{address} is held by nobody"))?;
        let other = by.node().filter(|node| *node != self.world.node.as_str());
        let lives = |node: &&str| self.world.objects.nodes().any(|other| other.name.as_str() == *node);
        match other.filter(lives) {
            Some(node) => Err(format!("{address} is held on node {node}: its agent takes it back")),
            None if blocks::is_stock(&self.world, by) => {
                Err(format!("{address} is ready for the next pod, and held by none"))
            }
            None => Ok(block.given_at(ordinal)),
        }
    }

    /// Has addresses taken back with the next write, all or none.
    pub(super) fn release_addresses(&mut self, releases: &[IpamRelease]) -> Reply {
        let mut accepted = BTreeMap::new();
        for release in releases {
            match (self.held_here(release.ip), release.given_at) {
                (Err(why), _) => return refuse(RefusalCode::Invalid, why),
                (Ok(now), Some(then)) if now != then => {
                    let why = format!("{} was given again meanwhile (number {now}, not {then})", release.ip);
                    return refuse(RefusalCode::Invalid, why);
                }
                (Ok(now), _) => drop(accepted.insert(release.ip, now)),
            }
        }
        for (address, given_at) in accepted {
            tracing::info!(%address, given_at, "to be taken back, as an operator wants it");
            self.blocks.released.insert(address, given_at);
        }
        self.blocks.dirty = true;
        Reply::Ok(Answer::Done)
    }

    /// What blocks say and nobody here knows of.
    pub(super) fn block_findings(&self) -> Vec<Problem> {
        let finding = |(address, given_at): &(IpAddr, u64)| {
            let block = self.world.picture.block_of(*address);
            let by = block.and_then(|block| block.holder(block.ordinal(*address)?));
            let handle = by.and_then(|by| by.handle_id.as_deref()).unwrap_or("somebody");
            Problem {
                ip: *address,
                pod: by.and_then(|by| {
                    let (namespace, name) = (by.secondary.get("namespace")?, by.secondary.get("pod")?);
                    Some(PodRef { namespace: namespace.clone(), name: name.clone() })
                }),
                given_at: Some(*given_at),
                message: format!(
                    "its block says that {handle} holds it, which is not here; taken back after {} min, or by margayctl ipam release",
                    LEAKED.as_secs() / 60
                ),
            }
        };
        self.blocks.suspects.keys().map(finding).collect()
    }

    /// Addresses of this node's pods in blocks of others.
    pub(super) fn borrowed(&self) -> Vec<BorrowedView> {
        let lone = self.world.lone_addresses();
        let view = |prefix: &Prefix| {
            let ip = prefix.address();
            let block = self.world.picture.block_of(ip);
            BorrowedView {
                ip,
                block: block.map(|block| block.cidr),
                owner: block.and_then(|block| block.host()).map(str::to_string),
                pod: self.world.leases.holder(ip).and_then(|lease| lease.pod.clone()),
            }
        };
        lone.iter().map(view).collect()
    }

    /// Nodes that are gone and whose blocks this node clears away: one node at a time does, another each hour.
    fn gone(&mut self, now: Time) -> BTreeSet<String> {
        let known: BTreeSet<&str> = self.world.objects.nodes().map(|node| node.name.as_str()).collect();
        // A Node that can't be read is there all the same.
        let unread = |host: &str| self.world.objects.errors.iter().any(|error| error.object == format!("Node/{host}"));
        let absent = |host: &&String| !known.contains(host.as_str()) && !unread(host);
        let missing: BTreeSet<String> = self.world.picture.hosts().iter().filter(absent).cloned().collect();
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
