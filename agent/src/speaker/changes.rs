//! What the speaker believes, on its way up to the reconcile loop: the latest state of each key, however slow the reader.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bgp::PeerKey;
use bgp::speaker::{PeerChange, RouteChange};
use hashbrown::{HashMap, HashSet};
use model::Prefix;
use tokio::sync::Notify;

/// What happened since the last look. Bounded by the number of prefixes and peers, however much happened.
#[derive(Debug, Default)]
pub struct Batch {
    /// Changes in order: of one prefix the last one counts.
    pub routes: Vec<RouteChange>,
    /// The latest change of each peer, in no order.
    pub peers: Vec<PeerChange>,
    /// After these routes the speaker is in sync; said once.
    pub in_sync: bool,
}

/// So many changes wait before those are looked for that a later one has made void. A reader that keeps up takes them
/// before, and nothing is ever looked up.
const ROOM: usize = 1 << 16;

#[derive(Debug, Default)]
struct Waiting {
    /// Not more than twice as many as there are prefixes among them, or [`ROOM`].
    routes: Vec<RouteChange>,
    /// How many were left when they were thinned out last.
    thinned: usize,
    peers: HashMap<PeerKey, PeerChange>,
    in_sync: bool,
}

impl Waiting {
    fn route(&mut self, change: RouteChange) {
        self.routes.push(change);
        if self.routes.len() >= ROOM.max(2 * self.thinned) {
            self.thin_out();
        }
    }

    /// Keeps the last change of each prefix.
    fn thin_out(&mut self) {
        let mut seen: HashSet<Prefix> = HashSet::with_capacity(self.routes.len());
        self.routes.reverse();
        self.routes.retain(|change| seen.insert(change.prefix));
        self.routes.reverse();
        self.thinned = self.routes.len();
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.peers.is_empty() && !self.in_sync
    }
}

/// One writer, one reader, and between them what the reader has not yet seen.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Changes {
    pub(super) fn route(&self, change: RouteChange) {
        self.lock().route(change);
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
                    let Waiting { routes, peers, in_sync, .. } = std::mem::take(&mut *waiting);
                    return Batch { routes, peers: peers.into_values().collect(), in_sync };
                }
            }
            filled.await;
        }
    }

    /// Whole even if a writer panicked: nothing can fail between the beginning and the end of a change.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bgp::speaker::{Best, NextHop};

    fn change(n: u32, best: Option<Best>) -> RouteChange {
        let address = std::net::Ipv4Addr::from_bits(n << 8);
        RouteChange { prefix: Prefix::new(address.into(), 24).expect("a prefix"), best }
    }

    fn best() -> Option<Best> {
        let address = std::net::IpAddr::from([10, 0, 0, 1]);
        let hop = NextHop { address, link_local: None, peer: PeerKey::new(address) };
        Some(Best { next_hops: vec![hop].into(), reason: bgp::rib::Reason::OnlyPath })
    }

    #[tokio::test]
    async fn the_last_change_of_a_prefix_is_seen_last() {
        let changes = Changes::default();
        changes.route(change(1, None));
        changes.route(change(2, None));
        changes.route(change(1, best()));
        changes.in_sync();
        changes.flush();
        let batch = changes.next().await;
        assert_eq!(batch.routes.last(), Some(&change(1, best())));
        assert!(batch.in_sync);
        tokio::select! {
            biased;
            batch = changes.next() => panic!("nothing is new: {batch:?}"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn however_much_happens_to_few_prefixes_little_waits_for_a_slow_reader() {
        let changes = Changes::default();
        let rounds = 4 * ROOM as u32 / 1000;
        for round in 0..=rounds {
            let last = if round == rounds { best() } else { None };
            (0..1000).for_each(|n| changes.route(change(n, last.clone())));
        }
        changes.flush();
        let batch = changes.next().await;
        assert!(batch.routes.len() <= ROOM, "{} changes wait", batch.routes.len());
        let latest: HashMap<Prefix, RouteChange> = batch.routes.into_iter().map(|c| (c.prefix, c)).collect();
        assert_eq!(latest.len(), 1000);
        assert!(latest.values().all(|change| change.best == best()));
    }
}
