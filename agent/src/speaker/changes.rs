//! What the speaker believes, on its way up to the reconcile loop: the latest state of each key, however slow the reader.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bgp::PeerKey;
use bgp::speaker::{PeerChange, RouteChange};
use hashbrown::HashMap;
use model::Prefix;
use tokio::sync::Notify;

/// What happened since the last look. As long as the number of prefixes and peers, however much happened.
#[derive(Debug, Default)]
pub struct Batch {
    /// The latest change of each prefix, in no order.
    pub routes: Vec<RouteChange>,
    /// The latest change of each peer, in no order.
    pub peers: Vec<PeerChange>,
    /// After these routes the speaker is in sync; said once.
    pub in_sync: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    routes: HashMap<Prefix, RouteChange>,
    peers: HashMap<PeerKey, PeerChange>,
    in_sync: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.peers.is_empty() && !self.in_sync
    }
}

/// One writer, one reader, and a map between them in which a newer change replaces an older one.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Changes {
    pub(super) fn route(&self, change: RouteChange) {
        self.lock().routes.insert(change.prefix, change);
    }
    pub(super) fn peer(&self, change: PeerChange) {
        self.lock().peers.insert(change.peer, change);
    }
    pub(super) fn in_sync(&self) {
        self.lock().in_sync = true;
    }
    /// Wakes the reader, if there is something for it.
    pub(super) fn flush(&self) {
        if !self.lock().is_empty() {
            self.filled.notify_one();
        }
    }

    /// What is new, as soon as something is. Cancel-safe: what was not returned is still there.
    pub(super) async fn next(&self) -> Batch {
        loop {
            let filled = self.filled.notified();
            {
                let mut waiting = self.lock();
                if !waiting.is_empty() {
                    let Waiting { routes, peers, in_sync } = std::mem::take(&mut *waiting);
                    let (routes, peers) = (routes.into_values().collect(), peers.into_values().collect());
                    return Batch { routes, peers, in_sync };
                }
            }
            filled.await;
        }
    }

    /// The map is whole even if a writer panicked: each change is one insertion.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_sees_the_latest_change_of_each_prefix_once() {
        let changes = Changes::default();
        let prefixes: Vec<Prefix> =
            ["10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/24"].iter().map(|p| p.parse().expect("a prefix")).collect();
        for prefix in prefixes {
            changes.route(RouteChange { prefix, best: None });
        }
        changes.in_sync();
        changes.flush();
        let batch = changes.next().await;
        assert_eq!((batch.routes.len(), batch.in_sync), (2, true));
        tokio::select! {
            biased;
            batch = changes.next() => panic!("nothing is new: {batch:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}
