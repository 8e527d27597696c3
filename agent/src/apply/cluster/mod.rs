//! The hand that says things to the API: it lays each report beside what the API has and writes the difference.
//!
//! One request at a time, each with a bound in time; the rate is bounded, and failures are tried again ever more seldom
//! ([`agenda`]). No loop of the agent waits for it.

pub mod agenda;
pub mod difference;
mod event;
mod resource;
mod talk;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::api::show::{ReportState, ReportView};
use model::object::{Kind, ObjectKey, StatusClass};
use model::{NodeName, Time};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::agenda::{Agenda, Item, Outcome};
use self::difference::{Change, Difference, OwnedByAnother, Part, Patch};
use self::talk::Refused;
use crate::api_server::ApiServer;
use crate::plan::report::{self, Allocatable, Event, NodeReport, PodReport, Reports, Says, Subject, Survey};

/// A CalicoNodeStatus that says what it said is written again all the same, so that its reader sees that it is fresh.
const FRESH: Duration = Duration::from_secs(60);

/// Whom the hand asks what it is to write, and tells how it stands.
pub trait Witness: Send + Sync + 'static {
    /// How the node is: none if a loop of the agent does not answer.
    fn survey(&self) -> impl Future<Output = Option<Survey>> + Send;
    /// How the reports stand now.
    fn stand(&self, reports: Vec<ReportView>);
}

/// Starts the hand on the API server's thread. It ends when nobody plans reports any more.
pub fn start(server: &ApiServer, node: NodeName, reports: watch::Receiver<Reports>, witness: impl Witness) {
    let hand = Hand {
        server: server.clone(),
        node,
        witness,
        agenda: Agenda::default(),
        born: Instant::now(),
        statuses: BTreeMap::new(),
        said: BTreeMap::new(),
    };
    server.spawn(hand.run(reports));
}

/// Says that margay has gone from a node, and takes back its annotations.
///
/// # Errors
/// What the API server does not take, in a few words for a person. A Node that is not there is none.
pub async fn say_farewell(server: &ApiServer, node: &NodeName) -> Result<(), String> {
    match say_node(server, node, &report::farewell()).await {
        Outcome::Failed(problem) => Err(problem),
        _ => Ok(()),
    }
}

struct Hand<W> {
    server: ApiServer,
    node: NodeName,
    witness: W,
    agenda: Agenda,
    born: Instant,
    /// What was written into CalicoNodeStatuses, and when.
    statuses: BTreeMap<String, (Value, Time)>,
    /// How often this node has said an event.
    said: BTreeMap<Subject, u32>,
}

impl<W: Witness> Hand<W> {
    async fn run(mut self, mut reports: watch::Receiver<Reports>) {
        loop {
            let wanted = reports.borrow_and_update().clone();
            self.agenda.want(&wanted, self.now(), unix_seconds());
            self.statuses.retain(|name, _| wanted.contains_key(&Subject::NodeStatus(name.clone())));
            self.said.retain(|subject, _| wanted.contains_key(subject));
            if let Some(item) = self.agenda.next(self.now()) {
                let outcome = self.say(&item).await;
                if let Outcome::Failed(problem) = &outcome {
                    tracing::debug!(subject = %item.subject, %problem, "not said to the API");
                }
                if let Outcome::Written(what) = &outcome {
                    tracing::debug!(subject = %item.subject, what, "said to the API");
                }
                self.agenda.done(&item, outcome, self.now(), unix_seconds());
                self.witness.stand(self.agenda.view(moment));
                continue;
            }
            self.witness.stand(self.agenda.view(moment));
            let deadline = self.agenda.deadline().map(|at| self.born + at.since(Time::START));
            tokio::select! {
                changed = reports.changed() => if changed.is_err() { return },
                () = until(deadline) => {}
            }
        }
    }

    async fn say(&mut self, item: &Item) -> Outcome {
        match (&item.subject, &item.says) {
            (Subject::Node(name), Says::Node(report)) => say_node(&self.server, name, report).await,
            (Subject::Pool(name), Says::Pool(report)) => self.say_pool(name, report).await,
            (Subject::NodeStatus(name), Says::NodeStatus { classes, .. }) => self.say_status(name, classes).await,
            (Subject::Pod(pod), Says::Pod(report)) => {
                let key = ObjectKey { kind: Kind::Pod, namespace: Some(pod.namespace.clone()), name: pod.name.clone() };
                self.say_pod(&key, report).await
            }
            (subject, Says::Event(event)) => self.say_event(subject, event, item.again).await,
            (subject, _) => Outcome::Failed(format!("{subject} is not what this is about")),
        }
    }

    async fn say_pool(&self, name: &str, report: &Allocatable) -> Outcome {
        let key = ObjectKey { kind: Kind::IpPool, namespace: None, name: name.into() };
        write(&self.server, &key, |found| difference::pool(found, report, &now_text())).await
    }

    async fn say_pod(&self, key: &ObjectKey, report: &PodReport) -> Outcome {
        // Which of its annotations differ the Pod's own object has told already. Never another pod of the same name.
        let body = json!({ "metadata": { "uid": report.uid, "annotations": report.annotations } });
        let what =
            report.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
        let change = Change { what: what.clone(), patch: Patch::Merge { part: Part::Status, body } };
        match talk::change(&self.server, &resource::collection(key), &key.name, &change).await {
            Ok(_) => Outcome::Written(what),
            Err(Refused::NotThere | Refused::Conflict(_)) => Outcome::AsWanted("the pod is gone".into()),
            Err(refused) => Outcome::Failed(refused.to_string()),
        }
    }

