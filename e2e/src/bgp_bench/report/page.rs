//! The page: promises first, then every load as a table.

use std::fmt::Write;

use super::super::contestant::Contestant;
use super::super::scenario::{self, Ours, Scenario, Step};
use super::super::spared;
use super::promise::{Limit, promises};
use super::{Medians, Metric};

/// What a reader must know of where the figures come from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Processors, memory, kernel.
    pub machine: String,
    /// Who took part, in which version.
    pub versions: Vec<(Contestant, String)>,
}

/// The whole page, in Markdown. The plot is expected beside it as `bench.svg`.
pub fn page(medians: &Medians, origin: &Origin) -> String {
    let mut text = String::from(
        "# BGP under load

Made by `make bench-bgp`; nothing here is written by hand. Every contestant is the same router, in turns on one machine: it
believes all and tells all, IPv4, and nothing else runs. A feeder's UPDATEs are made before the clock starts. *Time* is from the
first octet sent to the last prefix counted by the last receiver; *CPU* is that of all processes of the contestant in the step;
*memory* is the sum of their highest resident sizes until then. Figures are medians of the rounds that each load names: of one
round it is that round's figure, and no median. Records of several runs may have been joined. `×` says how many times ours.

`margay` is the speaker alone where a router between ASes is asked for (the agent itself never is one), and the whole agent,
with objects as a cluster has them, where the load says so.

![every figure beside ours](bench.svg)

",
    );
    let _ = writeln!(text, "Measured on {}.\n", origin.machine);
    let versions: Vec<String> = origin.versions.iter().map(|(who, version)| format!("{who} {version}")).collect();
    let _ = writeln!(text, "Contestants: {}.\n", versions.join(", "));
    promised(&mut text, medians);
    for scenario in scenario::all() {
        load(&mut text, medians, &scenario);
    }
    text
}

fn promised(text: &mut String, medians: &Medians) {
    text.push_str("## What is promised\n\n| load | step | figure | ours | at most | |\n|---|---|---|---:|---|---|\n");
    for promise in promises() {
        let metric = promise.metric;
        let beside = match promise.limit {
            Limit::Of(who, times) if (times - 1.0).abs() < 1e-9 => format!("{who}"),
            Limit::Of(who, times) if times < 1.0 => format!("{who} / {:.0}", 1.0 / times),
            Limit::Of(who, times) => format!("{times:.0} × {who}"),
            Limit::At(_) => "fixed".into(),
        };
        let (ours, limit, verdict) = match promise.verdict(medians) {
            Some(verdict) => {
                let word = if verdict.holds() { "kept".into() } else { missed(verdict.ours, verdict.limit) };
                (metric.print(verdict.ours), metric.print(verdict.limit), word)
            }
            None => ("–".into(), "–".into(), "not measured".into()),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {ours} | {limit} ({beside}) | {verdict} |",
            promise.scenario,
            promise.step,
            metric.name()
        );
    }
    text.push('\n');
}

fn missed(ours: f64, limit: f64) -> String {
    if limit > 0.0 { format!("**missed**, {:.2} times", ours / limit) } else { "**missed**".into() }
}

fn load(text: &mut String, medians: &Medians, scenario: &Scenario) {
    let ours = match scenario.ours {
        Ours::Speaker => "the speaker alone",
        Ours::Agent => "the whole agent",
    };
    let _ = writeln!(text, "## {}\n\n`{}`; ours is {ours}.\n", capitalised(scenario.title), scenario.name);
    let names: Vec<String> = Contestant::ALL.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "| step | figure | {} |\n|---|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for (step, metrics) in rows(scenario) {
        for metric in metrics {
            let figure = |who| medians.get(scenario.name, &step, who, metric);
            let ours = figure(Contestant::Margay);
            let cells: Vec<String> = Contestant::ALL.iter().map(|who| cell(metric, figure(*who), ours, *who)).collect();
            if cells.iter().any(|cell| cell != "–") {
                let _ = writeln!(text, "| {step} | {} | {} |", metric.name(), cells.join(" | "));
            }
        }
    }
    let rounds: Vec<String> = Contestant::ALL
        .iter()
        .map(|who| (who, medians.rounds(scenario.name, "connect", *who)))
        .filter(|(_, rounds)| *rounds > 0)
        .map(|(who, rounds)| format!("{who} {rounds}"))
        .collect();
    let _ = writeln!(text, "\nRounds: {}.", rounds.join(", "));
    for who in Contestant::ALL {
        if let Some(why) = spared(who, scenario, 0) {
            let _ = writeln!(text, "{who} {why}.");
        }
    }
    for (who, why) in medians.failures(scenario.name) {
        let _ = writeln!(text, "{who}: {}.", why.trim_end_matches('.'));
    }
    text.push('\n');
}

/// Steps and the figures that are worth telling of each.
pub(super) fn rows(scenario: &Scenario) -> Vec<(String, Vec<Metric>)> {
    use Metric::{Cpu, CpuPerMinute, InKernel, Lost, Peak, Silence, Time};
    let mut rows = vec![("connect".to_string(), vec![Time])];
    let mut done: Vec<Step> = Vec::new();
    for step in &scenario.steps {
        let metrics = match step {
            Step::Idle { .. } => vec![CpuPerMinute],
            Step::Announce if scenario.hold < 10 => vec![Time, Lost, Silence],
            Step::Announce if scenario.watch == scenario::Watch::Kernel => vec![InKernel, Cpu, Peak],
            Step::Announce => vec![Time, InKernel, Cpu, Peak],
            _ if scenario.watch == scenario::Watch::Kernel => vec![InKernel],
            _ => vec![Time, InKernel, Cpu],
        };
        let again = if done.contains(step) { " again" } else { "" };
        done.push(*step);
        rows.push((format!("{step}{again}"), metrics));
    }
    rows
}

fn cell(metric: Metric, figure: Option<f64>, ours: Option<f64>, who: Contestant) -> String {
    match (figure, ours) {
        (Some(figure), Some(ours)) if who != Contestant::Margay && ours > 0.0 && metric != Metric::Lost => {
            format!("{} ({:.2}×)", metric.print(figure), figure / ours)
        }
        (Some(figure), _) => metric.print(figure),
        (None, _) => "–".into(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
