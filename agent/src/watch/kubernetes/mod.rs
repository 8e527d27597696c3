//! The API server as the source of objects: the very facts that files would make.
//!
//! Each kind is followed by a task of its own ([`follow`]); what they hear comes together here and becomes facts
//! ([`reading`]). Nothing is taken away because the server is away, and nothing before everything was listed once.

mod definitions;
mod discovery;
mod follow;
pub mod kinds;
mod older;
pub mod reading;
mod sent;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::NodeName;
use tokio::sync::{mpsc, watch as last};
use tokio::task::JoinHandle;

use crate::api_server::{self, ApiServer, reason};
use crate::fact::{ApiServerState, Fact, Source};
use discovery::Discovery;
use follow::{By, Follower, Heard};
use kinds::{KINDS, Part, Watched, When};
use reading::{Feed, Group, Reading};

/// What the feeds may have heard and this has not looked at: more, and they wait.
const HEARD: usize = 256;
/// Failures in a row, without a success between, that mean that the server is away.
const AWAY: u32 = 2;
/// How often a server that is away is looked for.
const LOOK: Duration = Duration::from_secs(3);
/// How long it may take to say that it is back.
const ANSWER: Duration = Duration::from_secs(5);

/// Watches the API server's objects for ever, on its thread, and hands over facts.
pub fn watch(api: &ApiServer, node: &NodeName, facts: mpsc::Sender<Fact>) {
    let (heard, inbox) = mpsc::channel(HEARD);
    let (failed, failures) = mpsc::channel(HEARD);
    // One more failure than fit says nothing new.
    let discovery = Discovery::start(api, move |why| drop(failed.try_send(why)));
    let state = ApiServerState {
        address: api.address().to_string(),
        namespace: api.namespace().to_string(),
        away: Some("no answer yet".into()),
        since: unix_seconds(),
        ..ApiServerState::default()
    };
    let source = Watching {
        api: api.clone(),
        node: node.to_string(),
        facts,
        discovery,
        heard,
        back: last::channel(0).0,
        reading: Reading::default(),
        feeds: BTreeMap::new(),
        in_sync: false,
        failures: 0,
        state,
        told: ApiServerState::default(),
    };
    api.spawn(source.run(inbox, failures));
}

/// A feed, and how far it is.
struct Followed {
    task: JoinHandle<()>,
    listed: bool,
    absent: bool,
    problem: Option<String>,
    /// Its first list is not waited for.
    given_up: bool,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watching {
    api: ApiServer,
    node: String,
    facts: mpsc::Sender<Fact>,
    discovery: Discovery,
    heard: mpsc::Sender<(Feed, Heard)>,
    back: last::Sender<u64>,
    reading: Reading,
    feeds: BTreeMap<Feed, Followed>,
    in_sync: bool,
    failures: u32,
    state: ApiServerState,
    told: ApiServerState,
}

/// The agent is ending.
struct Unheard;

impl Watching {
    async fn run(mut self, mut inbox: mpsc::Receiver<(Feed, Heard)>, mut failures: mpsc::Receiver<String>) {
        let mut batch = Vec::new();
        let mut looking = Box::pin(look(self.api.clone()));
        // Facts out after each turn; the first turn tells that there was no answer yet.
        while self.settle().await.is_ok() {
            let away = self.state.away.is_some();
            tokio::select! {
                _ = inbox.recv_many(&mut batch, HEARD) => {
                    for (feed, heard) in batch.drain(..) {
                        if self.take(&feed, heard).await.is_err() {
                            return;
                        }
                    }
                }
                Some(why) = failures.recv() => self.failed(why),
                answer = &mut looking, if away => {
                    looking = Box::pin(look(self.api.clone()));
                    match answer {
                        Ok(()) => self.answered(),
                        Err(why) => self.failed(why),
                    }
                }
            }
        }
    }

    async fn take(&mut self, feed: &Feed, heard: Heard) -> Result<(), Unheard> {
        // Of a feed that has ended meanwhile.
        let Some(followed) = self.feeds.get_mut(feed) else { return Ok(()) };
        let mut facts = Vec::new();
        match heard {
            Heard::Begin => {
                self.reading.begin(feed);
                return Ok(());
            }
            Heard::Object(value) => facts.extend(self.reading.object(feed, value)),
            Heard::Gone { namespace, name } => facts.extend(self.reading.gone(feed, namespace.as_deref(), &name)),
            Heard::Complete => {
                (followed.listed, followed.absent, followed.problem) = (true, false, None);
                self.reading.feed_problem(feed, None);
                facts = self.reading.complete(feed);
            }
            Heard::Absent => {
                (followed.listed, followed.absent, followed.problem) = (false, true, None);
                facts = self.reading.end(feed);
            }
            Heard::Failed(failure) if failure.by == By::Authorisation => {
                // What only a password needs must not keep the node from service.
                followed.given_up = feed.name.is_some();
                followed.problem = Some(failure.why.clone());
                self.reading.feed_problem(feed, Some(failure.why));
            }
            Heard::Failed(failure) => {
                if !followed.listed {
                    followed.problem = Some(failure.why.clone());
                }
                self.failed(failure.why);
                return Ok(());
            }
        }
        self.answered();
        self.send(facts).await
    }

