//! What a test has to put right when it is over, however it ends: the tests after it find the cluster as it was.

use std::fmt;
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::cluster::Cluster;

type Step = Box<dyn FnOnce(&Cluster) -> Result<()> + Send>;

/// Steps back, last first.
#[derive(Default)]
pub struct Undo {
    steps: Mutex<Vec<(String, Step)>>,
}

impl Undo {
    /// One more step; it comes before those that are there.
    pub fn add(&self, what: &str, step: impl FnOnce(&Cluster) -> Result<()> + Send + 'static) {
        self.steps.lock().unwrap_or_else(|broken| broken.into_inner()).push((what.to_owned(), Box::new(step)));
    }

    /// Takes every step, also after one that failed; the first failure is the answer.
    pub fn run(&self, cluster: &Cluster) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let Some((what, step)) = self.steps.lock().unwrap_or_else(|broken| broken.into_inner()).pop() else {
                return outcome;
            };
            let done = step(cluster).with_context(|| format!("afterwards: {what}"));
            outcome = outcome.and(done);
        }
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.lock().unwrap_or_else(|broken| broken.into_inner());
        formatter.debug_list().entries(steps.iter().map(|(what, _)| what)).finish()
    }
}
