//! Waiting for something to become true: polled, with a deadline, and saying what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` is content; gives up after `within`, with the last objection.
pub fn until<T>(within: Duration, what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(objection) if start.elapsed() >= within => {
                bail!("{what}: not within {:.1} s: {objection:#}", within.as_secs_f64());
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Looks again and again for a whole `period`; the first objection ends it.
pub fn throughout(period: Duration, what: &str, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < period {
        if let Err(objection) = look() {
            bail!("{what}: not any more after {:.1} s: {objection:#}", start.elapsed().as_secs_f64());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
