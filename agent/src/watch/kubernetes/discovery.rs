//! Which kinds the API server knows of groups that may be absent, and may come or go later: Calico's two, and that of
//! ClusterNetworkPolicy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, watch};

use super::definitions;
use super::kinds::{CALICO, CLUSTER_POLICY, OLDER};
use crate::api_server::{self, ApiServer, reason};

/// How soon a group is looked for again when nobody announces a change: the time doubles from the one to the other.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(60);
/// The longest time between two looks until the server has answered once.
const FIRST: Duration = Duration::from_secs(4);
/// For a group that most clusters do not have.
const LATE_OLDER: Duration = Duration::from_secs(300);
/// What all agents are told of at once they do not ask for at once, but within this time.
const SPREAD: Duration = Duration::from_secs(3);
/// What was there is believed to be gone only if it still is after this time.
const CONFIRMED: Duration = Duration::from_secs(5);

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The server has not been asked with success.
    Unknown,
    /// It has no such group.
    Absent,
    /// It has these resources, by their plural.
    Present(BTreeSet<String>),
}

impl Presence {
    /// Whether a resource is there; None if that is not known.
    pub fn has(&self, plural: &str) -> Option<bool> {
        match self {
            Presence::Unknown => None,
            Presence::Absent => Some(false),
            Presence::Present(plurals) => Some(plurals.contains(plural)),
        }
    }
}

/// All groups by group and version, each looked for by a task of its own.
#[derive(Debug, Clone)]
pub struct Discovery {
    groups: BTreeMap<&'static str, (watch::Receiver<Presence>, Arc<Notify>)>,
}

impl Discovery {
    /// Begins to look. Failures go to `failed`.
    pub fn start(api: &ApiServer, failed: impl Fn(String) + Clone + Send + Sync + 'static) -> Discovery {
        let begin = |version: &'static str| {
            let (told, presence) = watch::channel(Presence::Unknown);
            let again = Arc::new(Notify::new());
            let looking = Looking { api: api.clone(), version, told, again: again.clone() };
            api.spawn(looking.run(failed.clone()));
            (version, (presence, again))
        };
        let discovery = Discovery { groups: [CALICO, OLDER, CLUSTER_POLICY].map(begin).into_iter().collect() };
        api.spawn(definitions::follow(api.clone(), discovery.announcements()));
        discovery
    }

    /// What is to be called when something has changed in a group, whichever version it has.
    fn announcements(&self) -> impl Fn(&str) + Send + use<> {
        let of_group = |(version, (_, again)): (&&'static str, &(_, Arc<Notify>))| {
            version.split_once('/').map(|(group, _)| (group, again.clone()))
        };
        let groups: Vec<(&str, Arc<Notify>)> = self.groups.iter().filter_map(of_group).collect();
        move |changed| groups.iter().filter(|(group, _)| *group == changed).for_each(|(_, again)| again.notify_one())
    }

    /// What is known of a group, now and later.
    pub fn of(&self, version: &str) -> Option<watch::Receiver<Presence>> {
        self.groups.get(version).map(|(presence, _)| presence.clone())
    }

    /// Somebody was told that a resource is not there.
    pub fn look_again(&self, version: &str) {
        self.groups.get(version).into_iter().for_each(|(_, again)| again.notify_one());
    }
}

struct Looking {
    api: ApiServer,
    version: &'static str,
    told: watch::Sender<Presence>,
    again: Arc<Notify>,
}

impl Looking {
    async fn run(self, failed: impl Fn(String) + Send) {
        let latest = if self.version == OLDER { LATE_OLDER } else { LATE };
        let mut wait = SOON;
        // Something that was there is missing now; it has to be so twice.
        let mut doubted = false;
        while !self.told.is_closed() {
            match self.look().await {
                Ok(found) => {
                    let loses = match (&*self.told.borrow(), &found) {
                        (Presence::Present(before), Presence::Present(now)) => !before.is_subset(now),
                        (Presence::Present(_), _) => true,
                        _ => false,
                    };
                    if loses && !doubted {
                        doubted = true;
                        tokio::time::sleep(CONFIRMED).await;
                        continue;
                    }
                    doubted = false;
                    let new = *self.told.borrow() != found;
                    if new {
                        wait = SOON;
                        self.told.send_replace(found);
                    }
                }
                Err(error) => {
                    doubted = false;
                    if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                        self.api.renew().await;
                    }
                    failed(reason(&error));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait + api_server::part(wait)) => {
                    // Everything waits for the first answer.
                    let most = if *self.told.borrow() == Presence::Unknown { FIRST } else { latest };
                    wait = (wait * 2).min(most);
                }
                () = self.again.notified() => {
                    // What was defined a moment ago may not be served yet.
                    wait = SOON;
                    tokio::time::sleep(SOON + api_server::part(SPREAD)).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<Presence, kube::Error> {
        let client = self.api.client();
        match self.list(&client).await? {
            Presence::Absent => {}
            found => return Ok(found),
        }
        // A server that has just begun does not know yet what it has: only what it says after it was ready counts.
        match api_server::ask(&client, "/readyz").await {
            Err(kube::Error::Api(status)) if [403, 404].contains(&status.code) => {}
            other => other?,
        }
        self.list(&client).await
    }

    async fn list(&self, client: &Client) -> Result<Presence, kube::Error> {
        match client.list_api_group_resources(self.version).await {
            Ok(list) => Ok(Presence::Present(list.resources.into_iter().map(|resource| resource.name).collect())),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Presence::Absent),
            Err(error) => Err(error),
        }
    }
}
