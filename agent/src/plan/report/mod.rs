//! What the API should say on behalf of this node, and when this node is the one to say it. A hand writes what differs.

mod event;
mod node;
mod node_status;
mod pod;
mod pool;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::object::StatusClass;
use model::{NodeName, PodRef};

pub use event::{Event, Regarding};
pub use node::{Availability, GRACE, Network, NodeReport, STARTUP_TAINT, farewell};
pub use node_status::{MOST_ROUTES, Survey, status};
pub use pod::PodReport;
pub use pool::{Allocatable, Gives};
pub use turn::hash;

use crate::world::World;

/// Everything that the API should say, by what it is said about.
pub type Reports = BTreeMap<Subject, Report>;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A Node: this one.
    Node(NodeName),
    /// The status of an IPPool.
    Pool(String),
    /// The status of a CalicoNodeStatus.
    NodeStatus(String),
    /// What is written on a pod.
    Pod(PodRef),
    /// An event about an object: the object, and which of its events.
    Event(String, u64),
}

/// What the API should say about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What.
    pub says: Says,
    /// How long others, whose turn is before ours, may take to say it.
    pub turn: Duration,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Condition, taint and annotations of this Node.
    Node(NodeReport),
    /// Whether a pool gives addresses.
    Pool(Allocatable),
    /// How this node is, in these classes, as often as that. What exactly is asked when it is due.
    NodeStatus {
        /// What.
        classes: Vec<StatusClass>,
        /// How often.
        period: Duration,
    },
    /// Addresses of a pod.
    Pod(PodReport),
    /// Something is wrong with an object.
    Event(Event),
}

/// Kinds of reports: what can be left unsaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportKind {
    /// The Node's condition NetworkUnavailable.
    Condition,
    /// The Node's startup taint.
    Taint,
    /// The Node's annotations.
    Annotations,
    /// Events on objects that are wrong.
    Events,
    /// IPPools' condition Allocatable.
    Pools,
    /// CalicoNodeStatuses.
    Statuses,
    /// Pods' annotations.
    Pods,
}

/// What is said at all: a choice of whoever runs the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// What is left unsaid.
    pub silent: BTreeSet<ReportKind>,
    /// Key of the taint that a node starts with until its network is there.
    pub startup_taint: String,
}

/// How the agent stands, beside what the world knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// Why no pod can be attached, and for how long that has been so.
    pub not_ready: Option<(&'a str, Duration)>,
    /// What stands in the way of this node's peerings.
    pub peering: &'a [String],
}

impl Default for Voice {
    /// All but the annotations of pods, which nothing reads but tools of Calico's.
    fn default() -> Voice {
        Voice { silent: BTreeSet::from([ReportKind::Pods]), startup_taint: STARTUP_TAINT.into() }
    }
}

impl Voice {
    fn says(&self, kind: ReportKind) -> bool {
        !self.silent.contains(&kind)
    }
}

/// Plans all reports. The same world and standing make the same reports, on whatever way they came about.
pub fn reports(world: &World, standing: Standing<'_>, voice: &Voice) -> Reports {
    let mut reports = Reports::new();
    let node = node::report(world, standing, voice);
    let at_once = |says| Report { says, turn: Duration::ZERO };
    if !node.is_silent() {
        reports.insert(Subject::Node(world.node.clone()), at_once(Says::Node(node)));
    }
    if voice.says(ReportKind::Statuses) {
        reports.extend(node_status::wanted(world).map(|(name, says)| (Subject::NodeStatus(name), at_once(says))));
    }
    if voice.says(ReportKind::Pods) {
        let pods = pod::reports(world);
        reports.extend(pods.map(|(pod, report)| (Subject::Pod(pod), at_once(Says::Pod(report)))));
    }
    // What every node would say the same of: each in its turn.
    if voice.says(ReportKind::Pools) {
        for (name, allocatable) in pool::reports(world) {
            let turn = turn::turn(world, &name);
            reports.insert(Subject::Pool(name), Report { says: Says::Pool(allocatable), turn });
        }
    }
    if voice.says(ReportKind::Events) {
        for event in event::events(world, standing) {
            let subject = Subject::Event(event.regarding.to_string(), event.id());
            let turn = if event.is_own(&world.node) { Duration::ZERO } else { turn::turn(world, &event.name()) };
            reports.insert(subject, Report { says: Says::Event(event), turn });
        }
    }
    reports
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Node(name) => write!(f, "Node/{name}"),
            Subject::Pool(name) => write!(f, "IPPool/{name}"),
            Subject::NodeStatus(name) => write!(f, "CalicoNodeStatus/{name}"),
            Subject::Pod(pod) => write!(f, "Pod/{pod}"),
            Subject::Event(object, id) => write!(f, "Event on {object} ({id:016x})"),
        }
    }
}

/// Not a kind of report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of condition, taint, annotations, events, pools, statuses, pods")]
pub struct UnknownKind(String);

impl FromStr for ReportKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<ReportKind, UnknownKind> {
        let found = ReportKind::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| kind).ok_or_else(|| UnknownKind(text.chars().take(40).collect()))
    }
}

impl ReportKind {
    /// Each with its name on the command line.
    pub const ALL: [(ReportKind, &'static str); 7] = [
        (ReportKind::Condition, "condition"),
        (ReportKind::Taint, "taint"),
        (ReportKind::Annotations, "annotations"),
        (ReportKind::Events, "events"),
        (ReportKind::Pools, "pools"),
        (ReportKind::Statuses, "statuses"),
        (ReportKind::Pods, "pods"),
    ];
}
