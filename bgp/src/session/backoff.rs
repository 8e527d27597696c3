//! Jitter for timers, and how long to rest after failures.

use std::time::Duration;

/// A small generator of numbers that need only differ, not be secret (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 75 and 100 per cent of a timer's value (RFC 4271 §10).
    pub(crate) fn apply(&mut self, timer: Duration) -> Duration {
        let micros = u64::try_from(timer.as_micros()).unwrap_or(u64::MAX / 1024);
        Duration::from_micros(micros / 1024 * (768 + self.next() % 257) + micros % 1024)
    }
}

/// The `failures`th rest (from 1): `first`, doubled each time, up to `most`.
pub(crate) fn rest(first: Duration, most: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4271_10_jitter_takes_away_up_to_a_quarter() {
        let mut jitter = Jitter::new(1);
        let timer = Duration::from_secs(30);
        let drawn: Vec<Duration> = (0..1000).map(|_| jitter.apply(timer)).collect();
        assert!(drawn.iter().all(|d| (Duration::from_millis(22_490)..=timer).contains(d)), "{drawn:?}");
        assert!(
            drawn.iter().any(|d| *d < Duration::from_secs(23)) && drawn.iter().any(|d| *d > Duration::from_secs(29))
        );
    }

    #[test]
    fn the_rest_doubles_up_to_its_bound() {
        let seconds = |failures| rest(Duration::from_secs(1), Duration::from_secs(30), failures).as_secs();
        assert_eq!([1, 2, 3, 5, 6, 1000].map(seconds), [1, 2, 4, 16, 30, 30]);
    }
}
