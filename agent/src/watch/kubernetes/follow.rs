//! One feed: lists, then watches, for ever, and tells what it hears.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Resource};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::discovery::Discovery;
use super::kinds::{OLDER, Part, Watched, older, resource, spelled};
use super::reading::{Feed, Group};
use super::sent::{Extent, MetadataOnly, Outline, Sent, Whole};
use crate::api_server::{self, ApiServer, reason};

/// Objects in one page of a list: what is in memory at a time.
pub(super) const PAGE: u32 = 100;
/// A version that the server refuses so often to watch from is given up, and all is listed anew.
pub(super) const REFUSALS: u32 = 3;
/// A server that is back is not asked by all feeds at once, but within this time.
const SPREAD: Duration = Duration::from_secs(3);
/// How long to wait before asking for a kind that the server says it has and has not.
const AGAIN: Duration = Duration::from_secs(1);

/// What a feed hears.
#[derive(Debug)]
pub enum Heard {
    /// A list begins.
    Begin,
    /// The list is complete.
    Complete,
    /// An object as it is now.
    Object(Value),
    /// An object is gone.
    Gone {
        /// `metadata.namespace`.
        namespace: Option<String>,
        /// `metadata.name`.
        name: String,
    },
    /// The server does not know the kind.
    Absent,
    /// No answer, or none that helps.
    Failed(Failure),
}

/// Why a feed hears nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub why: String,
    /// Whose doing it is.
    pub by: By,
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The server can't be reached, or is not itself.
    Silence,
    /// We may not (403).
    Authorisation,
}

/// A task that follows a feed.
pub(super) struct Follower {
    pub(super) api: ApiServer,
    pub(super) feed: Feed,
    pub(super) row: &'static Watched,
    pub(super) node: String,
    pub(super) discovery: Discovery,
    pub(super) heard: mpsc::Sender<(Feed, Heard)>,
    /// Changes when the server is back after it was away: no need to wait any longer.
    pub(super) back: watch::Receiver<u64>,
}

/// Why a stream of events ended.
enum Ended {
    /// The server does not know the kind.
    Missing,
    /// It has to be begun anew.
    Anew,
    /// Nobody listens.
    Unheard,
}

impl Follower {
    pub(super) async fn run(mut self) {
        loop {
            if self.row.may_be_absent() && !self.until_there().await {
                return;
            }
            let ended = match self.row.part {
                Part::Metadata => self.stream::<MetadataOnly>().await,
                Part::Elsewhere => self.stream::<Outline>().await,
                Part::Whole | Part::OfThisNode | Part::Named => self.stream::<Whole>().await,
            };
            match ended {
                Ended::Unheard => return,
                Ended::Missing => {
                    self.discovery.look_again(self.version());
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Anew => {}
            }
        }
    }

    /// Waits until the server knows the kind. False if nobody listens any more.
    async fn until_there(&self) -> bool {
        let (_, plural) = self.name();
        let Some(mut presence) = self.discovery.of(self.version()) else { return false };
        loop {
            let has = presence.borrow_and_update().has(plural);
            match has {
                Some(true) => return true,
                Some(false) if !self.tell(Heard::Absent).await => return false,
                _ => {}
            }
            if presence.changed().await.is_err() {
                return false;
            }
        }
    }

    async fn stream<E: Extent>(&mut self) -> Ended {
        let (kind, plural) = self.name();
        let resource = resource(self.version(), kind, plural);
        let client = self.api.client();
        let config = watcher::Config::default().page_size(PAGE);
        let (api, config): (Api<Sent<E>>, _) = match &self.feed.name {
            Some(name) => {
                let namespaced = Api::namespaced_with(client, self.api.namespace(), &resource);
                (namespaced, config.fields(&format!("metadata.name={name}")))
            }
            None => {
                let api = Api::all_with(client, &resource);
                match self.row.part {
                    Part::OfThisNode => (api, config.fields(&format!("spec.nodeName={}", self.node))),
                    Part::Elsewhere => (api, config.fields(&elsewhere(&self.node))),
                    Part::Whole | Part::Metadata | Part::Named => (api, config),
                }
            }
        };
        let mut events = pin!(watcher(api, config));
        let mut backoff = DefaultBackoff::default();
        let mut refusals = 0;
        while let Some(event) = events.next().await {
            let heard = match event {
                Ok(Event::Init) => Heard::Begin,
                Ok(Event::InitDone) => Heard::Complete,
                Ok(Event::InitApply(object) | Event::Apply(object)) => Heard::Object(object.value),
                Ok(Event::Delete(object)) => {
                    let meta = object.meta();
                    Heard::Gone { namespace: meta.namespace.clone(), name: meta.name.clone().unwrap_or_default() }
                }
                Err(error) => {
                    let status = status(&error);
                    if status == Some(404) {
                        return Ended::Missing;
                    }
                    if status == Some(401) {
                        self.api.renew().await;
                    }
                    let refused = matches!(error, watcher::Error::WatchStartFailed(_)) && status.is_some();
                    refusals += u32::from(refused);
                    let anew = status == Some(401) || refusals > REFUSALS || (refused && status == Some(410));
                    // A version that is too old says nothing about the server: it is listed anew.
                    if status != Some(410) && !self.tell(Heard::Failed(failure(&error))).await {
                        return Ended::Unheard;
                    }
                    self.pause(&mut backoff).await;
                    if anew {
                        return Ended::Anew;
                    }
                    continue;
                }
            };
            if !matches!(heard, Heard::Begin) {
                refusals = 0;
                backoff.reset();
            }
            if !self.tell(heard).await {
                return Ended::Unheard;
            }
        }
        Ended::Anew
    }

    /// Waits a growing time, or until the server is back: then it deserves new patience.
    async fn pause(&mut self, backoff: &mut DefaultBackoff) {
        let wait = backoff.next().unwrap_or(api_server::RENEWAL);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = self.back.changed() => {
                backoff.reset();
                tokio::time::sleep(api_server::part(SPREAD)).await;
            }
        }
    }

    async fn tell(&self, heard: Heard) -> bool {
        self.heard.send((self.feed.clone(), heard)).await.is_ok()
    }

    /// The feed's group and version.
    fn version(&self) -> &'static str {
        if self.feed.group == Group::Older { OLDER } else { spelled(self.feed.kind).0 }
    }

    /// Kind and plural in the feed's group.
    fn name(&self) -> (&'static str, &'static str) {
        match self.feed.group {
            Group::Present => (spelled(self.feed.kind).1, self.row.plural),
            Group::Older => older(self.row),
        }
    }
}

/// Chooses pods of other nodes that live: those without a node have no address, those that have ended no more.
fn elsewhere(node: &str) -> String {
    format!("spec.nodeName!={node},spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed")
}

/// The server's status code, where it answered.
pub(super) fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

pub(super) fn failure(error: &watcher::Error) -> Failure {
    let by = if status(error) == Some(403) { By::Authorisation } else { By::Silence };
    let why = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => reason(error),
        watcher::Error::WatchError(status) => reason(&kube::Error::Api(status.clone())),
        watcher::Error::NoResourceVersion => "the server sends objects without a version".into(),
    };
    Failure { why, by }
}