    async fn say_status(&mut self, name: &str, classes: &[StatusClass]) -> Outcome {
        let Some(survey) = self.witness.survey().await else {
            return Outcome::Failed("a loop of the agent does not answer".into());
        };
        let mut status = report::status(classes, &survey, "");
        let now = self.now();
        let fresh = |(said, at): &(Value, Time)| *said == status && now.since(*at) < FRESH;
        if self.statuses.get(name).is_some_and(fresh) {
            return Outcome::AsWanted("as it was a moment ago".into());
        }
        let said = status.clone();
        status["lastUpdated"] = json!(now_text());
        let key = ObjectKey { kind: Kind::CalicoNodeStatus, namespace: None, name: name.into() };
        let (api_version, kind) = resource::spelled(key.kind);
        let body = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "status": status });
        let patch = Patch::Apply { part: Part::Status, owned_by_another: OwnedByAnother::Taken, body };
        let change = Change { what: "status".into(), patch };
        match talk::change(&self.server, &resource::collection(&key), name, &change).await {
            Ok(_) => {
                self.statuses.insert(name.into(), (said, now));
                Outcome::Written("status".into())
            }
            Err(refused) => Outcome::Failed(refused.to_string()),
        }
    }

    async fn say_event(&mut self, subject: &Subject, event: &Event, again: bool) -> Outcome {
        let key = &event.regarding.key;
        let found = match talk::metadata(&self.server, &resource::collection(key), &key.name).await {
            Ok(found) => found,
            Err(Refused::NotThere) => return Outcome::AsWanted("the object is gone".into()),
            Err(refused) => return Outcome::Failed(refused.to_string()),
        };
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default();
        let place = event::place(event, uid);
        let collection = format!("/apis/events.k8s.io/v1/namespaces/{}/events", place.namespace);
        if again {
            let count = self.said.get(subject).map_or(2, |count| count.saturating_add(1));
            let patch = Patch::Merge { part: Part::Whole, body: event::series(count, &now_text()) };
            let change = Change { what: "series".into(), patch };
            match talk::change(&self.server, &collection, &place.name, &change).await {
                Ok(_) => {
                    self.said.insert(subject.clone(), count);
                    return Outcome::Written(event.note.clone());
                }
                // The API server has dropped it, or the object was made anew.
                Err(Refused::NotThere) => {}
                Err(refused) => return Outcome::Failed(refused.to_string()),
            }
        }
        let body = event::new(event, uid, &place, &self.node, &now_text());
        match talk::create(&self.server, &collection, &body).await {
            Ok(_) => {
                self.said.insert(subject.clone(), 1);
                Outcome::Written(event.note.clone())
            }
            Err(Refused::Conflict(_)) => Outcome::AsWanted(format!("{} (said by another node)", event.note)),
            // Its namespace is being deleted, and the object with it.
            Err(Refused::NotThere) => Outcome::AsWanted("its namespace is gone".into()),
            Err(refused) => Outcome::Failed(refused.to_string()),
        }
    }

    fn now(&self) -> Time {
        Time::START + self.born.elapsed()
    }
}

async fn say_node(server: &ApiServer, name: &NodeName, report: &NodeReport) -> Outcome {
    let key = ObjectKey { kind: Kind::Node, namespace: None, name: name.to_string() };
    write(server, &key, |found| difference::node(found, report, &now_text())).await
}

/// Reads an object, and makes the changes that it lacks.
async fn write(server: &ApiServer, key: &ObjectKey, lacks: impl Fn(&Value) -> Difference) -> Outcome {
    let collection = resource::collection(key);
    let found = match talk::get(server, &collection, &key.name).await {
        Ok(found) => found,
        Err(Refused::NotThere) => return Outcome::AsWanted("it is not there".into()),
        Err(refused) => return Outcome::Failed(refused.to_string()),
    };
    let Difference { changes, mut anothers } = lacks(&found);
    let mut written = Vec::new();
    let mut failed = Vec::new();
    for change in changes {
        match talk::change(server, &collection, &key.name, &change).await {
            Ok(_) => written.push(change.what),
            Err(Refused::Conflict(reason)) if change.respects_others() => anothers.push(reason),
            Err(refused) => failed.push(format!("{}: {refused}", change.what)),
        }
    }
    if !failed.is_empty() {
        return Outcome::Failed(failed.join("; "));
    }
    match (written.is_empty(), anothers.is_empty()) {
        (_, false) => Outcome::Anothers(anothers.join("; ")),
        (true, true) => Outcome::AsWanted(String::new()),
        (false, true) => Outcome::Written(written.join("; ")),
    }
}

/// What of the reports a person has to hear of, one sentence each.
pub fn problems(reports: &[ReportView]) -> Vec<String> {
    let failed = reports.iter().filter(|report| report.state == ReportState::Failed);
    let mut problems: Vec<String> =
        failed.map(|report| format!("the API is not told: {}: {}", report.report, report.info)).collect();
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    if more > 0 {
        problems.truncate(MOST_PROBLEMS);
        problems.push(format!("the API is not told {more} things more"));
    }
    problems
}

/// The most failures that are told one by one.
const MOST_PROBLEMS: usize = 5;

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Now, as the API writes a moment: RFC 3339 in UTC with microseconds.
fn now_text() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Seconds since the Unix epoch, as text.
fn moment(unix_seconds: u64) -> String {
    let second = i64::try_from(unix_seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    second.map(|t| t.to_string()).unwrap_or_default()
}
