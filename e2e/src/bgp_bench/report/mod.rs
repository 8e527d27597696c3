//! From what was measured to what people read: medians, ratios, promises, a page and a plot.

mod page;
mod plot;
mod promise;

use std::collections::BTreeMap;

pub use self::page::{Origin, page};
pub use self::plot::plot;
pub use self::promise::{Promise, Verdict, promises};
use super::contestant::Contestant;
use super::record::{Measure, Record};

/// A figure of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Seconds to the last prefix.
    Time,
    /// Seconds to the last route in the kernel.
    InKernel,
    /// CPU seconds.
    Cpu,
    /// Highest resident memory, MB.
    Peak,
    /// The longest silence of a session, seconds.
    Silence,
    /// How many sessions were lost.
    Lost,
    /// CPU seconds for each minute.
    CpuPerMinute,
}

impl Metric {
    fn of(self, measure: &Measure) -> Option<f64> {
        match self {
            Metric::Time => Some(measure.seconds),
            Metric::InKernel => measure.in_kernel,
            Metric::Cpu => Some(measure.cpu),
            Metric::Peak => Some(measure.peak),
            Metric::Silence => measure.silence,
            Metric::Lost => Some(measure.lost.len() as f64),
            Metric::CpuPerMinute => Some(measure.cpu * 60.0 / measure.seconds),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Metric::Time => "time",
            Metric::InKernel => "in the kernel",
            Metric::Cpu => "CPU",
            Metric::Peak => "memory",
            Metric::Silence => "longest silence",
            Metric::Lost => "sessions lost",
            Metric::CpuPerMinute => "CPU a minute",
        }
    }

    fn print(self, value: f64) -> String {
        match self {
            Metric::Lost => format!("{value:.0}"),
            Metric::Peak if value >= 100.0 => format!("{value:.0} MB"),
            Metric::Peak => format!("{value:.1} MB"),
            _ if value >= 10.0 => format!("{value:.1} s"),
            _ if value >= 0.1 => format!("{value:.2} s"),
            _ => format!("{:.1} ms", value * 1e3),
        }
    }
}

/// Medians of all that was measured.
#[derive(Debug, Default)]
pub struct Medians {
    of: BTreeMap<(String, String, Contestant), Vec<Measure>>,
    failed: Vec<Record>,
}

impl Medians {
    /// From records of as many rounds as there are.
    pub fn of(records: &[Record]) -> Medians {
        let mut medians = Medians::default();
        for record in records {
            match &record.outcome {
                Ok(measure) => {
                    let key = (record.scenario.clone(), record.step.clone(), record.contestant);
                    medians.of.entry(key).or_default().push(measure.clone());
                }
                Err(_) => medians.failed.push(record.clone()),
            }
        }
        medians
    }

    /// The median of a figure, if it was measured.
    pub fn get(&self, scenario: &str, step: &str, contestant: Contestant, metric: Metric) -> Option<f64> {
        let measures = self.of.get(&(scenario.into(), step.into(), contestant))?;
        let mut values: Vec<f64> = measures.iter().filter_map(|measure| metric.of(measure)).collect();
        values.sort_by(f64::total_cmp);
        let (upper, lower) = (values.get(values.len() / 2)?, values.get((values.len() - 1) / 2)?);
        Some((upper + lower) / 2.0)
    }

    /// How often a step of this contestant was measured.
    fn rounds(&self, scenario: &str, step: &str, contestant: Contestant) -> usize {
        self.of.get(&(scenario.into(), step.into(), contestant)).map_or(0, Vec::len)
    }

    fn failures(&self, scenario: &str) -> impl Iterator<Item = (Contestant, &str)> {
        let of = self.failed.iter().filter(move |record| record.scenario == scenario);
        of.filter_map(|record| Some((record.contestant, record.outcome.as_ref().err()?.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(round: usize, seconds: f64) -> Record {
        let measure =
            Measure { seconds, in_kernel: None, cpu: 1.0, peak: 2.0, resident: 2.0, lost: vec![], silence: None };
        Record {
            scenario: "s".into(),
            contestant: Contestant::Bird,
            round,
            step: "announce".into(),
            outcome: Ok(measure),
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let records: Vec<Record> =
            [4.0, 1.0, 2.0, 3.0].into_iter().zip(0..).map(|(s, round)| record(round, s)).collect();
        let medians = Medians::of(&records);
        assert_eq!(medians.get("s", "announce", Contestant::Bird, Metric::Time), Some(2.5));
        assert_eq!(medians.get("s", "announce", Contestant::Frr, Metric::Time), None);
        assert_eq!(medians.get("s", "announce", Contestant::Bird, Metric::InKernel), None);
    }
}
