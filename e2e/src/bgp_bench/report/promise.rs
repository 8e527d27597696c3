//! What the project promises of each load, and whether it holds.

use super::super::contestant::Contestant;
use super::{Medians, Metric};

/// A promise.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Name of the load.
    pub scenario: &'static str,
    /// Name of the step.
    pub step: &'static str,
    /// Which figure.
    pub metric: Metric,
    /// What it must not exceed.
    pub limit: Limit,
}

/// What a figure must not exceed.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// So many times the same figure of another.
    Of(Contestant, f64),
    /// A number, in the figure's unit.
    At(f64),
}

/// A promise against what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Our figure.
    pub ours: f64,
    /// What it must not exceed.
    pub limit: f64,
}

impl Verdict {
    /// Whether the promise holds.
    pub fn holds(self) -> bool {
        self.ours <= self.limit
    }
}

impl Promise {
    /// Against what was measured, if that was.
    pub fn verdict(&self, medians: &Medians) -> Option<Verdict> {
        let figure = |contestant| medians.get(self.scenario, self.step, contestant, self.metric);
        let limit = match self.limit {
            Limit::Of(contestant, times) => figure(contestant)? * times,
            Limit::At(limit) => limit,
        };
        Some(Verdict { ours: figure(Contestant::Margay)?, limit })
    }
}

/// Every promise.
pub fn promises() -> Vec<Promise> {
    use Contestant::{Bird, Frr};
    use Metric::{Cpu, CpuPerMinute, InKernel, Lost, Peak, Time};
    let promise = |scenario, step, metric, limit| Promise { scenario, step, metric, limit };
    let no_worse = Limit::Of(Bird, 1.0);
    let mut all = Vec::new();
    for scenario in ["feeder-100k", "feeder-1m", "feeders-10"] {
        all.extend([Time, Cpu, Peak].map(|metric| promise(scenario, "announce", metric, no_worse)));
        all.push(promise(scenario, "withdraw all", Time, no_worse));
    }
    all.push(promise("feeders-10", "one feeder lost", Time, no_worse));
    all.push(promise("feeder-100k", "all feeders lost", Time, no_worse));
    for scenario in ["reflect-100", "reflect-200"] {
        all.push(promise(scenario, "announce", Cpu, Limit::Of(Frr, 1.0)));
        all.push(promise(scenario, "announce", Peak, Limit::Of(Bird, 2.0)));
        all.push(promise(scenario, "announce", Time, Limit::At(0.5)));
    }
    all.push(promise("mesh-200", "connect", Time, Limit::At(0.5)));
    all.push(promise("mesh-200", "announce", InKernel, no_worse));
    all.push(promise("mesh-200", "announce", Peak, Limit::At(15.0)));
    all.push(promise("mesh-200", "idle", CpuPerMinute, Limit::At(0.02)));
    all.push(promise("kernel-100k", "announce", InKernel, Limit::Of(Bird, 1.0 / 8.0)));
    all.push(promise("keepalives", "announce", Lost, Limit::At(0.0)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp_bench::scenario;

    #[test]
    fn every_promise_is_about_a_step_that_is_measured() {
        let scenarios = scenario::all();
        for promise in promises() {
            let scenario = scenarios.iter().find(|scenario| scenario.name == promise.scenario);
            let Some(scenario) = scenario else { panic!("{promise:?}") };
            let steps: Vec<String> = scenario.steps.iter().map(ToString::to_string).collect();
            assert!(promise.step == "connect" || steps.iter().any(|step| step == promise.step), "{promise:?}");
        }
    }
}
