//! Hears of CustomResourceDefinitions that come, change or go, so that a kind is read as soon as it is there: a policy
//! that was created right after its kind must not wait until somebody looks.
//!
//! Only a hint: what the server has is what discovery says of it, which also knows of kinds that another API server
//! serves and that have no definition. An agent that may not watch definitions finds what is new by looking, later.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Resource};

use super::follow::{PAGE, REFUSALS, failure, status};
use super::kinds::resource;
use super::sent::{MetadataOnly, Sent};
use crate::api_server::{self, ApiServer};

const VERSION: &str = "apiextensions.k8s.io/v1";
/// How soon a server that does not let us watch definitions is asked again.
const REFUSED: Duration = Duration::from_secs(300);

/// Calls `changed` with the group of each definition that was created, changed or deleted, for ever; at the beginning, and
/// where the server no longer knows what we have seen, with those of all that are there.
pub(super) async fn follow(api: ApiServer, changed: impl Fn(&str)) {
    let mut patience = Patience::default();
    loop {
        let error = stream(&api, &changed, &mut patience).await;
        match status(&error) {
            Some(401) => api.renew().await,
            Some(403 | 404) => {
                patience.refusals += 1;
                if patience.refusals == REFUSALS {
                    let why = failure(&error).why;
                    tracing::info!(%why, "definitions can't be watched: kinds that come later are noticed by looking");
                }
                // A server that has just begun may say so too, once.
                if patience.refusals >= REFUSALS {
                    tokio::time::sleep(REFUSED + api_server::part(REFUSED)).await;
                }
            }
            _ => {}
        }
        patience.pause().await;
    }
}

/// Lists and watches until that fails in a way that only a new list helps. A connection that is lost goes on where it was.
async fn stream(api: &ApiServer, changed: &impl Fn(&str), patience: &mut Patience) -> watcher::Error {
    let resource = resource(VERSION, "CustomResourceDefinition", "customresourcedefinitions");
    let definitions: Api<Sent<MetadataOnly>> = Api::all_with(api.client(), &resource);
    let mut events = pin!(watcher(definitions, watcher::Config::default().page_size(PAGE)));
    let mut refused = 0;
    loop {
        match events.next().await {
            // A list begins: that says nothing yet about how it will go.
            Some(Ok(Event::Init)) => continue,
            // It never ends by itself.
            None => std::future::pending::<()>().await,
            Some(Ok(Event::InitDone)) => {}
            Some(Ok(Event::InitApply(definition) | Event::Apply(definition) | Event::Delete(definition))) => {
                definition.meta().name.as_deref().and_then(group).into_iter().for_each(changed);
            }
            Some(Err(error)) => {
                let status = status(&error);
                let refusal = matches!(error, watcher::Error::WatchStartFailed(_)) && status.is_some();
                refused += u32::from(refusal);
                if refused > REFUSALS || (refusal && status == Some(410)) || matches!(status, Some(401 | 403 | 404)) {
                    return error;
                }
                patience.pause().await;
                continue;
            }
        }
        refused = 0;
        *patience = Patience::default();
    }
}

/// How a server that does not answer is asked again.
#[derive(Default)]
struct Patience {
    backoff: DefaultBackoff,
    /// How often, one after the other, it has said that we may not, or that there is no such thing.
    refusals: u32,
}

impl Patience {
    async fn pause(&mut self) {
        tokio::time::sleep(self.backoff.next().unwrap_or(api_server::RENEWAL)).await;
    }
}

/// A definition is named after what it defines: `plural.group`.
fn group(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, group)| group)
}
