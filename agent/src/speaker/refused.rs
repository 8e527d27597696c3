//! Connections refused at the door: counted all, logged some.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::warn;

/// One line of log in so long.
const QUIET: Duration = Duration::from_secs(10);

/// Counts refusals. A scanner must not fill the disk.
#[derive(Debug, Default)]
pub(super) struct Refused {
    total: AtomicU64,
    unsaid: Mutex<Unsaid>,
}

#[derive(Debug, Default)]
struct Unsaid {
    said_at: Option<Instant>,
    count: u64,
    last: Option<(IpAddr, String)>,
}

impl Refused {
    /// Counts one.
    pub(super) fn count(&self, from: IpAddr, why: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.count += 1;
        unsaid.last = Some((from, why.to_string()));
        say(&mut unsaid);
    }

    /// Says what is left unsaid, once it may.
    pub(super) fn report(&self) {
        say(&mut self.unsaid.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether there is something left unsaid.
    pub(super) fn is_holding_back(&self) -> bool {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner).last.is_some()
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

fn say(unsaid: &mut Unsaid) {
    let quiet = unsaid.said_at.is_some_and(|at| at.elapsed() < QUIET);
    if quiet {
        return;
    }
    let Some((from, why)) = unsaid.last.take() else { return };
    warn!(%from, why, connections = unsaid.count, "connection refused");
    *unsaid = Unsaid { said_at: Some(Instant::now()), count: 0, last: None };
}
