//! Routes that the kernel would not take: remembered with the reason, and tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dataplane::want::RouteKey;
use model::Time;

/// The first pause before a failed step is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What failed, and when it is tried again.
#[derive(Debug, Default)]
pub struct Bench {
    failed: BTreeMap<RouteKey, Failed>,
    held: BTreeMap<RouteKey, String>,
}

#[derive(Debug)]
struct Failed {
    reason: String,
    tries: u32,
    again: Time,
}

impl Bench {
    /// A step failed.
    pub fn failed(&mut self, place: RouteKey, reason: String, now: Time) {
        let tries = self.failed.get(&place).map_or(0, |f| f.tries) + 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
        self.failed.insert(place, Failed { reason, tries, again: now + pause });
    }

    /// Another's route holds the place; an event will tell when it goes.
    pub fn held(&mut self, place: RouteKey, reason: String) {
        self.held.insert(place, reason);
    }

    /// The place is as it should be, or nothing is wanted there any more.
    pub fn clear(&mut self, place: &RouteKey) {
        self.failed.remove(place);
        self.held.remove(place);
    }

    /// Why the place is not as it should be.
    pub fn reason(&self, place: &RouteKey) -> Option<&str> {
        self.failed.get(place).map(|f| f.reason.as_str()).or_else(|| self.held.get(place).map(String::as_str))
    }

    /// When the next try is due.
    pub fn deadline(&self) -> Option<Time> {
        self.failed.values().map(|f| f.again).min()
    }

    /// Which places to try again by now.
    pub fn due(&self, now: Time) -> BTreeSet<RouteKey> {
        self.failed.iter().filter(|(_, f)| f.again <= now).map(|(place, _)| *place).collect()
    }

    /// How many wanted routes are not in the kernel.
    pub fn len(&self) -> usize {
        self.failed.len() + self.held.len()
    }

    /// Whether all is as it should be.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_route_is_tried_again_after_pauses_that_grow_to_half_a_minute() {
        let place = RouteKey { prefix: "10.0.0.0/26".parse().unwrap(), metric: 1024 };
        let mut bench = Bench::default();
        let mut now = Time::START;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            bench.failed(place, "Network is unreachable".into(), now);
            let again = bench.deadline().unwrap();
            assert!(bench.due(now).is_empty());
            pauses.push((again - now).as_millis());
            now = again;
            assert_eq!(bench.due(now), BTreeSet::from([place]));
        }
        assert_eq!(pauses[..4], [500, 1000, 2000, 4000]);
        assert_eq!(pauses.last(), Some(&30_000));
        bench.clear(&place);
        assert!(bench.is_empty() && bench.deadline().is_none());
    }
}
