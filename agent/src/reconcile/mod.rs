//! Loop 1: facts in, plans out, hands told. Owns the world; never touches a BGP socket.

mod blocks;
mod drain;
mod explain;
mod flight;
mod foresee;
mod history;
mod journal;
mod laying;
mod living;
mod pods;
mod report;
pub mod rules;
mod services;
mod show;
mod unseen;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bgp::config::Start;
use dataplane::actual::KernelEvent;
use dataplane::want::RouteKey;
use ipam::Ledger;
use model::api::{Refusal, RefusalCode, Reply, Request};
use model::{NodeName, Time, kernel, pod_link};

use crate::apply::{Bench, Worker};
use crate::fact::{ApiServerState, Fact, Source};
use crate::plan::bgp::BgpPlan;
use crate::plan::desired::Desired;
use crate::plan::report::Voice;
use crate::world::{Dirty, Mode, World};
use flight::Flight;
pub use foresee::proposed;
use history::History;
pub use journal::Recorder;
use laying::Slot;
use report::Reporting;
use rules::Rules;

/// How long after a restart a predecessor's routes may stay for the sake of peers that are not up yet.
const SWEEP_DEFERRAL: Duration = Duration::from_secs(10);

/// Events kept while the routes are being read; should more come, the routes are read once more instead.
const MEANWHILE: usize = 65_536;

/// What the loop tells whoever watches: readiness and counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// An ADD can be served; else why not.
    pub not_ready: Option<String>,
    /// The runtime can't find us yet, although we are to install ourselves; why.
    pub not_installed: Option<String>,
    /// Pools that there are; none while the objects are not known.
    pub pools: Option<usize>,
    /// Routes wanted in the kernel.
    pub routes_wanted: usize,
    /// Of these, not there.
    pub routes_failed: usize,
    /// Leases held.
    pub leases: usize,
    /// Object errors and warnings.
    pub object_errors: usize,
    /// Snapshots of the kernel taken in, the first one too.
    pub kernel_resyncs: u64,
    /// Whether the API server answers; none where the objects are files.
    pub api_server_up: Option<bool>,
    /// ADDs that were served without the API server having shown their pods.
    pub unseen_pods: u64,
}

/// The reconcile loop's state. Its owner feeds it and calls [`Reconciler::settle`] when the inbox is drained.
pub struct Reconciler {
    world: World,
    desired: Desired,
    dirty: Dirty,
    /// Places in the kernel's table that are yet to be compared.
    places: BTreeSet<RouteKey>,
    bench: Bench,
    /// None until the kernel was read once: running pods may have to be recovered from it.
    ledger: Option<Ledger>,
    ledger_problem: Option<String>,
    /// What happened to the leases at the start, for a person.
    ledger_notes: Vec<String>,
    state_dir: PathBuf,
    boot: String,
    start: Start,
    worker: Worker,
    /// The routes are being read, or are about to be.
    routes_busy: bool,
    /// Work that the kernel is at.
    flight: Option<Flight>,
    /// Nexthop objects may have lost their last route.
    objects_touched: bool,
    /// Steps for blocks of pools.
    blocks: blocks::Blocks,
    /// What the kernel told while its routes are being read: told again afterwards, as the reading may be older.
    meanwhile: Option<Vec<KernelEvent>>,
    reading: Slot,
    tunnel: Slot,
    rules: Rules,
    forwarding: Slot,
    links: Vec<String>,
    /// Names of links that are being removed right now.
    links_going: Vec<String>,
    /// When the leases are next held against the kernel's links.
    leases_due: Option<Time>,
    /// The speaker's plan has changed since it was last taken.
    bgp_changed: bool,
    recorder: Option<Recorder>,
    voice: Voice,
    reporting: Reporting,
    /// When the speaker was last told something new, seconds since the Unix epoch.
    configured: Option<u64>,
    history: History,
    resyncs: u64,
    unseen_pods: u64,
    /// When the agent started, seconds since the Unix epoch.
    born: u64,
}

