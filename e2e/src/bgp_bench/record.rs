//! What was measured of one step, as it is kept.

use serde::{Deserialize, Serialize};

use super::contestant::Contestant;
use super::usage::Usage;

/// One step of one contestant under one load in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the load.
    pub scenario: String,
    /// Who.
    pub contestant: Contestant,
    /// From 0.
    pub round: usize,
    /// `connect`, a step's name, or `failed`.
    pub step: String,
    /// What came of it, or what went wrong.
    pub outcome: Result<Measure, String>,
}

/// What a step took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Seconds until its end was seen; of an idle step, how long it was.
    pub seconds: f64,
    /// Seconds until the kernel had all, where that was watched.
    pub in_kernel: Option<f64>,
    /// CPU seconds in the step.
    pub cpu: f64,
    /// Highest resident memory since the start, in MB.
    pub peak: f64,
    /// Resident memory after the step, in MB.
    pub resident: f64,
    /// Sessions that ended against the load's will, and why.
    pub lost: Vec<String>,
    /// The longest time in which a session heard nothing, in seconds.
    pub silence: Option<f64>,
}

impl Measure {
    pub(super) fn new(seconds: f64, before: Usage, after: Usage) -> Measure {
        let (peak, resident) = (after.peak, after.resident);
        let cpu = (after.cpu - before.cpu).max(0.0);
        Measure { seconds, in_kernel: None, cpu, peak, resident, lost: Vec::new(), silence: None }
    }
}