    /// Does what follows from all that was heard.
    async fn settle(&mut self) -> Result<(), Unheard> {
        let ended = self.follow();
        self.send(ended).await?;
        let problems = self.reading.problems();
        self.send(problems.into_iter().collect()).await?;
        self.state.absent = self.absent();
        self.state.unlisted = self.unlisted();
        if self.state != self.told {
            self.told = self.state.clone();
            self.send(vec![Fact::ApiServer(self.state.clone())]).await?;
        }
        if !self.in_sync && self.state.unlisted.is_empty() {
            self.in_sync = true;
            self.send(vec![Fact::InSync(Source::Objects)]).await?;
        }
        Ok(())
    }

    /// Follows what is needed now and nothing else.
    fn follow(&mut self) -> Vec<Fact> {
        let wanted = self.wanted();
        let ending: Vec<Feed> = self.feeds.keys().filter(|feed| !wanted.contains_key(feed)).cloned().collect();
        let mut facts = Vec::new();
        for feed in ending {
            self.feeds.remove(&feed);
            self.reading.feed_problem(&feed, None);
            facts.extend(self.reading.end(&feed));
        }
        for (feed, row) in wanted {
            if self.feeds.contains_key(&feed) {
                continue;
            }
            let follower = Follower {
                api: self.api.clone(),
                feed: feed.clone(),
                row,
                node: self.node.clone(),
                discovery: self.discovery.clone(),
                heard: self.heard.clone(),
                back: self.back.subscribe(),
            };
            let task = self.api.spawn(follower.run());
            self.feeds.insert(feed, Followed { task, listed: false, absent: false, problem: None, given_up: false });
        }
        facts
    }

    fn wanted(&self) -> BTreeMap<Feed, &'static Watched> {
        let needs = self.reading.needs();
        let mut wanted = BTreeMap::new();
        for row in KINDS {
            let feed = |group, name| Feed { kind: row.kind, part: row.part, group, name };
            if row.part == Part::Named {
                wanted.extend(needs.secrets.iter().map(|name| (feed(Group::Present, Some(name.clone())), row)));
                continue;
            }
            if row.when == When::Needed && !needs.kinds.contains(&row.kind) {
                continue;
            }
            wanted.insert(feed(Group::Present, None), row);
            if row.is_calicos() {
                wanted.insert(feed(Group::Older, None), row);
            }
        }
        wanted
    }

    /// Kinds of ours that no group has.
    fn absent(&self) -> Vec<String> {
        let ours = |kind: &_| kinds::spelled(*kind).0 == kinds::CALICO;
        let kinds: BTreeSet<_> = self.feeds.keys().map(|feed| feed.kind).filter(ours).collect();
        let nowhere = |kind: &_| self.feeds.iter().filter(|(feed, _)| feed.kind == *kind).all(|(_, of)| of.absent);
        kinds.into_iter().filter(nowhere).map(|kind| kind.to_string()).collect()
    }

    /// What has yet to be listed before the objects are known.
    fn unlisted(&self) -> Vec<String> {
        let waited = self.feeds.iter().filter(|(_, of)| !of.listed && !of.absent && !of.given_up);
        let named = |(feed, of): (&Feed, &Followed)| {
            let what = match (&feed.name, feed.group) {
                (Some(name), _) => format!("{}/{name}", feed.kind),
                (None, Group::Older) => format!("{} of {}", feed.kind, kinds::OLDER),
                (None, Group::Present) if feed.part == Part::Elsewhere => format!("{} of other nodes", feed.kind),
                (None, Group::Present) => feed.kind.to_string(),
            };
            of.problem.as_ref().map_or(what.clone(), |why| format!("{what} ({why})"))
        };
        waited.map(named).collect()
    }

    fn answered(&mut self) {
        self.failures = 0;
        if let Some(why) = self.state.away.take() {
            tracing::info!(address = %self.state.address, was = %why, "the API server answers");
            self.state.since = unix_seconds();
            self.back.send_modify(|times| *times += 1);
        }
    }

    fn failed(&mut self, why: String) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.state.away {
            Some(before) => *before = why,
            None if self.failures >= AWAY => {
                tracing::warn!(address = %self.state.address, %why, "the API server is away; the objects stay as they are");
                self.state.away = Some(why);
                self.state.since = unix_seconds();
            }
            None => tracing::debug!(%why, "a request to the API server failed"),
        }
    }

    async fn send(&self, facts: Vec<Fact>) -> Result<(), Unheard> {
        for fact in facts {
            self.facts.send(fact).await.map_err(|_| Unheard)?;
        }
        Ok(())
    }
}

/// Looks, after a while, whether the server is back.
async fn look(api: ApiServer) -> Result<(), String> {
    tokio::time::sleep(LOOK + api_server::part(LOOK)).await;
    let client = api.client();
    match tokio::time::timeout(ANSWER, api_server::ask(&client, "/readyz")).await {
        Err(_) => Err("no answer".into()),
        // It answers, if only that this is not for us to know.
        Ok(Err(kube::Error::Api(status))) if [403, 404].contains(&status.code) => Ok(()),
        // What it says more is a list of all that is well.
        Ok(Err(kube::Error::Api(status))) if status.code >= 500 => Err(format!("not ready ({})", status.code)),
        Ok(Err(error)) => Err(reason(&error)),
        Ok(Ok(())) => Ok(()),
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