/// What a reconciler is born with.
pub struct Birth {
    /// `--node-name`.
    pub node: NodeName,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The kernel's threads.
    pub worker: Worker,
    /// The hand for blocks; none where the objects are files.
    pub blocks: Option<crate::apply::blocks::Hand>,
    /// `--record`.
    pub recorder: Option<Recorder>,
    /// `--without-reports` and the like.
    pub voice: Voice,
    /// Seconds since the Unix epoch.
    pub unix_seconds: u64,
}

impl Reconciler {
    /// Knows nothing yet.
    pub fn new(birth: Birth) -> Reconciler {
        Reconciler {
            world: World::new(birth.node),
            desired: Desired::default(),
            dirty: Dirty::everything(),
            places: BTreeSet::new(),
            bench: Bench::default(),
            ledger: None,
            ledger_problem: None,
            ledger_notes: Vec::new(),
            state_dir: birth.state_dir,
            boot: birth.boot,
            start: Start::Fresh,
            worker: birth.worker,
            routes_busy: false,
            flight: None,
            objects_touched: true,
            blocks: blocks::Blocks::with(birth.blocks),
            meanwhile: None,
            reading: Slot::default(),
            tunnel: Slot::default(),
            rules: Rules::default(),
            forwarding: Slot::default(),
            links: Vec::new(),
            links_going: Vec::new(),
            leases_due: None,
            bgp_changed: false,
            recorder: birth.recorder,
            voice: birth.voice,
            reporting: Reporting::default(),
            configured: None,
            history: History::born(birth.unix_seconds),
            resyncs: 0,
            unseen_pods: 0,
            born: birth.unix_seconds,
        }
    }

    /// Takes a fact in; what follows is done by [`Reconciler::settle`].
    pub fn learn(&mut self, fact: Fact, now: Time) {
        self.note(&fact, now);
        self.history.note(&fact, now);
        if let (Fact::Kernel(event), Some(flight)) = (&fact, &mut self.flight) {
            flight.note(event);
        }
        if let (Fact::Kernel(event), Some(meanwhile)) = (&fact, &mut self.meanwhile) {
            meanwhile.push(event.clone());
            if meanwhile.len() > MEANWHILE {
                meanwhile.clear();
                self.reading.wanted = true;
            }
        }
        self.take_in(fact, now);
    }

