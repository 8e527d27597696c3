//! The running agent: threads, channels, and the loop that feeds the reconciler.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataplane::actual::{KernelEvent, NftChange};
use dataplane::linux::monitor::Monitor;
use model::api::{Reply, Request};
use model::{NodeName, Time};
use tokio::sync::{mpsc, oneshot, watch};

use crate::api_server::ApiServer;
use crate::apply::bridged::Bridged;
use crate::apply::{Done, Shared, Worker, cni, first_pool, names};
use crate::fact::{Fact, Source};
use crate::plan::first_pool::FirstPools;
use crate::plan::report::{Reports, Voice};
pub use crate::reconcile::Status;
use crate::reconcile::{Birth, Reconciler, Recorder, rules};
use crate::speaker::{self, Batch, Listen, Wanted};
use crate::watch::{self as watchers, routers::Routers};
use crate::world::cni::Installed;
use crate::world::{Autodetection, Mode};

/// Facts that may wait: more than that and the sources wait.
const FACTS: usize = 8192;
/// Facts taken in before what follows from them is done.
const TURN: usize = 8192;
/// Requests that may wait for an answer.
const REQUESTS: usize = 256;
/// Plans that may wait to be made.
const CONSULTATIONS: usize = 4;
/// How long to wait before subscribing to the kernel's events again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the agent is told on its command line.
#[derive(Clone)]
pub struct Options {
    /// `--node-name`.
    pub node: NodeName,
    /// `--objects`, or `--kubernetes`.
    pub objects: Objects,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--record`.
    pub record: Option<PathBuf>,
    /// `--pool-cidr`: what the first pools of a new cluster are to be.
    pub first_pools: Option<FirstPools>,
    /// `--cni-bin-dir` and `--cni-conf-dir`; none if the shim is installed by others.
    pub cni: Option<cni::Directories>,
    /// `--ip-autodetection-method`, `--ip6-autodetection-method`.
    pub autodetection: Autodetection,
    /// `--without-reports` and the like.
    pub voice: Voice,
    /// `--policy-only`.
    pub mode: Mode,
}

/// Where the objects are.
#[derive(Clone)]
pub enum Objects {
    /// In the files of a directory.
    Directory(PathBuf),
    /// In the API server.
    Kubernetes(ApiServer),
}

/// A request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Reply>);

/// Something to be looked up by the loop itself.
type Consultation = Box<dyn FnOnce(&mut Reconciler) + Send>;

/// The way to the reconcile loop.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Asked>,
    consultations: mpsc::Sender<Consultation>,
    status: watch::Receiver<Status>,
    reports: watch::Receiver<Reports>,
}

/// The reconcile loop has ended, and with it the agent is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reconcile loop has ended")]
pub struct Ended;

impl Handle {
    /// Asks, and waits for the answer.
    pub async fn ask(&self, request: Request) -> Result<Reply, Ended> {
        let (answer, answered) = oneshot::channel();
        self.requests.send((request, answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Has the loop look something up, and waits for what it found.
    pub async fn consult<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone.
        let consultation = move |core: &mut Reconciler| drop(answer.send(question(core)));
        self.consultations.send(Box::new(consultation)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// The same from a thread that has no runtime.
    pub fn consult_and_wait<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        let consultation = move |core: &mut Reconciler| drop(answer.send(question(core)));
        self.consultations.blocking_send(Box::new(consultation)).map_err(|_| Ended)?;
        answered.blocking_recv().map_err(|_| Ended)
    }

    /// Readiness and counts as they are now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What the API should say; the last value wins.
    pub fn reports(&self) -> watch::Receiver<Reports> {
        self.reports.clone()
    }
}

/// Starts the reconcile loop on a thread of its own, in the calling thread's network namespace.
///
/// The receiver hears when the loop has ended: the agent should end too.
pub fn start(options: &Options, speaker: speaker::Handle) -> io::Result<(Handle, oneshot::Receiver<()>)> {
    if let Err(error) = names::name_route_protocol(Path::new(names::RT_PROTOS_D)) {
        tracing::debug!(%error, "ip route will print our routes' protocol as a number");
    }
    let (facts, inbox) = mpsc::channel(FACTS);
    if options.cni.is_some() {
        // Before all others: readiness must not be declared for a moment before this is known.
        facts.try_send(Fact::Cni(Installed::default())).map_err(io::Error::other)?;
    }
    let routers = Routers::new(facts.clone());
    let objects = facts.clone();
    match &options.objects {
        Objects::Kubernetes(api) => watchers::kubernetes::watch(api, &options.node, objects),
        Objects::Directory(path) => {
            watchers::objects::watch(path.clone(), move |fact| objects.blocking_send(fact).is_ok())
                .map_err(|e| io::Error::new(e.kind(), format!("--objects {}: {e}", path.display())))?;
        }
    }
    let (results, done) = mpsc::unbounded_channel();
    // Unbounded, but as many results as jobs, and at most one job of a kind is under way.
    let worker = Worker::start(move |result| drop(results.send(result))).map_err(io::Error::other)?;
    let shared = worker.shared();
    let record = |path: &PathBuf| {
        Recorder::create(path).map_err(|e| io::Error::new(e.kind(), format!("--record {}: {e}", path.display())))
    };
    let birth = Birth {
        node: options.node.clone(),
        state_dir: options.state_dir.clone(),
        boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
        worker,
        blocks: match &options.objects {
            Objects::Kubernetes(api) if options.mode == Mode::Network => {
                Some(crate::apply::blocks::Hand::start(api, options.node.clone(), facts.clone()))
            }
            _ => None,
        },
        recorder: options.record.as_ref().map(record).transpose()?,
        voice: options.voice.clone(),
        unix_seconds: unix_seconds(),
    };
    let (of_cni, of_bridges) = (facts.clone(), facts.clone());
    std::thread::Builder::new().name("kernel-events".into()).spawn(move || watch_kernel(&facts, &shared))?;
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (consultations, consulted) = mpsc::channel(CONSULTATIONS);
    let mut core = Reconciler::new(birth);
    if options.mode == Mode::PolicyOnly {
        core.learn(Fact::Mode(options.mode), Time::START);
        let mut bridged = Bridged::default();
        bridged.see();
        tokio::spawn(bridged.keep(of_bridges));
    }
    if options.autodetection != Autodetection::default() {
        core.learn(Fact::Autodetection(options.autodetection.clone()), Time::START);
    }
    // Not ready, until the loop has told otherwise.
    let (told, status) = watch::channel(core.status());
    if let Some(directories) = &options.cni {
        tokio::spawn(cni::keep(directories.clone(), status.clone(), of_cni));
    }
    if let (Some(pools), Objects::Kubernetes(api)) = (&options.first_pools, &options.objects) {
        api.spawn(first_pool::make(api.clone(), pools.clone(), status.clone()));
    }
    let (reporting, reports) = watch::channel(Reports::default());
    let (ending, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let turn =
        Loop { core, born: Instant::now(), speaker, routers, told, reporting, waiting: Vec::new(), held: Vec::new() };
    std::thread::Builder::new().name("reconcile".into()).spawn(move || {
        runtime.block_on(turn.run(inbox, done, asked, consulted));
        drop(ending);
    })?;
    Ok((Handle { requests, consultations, status, reports }, ended))
}

/// Tells what happens in the kernel but by our own work, for ever; a broken subscription is made anew, with a snapshot
/// first.
fn watch_kernel(facts: &mpsc::Sender<Fact>, shared: &Shared) {
    let mark_at = |marker| *shared.marker.lock().unwrap_or_else(PoisonError::into_inner) = marker;
    let mut in_sync = false;
    loop {
        let each = |event| {
            let snapshot = matches!(event, KernelEvent::Snapshot(_));
            let first = snapshot && !in_sync;
            in_sync |= first;
            // Nobody listens any more: the agent is ending, and this thread with it.
            let _ = facts.blocking_send(Fact::Kernel(event));
            if first {
                let _ = facts.blocking_send(Fact::InSync(Source::Kernel));
            } else if snapshot {
                // What became of our table in the meantime, nobody has told.
                let _ = facts.blocking_send(Fact::Kernel(KernelEvent::NftTable(NftChange::Changed)));
            }
        };
        let outcome = Monitor::open().and_then(|(monitor, stopper)| {
            let monitor = monitor.without(shared.port)?;
            let monitor = match shared.rules_port {
                Some(port) => monitor.without_rules_of(port)?,
                None => monitor,
            };
            mark_at(stopper.marker().ok());
            monitor.run(each)
        });
        mark_at(None);
        if facts.is_closed() {
            return;
        }
        if let Err(error) = outcome {
            tracing::error!(%error, "the kernel's events are lost; subscribing again");
        }
        std::thread::sleep(AGAIN);
    }
}

/// An answer to an ADD, held back: a pod's first packet is to meet its rules.
struct Held {
    reply: Reply,
    answer: oneshot::Sender<Reply>,
    /// The plan of rules that has the pod in it; none until it is made.
    plan: Option<u64>,
    /// After this the ADD is to be tried again.
    until: Time,
}

struct Loop {
    core: Reconciler,
    born: Instant,
    speaker: speaker::Handle,
    routers: Routers,
    told: watch::Sender<Status>,
    /// ADDs that wait for something, each with the time at which it came.
    waiting: Vec<(Asked, Time)>,
    /// Answers to ADDs that wait until their pods' packet rules are in force.
    held: Vec<Held>,
    reporting: watch::Sender<Reports>,
}

impl Loop {
    async fn run(
        mut self,
        mut facts: mpsc::Receiver<Fact>,
        mut done: mpsc::UnboundedReceiver<Done>,
        mut asked: mpsc::Receiver<Asked>,
        mut consulted: mpsc::Receiver<Consultation>,
    ) {
        let mut batch = Vec::new();
        loop {
            let deadline = self.deadline().map(|at| self.instant(at));
            // Pods first: a kubelet waits for the answer.
            tokio::select! {
                biased;
                request = asked.recv() => match request {
                    Some(asked) => self.answer(asked, self.now()),
                    None => return,
                },
                Some(result) = done.recv() => {
                    if matches!(result, Done::Gone) {
                        // Nobody does its jobs any more: the agent ends, and is started anew.
                        return tracing::error!("a thread that works on the kernel has ended");
                    }
                    self.core.done(result, self.now());
                    self.answer_waiting();
                }
                changes = self.speaker.changes() => self.believe(changes),
                taken = facts.recv_many(&mut batch, TURN) => {
                    if taken == 0 {
                        return;
                    }
                }
                Some(consultation) = consulted.recv() => consultation(&mut self.core),
                () = until(deadline) => self.answer_waiting(),
            }
            // However many ask: nothing is decided by a picture that is older than what has been told.
            self.take(&mut facts, &mut batch);
            self.settle();
        }
    }

    /// Takes in the facts that have come and those that wait, together as many as a turn has.
    fn take(&mut self, facts: &mut mpsc::Receiver<Fact>, batch: &mut Vec<Fact>) {
        let more = TURN.saturating_sub(batch.len());
        batch.extend(std::iter::from_fn(|| facts.try_recv().ok()).take(more));
        if !batch.is_empty() {
            let now = self.now();
            batch.drain(..).for_each(|fact| self.core.learn(fact, now));
            self.answer_waiting();
        }
    }

    fn deadline(&self) -> Option<Time> {
        let now = self.now();
        let pods =
            self.waiting.iter().filter_map(|((request, _), since)| self.core.waits_for_pod(request, *since, now));
        let held = self.held.iter().map(|held| held.until);
        pods.chain(held).chain(self.core.deadline(now)).min()
    }

    fn answer_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().for_each(|(asked, since)| self.answer(asked, since));
    }

    fn answer(&mut self, (request, answer): Asked, since: Time) {
        if self.core.must_wait(&request) || self.core.waits_for_pod(&request, since, self.now()).is_some() {
            self.waiting.push(((request, answer), since));
            return;
        }
        let attach = matches!(request, Request::Attach(_));
        let reply = self.core.request(request, self.now(), unix_seconds());
        if attach && matches!(reply, Reply::Ok(_)) {
            self.held.push(Held { reply, answer, plan: None, until: self.now() + rules::PATIENCE });
            return;
        }
        // Whoever asked may have gone.
        let _ = answer.send(reply);
    }

    /// Gives the answers whose pods' rules are in force by now, and those that have waited too long.
    fn release(&mut self) {
        let (planned, in_force, now) = (self.core.rules_planned(), self.core.rules_in_force(), self.now());
        for held in std::mem::take(&mut self.held) {
            let plan = held.plan.unwrap_or(planned);
            let reply = match () {
                () if plan <= in_force || self.core.does_without_rules() => held.reply,
                () if held.until <= now => self.core.without_rules(),
                () => {
                    self.held.push(Held { plan: Some(plan), ..held });
                    continue;
                }
            };
            let _ = held.answer.send(reply);
        }
    }

    fn believe(&mut self, mut changes: Batch) {
        let now = self.now();
        // What follows from the first is done by others while the rest is planned.
        while changes.routes.len() > TURN {
            let rest = changes.routes.split_off(TURN);
            changes.routes.into_iter().for_each(|change| self.core.learn(Fact::Learned(change), now));
            changes.routes = rest;
            self.settle();
        }
        changes.routes.into_iter().for_each(|change| self.core.learn(Fact::Learned(change), now));
        changes.peers.into_iter().for_each(|change| self.core.learn(Fact::Session(change), now));
        if changes.in_sync {
            self.core.learn(Fact::InSync(Source::Speaker), now);
        }
    }

    fn settle(&mut self) {
        self.core.settle(self.now());
        self.release();
        if let Some(plan) = self.core.take_bgp(unix_seconds()) {
            plan.problems.iter().for_each(|problem| tracing::warn!(problem, "peering"));
            let listen = Listen { port: plan.listen_port, addresses: plan.listen_on };
            self.routers.want(&plan.solicit);
            self.speaker.want(Wanted { config: plan.config, listen });
        }
        if let Some(reports) = self.core.take_reports(self.now()) {
            self.reporting.send_if_modified(|told| {
                let new = *told != reports;
                *told = reports;
                new
            });
        }
        let status = self.core.status();
        self.told.send_if_modified(|told| {
            let new = *told != status;
            *told = status;
            new
        });
    }

    fn now(&self) -> Time {
        Time::START + self.born.elapsed()
    }

    fn instant(&self, at: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.born + at.since(Time::START))
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