    fn take_in(&mut self, fact: Fact, now: Time) {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(now, &fact);
        }
        self.blocks.note(&fact);
        if let Fact::BlocksDone(problem) = &fact {
            self.blocks.done(problem.clone(), now);
        }
        self.reporting.note(&fact);
        let dirty = self.world.learn(fact);
        self.dirty = std::mem::take(&mut self.dirty).and(dirty);
    }

    /// Does what follows from all that was learned: plans what is dirty, tells the hands.
    pub fn settle(&mut self, now: Time) {
        self.land();
        if self.ledger.is_none() && self.world.is_in_sync(Source::Kernel) {
            self.open_ledger(now);
        }
        if !self.may_write() {
            return;
        }
        if !self.dirty.is_nothing() {
            let dirty = std::mem::take(&mut self.dirty);
            let changed = self.desired.update(&self.world, &dirty, self.start);
            self.bgp_changed |= changed.bgp;
            self.reporting.touched |= changed.bgp;
            self.places.extend(changed.places);
            // Also where the plan is as before: the kernel may have changed under it.
            let ours = self.world.mode == Mode::Network;
            let tunnel = self.desired.tunnel.is_some() || ours && self.world.kernel.link(kernel::TUNNEL).is_some();
            self.tunnel.wanted |= dirty.tunnel && tunnel;
            self.plan_rules(&dirty);
            self.forwarding.wanted |= changed.forwarding;
            if dirty.tunnel {
                // What a link would not carry a moment ago it may carry now.
                self.places.extend(self.desired.table.keys());
            }
        }
        self.places.extend(self.bench.due(now));
        self.reconcile_leases(now);
        self.push(now);
        self.push_blocks(now);
    }

    /// When [`Reconciler::settle`] is due even if nothing happens.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let routes = if self.may_lay() { self.bench.deadline() } else { None };
        let sweep = Time::START + SWEEP_DEFERRAL;
        let sweep = (!self.places.is_empty() && self.may_lay() && now < sweep).then_some(sweep);
        let blocks = if self.may_write() { self.blocks.deadline() } else { None };
        let report = self.reporting.deadline(now);
        let again = [self.reading.again, self.tunnel.again, self.rules.slot.again, self.forwarding.again];
        [routes, sweep, blocks, report, self.leases_due].into_iter().chain(again).flatten().min()
    }

    /// Whether a request has to wait: an ADD for a link of a name that is on its way out would adopt what is about to
    /// vanish.
    pub fn must_wait(&self, request: &Request) -> bool {
        let Request::Attach(attach) = request else { return false };
        let first = pod_link::name(attach.pod.as_ref(), &attach.attachment.container_id);
        let further = pod_link::further_name(attach.pod.as_ref(), &attach.attachment);
        self.links.iter().chain(&self.links_going).any(|name| *name == first || *name == further)
    }

    /// Answers a question or a pod's request.
    pub fn request(&mut self, request: Request, now: Time, unix_seconds: u64) -> Reply {
        match request {
            Request::Attach(attach) => self.attach(attach, now, unix_seconds),
            Request::Attached(attached) => self.attached(&attached, now),
            Request::Detach(detach) => self.detach(&detach, now),
            Request::Check(check) => self.check(&check),
            Request::Gc(gc) => self.gc(&gc, now),
            Request::Status => match self.not_ready() {
                None => Reply::Ok(model::api::Answer::Done),
                Some(message) => refuse(RefusalCode::TryAgain, message),
            },
            Request::Drain { message } => self.drain(message.unwrap_or_default(), now),
            Request::Undrain => self.undrain(now),
            Request::IpamRelease(releases) => self.release_addresses(&releases),
            Request::BgpReset(_) => refuse(RefusalCode::Internal, "sessions are the speaker's, which was not asked"),
            Request::Show(show) => self.show(show, now),
        }
    }

    /// The speaker's plan, if it has changed since this was last asked.
    pub fn take_bgp(&mut self, unix_seconds: u64) -> Option<BgpPlan> {
        let changed = std::mem::take(&mut self.bgp_changed);
        if changed {
            self.configured = Some(unix_seconds);
        }
        if changed { self.desired.bgp.clone() } else { None }
    }

    /// What the speaker was born into: a predecessor's routes in the kernel, or nothing.
    pub fn start(&self) -> Start {
        self.start
    }

    /// Readiness and counts.
    pub fn status(&self) -> Status {
        Status {
            not_ready: self.not_ready(),
            not_installed: self.world.cni.as_ref().and_then(|installed| installed.not_yet()),
            pools: self.world.is_in_sync(Source::Objects).then(|| self.pools()),
            routes_wanted: self.desired.table.len(),
            routes_failed: self.bench.len(),
            leases: self.world.leases.len(),
            object_errors: self.world.objects.errors.len(),
            kernel_resyncs: self.resyncs,
            api_server_up: self.world.api_server.as_ref().map(|state| state.away.is_none()),
            unseen_pods: self.unseen_pods,
        }
    }

    /// How many pools there are; those that can't be read are pools, too.
    fn pools(&self) -> usize {
        let unread = self.world.objects.errors.iter().filter(|error| error.object.starts_with("IPPool/"));
        self.world.objects.pools().count() + unread.count()
    }

    /// Nothing is written before the objects, the kernel and the leases are known.
    fn may_write(&self) -> bool {
        [Source::Objects, Source::Kernel, Source::Leases].iter().all(|s| self.world.is_in_sync(*s))
    }

    /// Nothing is deleted before every source has told all it has. After a restart that means peers too, for a while:
    /// one that does not answer may be restarting itself, and its routes still carry traffic.
    fn may_delete(&self, now: Time) -> bool {
        let peers = self.desired.bgp.iter().flat_map(|plan| &plan.config).flat_map(|config| config.peers.keys());
        let complete = || peers.into_iter().all(|peer| self.world.learned.is_up(peer));
        let waits = self.start == Start::Restarted && now < Time::START + SWEEP_DEFERRAL && !complete();
        self.may_write() && self.world.is_in_sync(Source::Speaker) && !waits
    }

    /// Why an ADD can't be served.
    fn not_ready(&self) -> Option<String> {
        if let Some(problem) = &self.ledger_problem {
            return Some(problem.clone());
        }
        if let Some(reading) = self.still_reading() {
            return Some(reading);
        }
        if self.world.mode == Mode::PolicyOnly {
            return None;
        }
        let Some(node) = self.world.objects.node(&self.world.node) else {
            return Some(format!("there is no Node {}: its pod CIDRs are not known", self.world.node));
        };
        let space = crate::plan::pods::space(&self.world, None);
        if space.blocks.is_empty() {
            return Some(match crate::plan::blocks::carved(&self.world).is_empty() {
                true => format!("Node {} has no spec.podCIDRs, and there is no IPPool to claim a block of", node.name),
                false => self.no_block(),
            });
        }
        let closed = |block: &ipam::Block| match &block.openness {
            ipam::Openness::Closed(reason) => Some(format!("{}: {reason}", block.prefix)),
            _ => None,
        };
        let reasons: Vec<String> = space.blocks.iter().filter_map(closed).collect();
        (reasons.len() == space.blocks.len()).then(|| format!("no address can be given: {}", reasons.join("; ")))
    }

    /// What has not been read yet since the agent began.
    fn still_reading(&self) -> Option<String> {
        let sources =
            [(Source::Objects, "the objects"), (Source::Kernel, "the kernel"), (Source::Leases, "the leases")];
        let waiting: Vec<&str> = sources.iter().filter(|(s, _)| !self.world.is_in_sync(*s)).map(|(_, w)| *w).collect();
        let detail = match &self.world.api_server {
            Some(state) if !self.world.is_in_sync(Source::Objects) => format!(" ({})", unlisted(state)),
            _ => String::new(),
        };
        (!waiting.is_empty()).then(|| format!("still reading {}{detail}", waiting.join(", ")))
    }

    /// Says in the log what a person should hear of, and counts.
    fn note(&mut self, fact: &Fact, now: Time) {
        match fact {
            Fact::ObjectErrors(errors) => errors.iter().for_each(|e| tracing::warn!(error = %e, "object")),
            Fact::Kernel(KernelEvent::Snapshot(snapshot)) => {
                self.resyncs += 1;
                self.leases_due = Some(now);
                let ours = |r: &&dataplane::actual::ActualRoute| r.protocol == kernel::ROUTE_PROTOCOL;
                let has_router = |r: &dataplane::actual::ActualRoute| {
                    r.nexthop.is_some() || r.next_hops().iter().any(|h| h.gateway.is_some())
                };
                let forwards = snapshot.routes.iter().filter(ours).any(has_router);
                if snapshot.nexthops.is_none() {
                    tracing::info!("the kernel has no nexthop objects (Linux 5.3): every route names its next hops");
                }
                if self.resyncs == 1 && forwards {
                    self.start = Start::Restarted;
                }
            }
            Fact::Kernel(KernelEvent::LinkGone { name, .. }) if pod_link::is_pod_link(name) => {
                self.leases_due = Some(now);
            }
            Fact::InSync(source) => tracing::info!(?source, "in sync"),
            _ => {}
        }
    }
}

/// What the API server still owes us, and why.
fn unlisted(state: &ApiServerState) -> String {
    match &state.away {
        Some(why) => format!("the API server {} is away: {why}", state.address),
        None => format!("not listed yet: {}", state.unlisted.join(", ")),
    }
}

/// A refusal for the caller.
fn refuse(code: RefusalCode, message: impl Into<String>) -> Reply {
    Reply::Error(Refusal { code, message: message.into() })
}
