//! The page: promises first, then what was measured.

use std::fmt::Write;

use super::{BEGINNINGS, Beginning, CHANGED, Cost, ELSEWHERE, Measured, Rules, SIZES};

/// A promise and what came of it.
#[derive(Debug, Clone, PartialEq)]
struct Promise {
    what: String,
    ours: f64,
    limit: f64,
    unit: &'static str,
}

/// A kind of figure that packets have: its name, its unit, and where it is.
type Figure = (&'static str, &'static str, fn(&Cost) -> f64);

const FIGURES: [Figure; 4] = [
    ("round trip on an open connection", "µs", |cost| cost.round_trip),
    ("TCP handshake", "µs", |cost| cost.handshake),
    ("CPU of a datagram of a flow that was answered", "ns", |cost| cost.answered),
    ("CPU of a datagram that nobody answers", "ns", |cost| cost.unanswered),
];
/// What the largest number of pods may cost, as a ratio.
const RATIO: f64 = 1.10;
/// What a change may take, in milliseconds.
const CHANGE: f64 = 2.0;
/// How much more a change may take in the largest table than in the smallest, for it to be called independent of the size.
const GROWTH: f64 = 2.0;
/// What a beginning may take, in milliseconds.
const BEGIN: f64 = 2000.0;
/// What a pod elsewhere may take of the memory, in octets.
const OCTETS: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The page in Markdown, and how many promises were missed. `machine` says where it was measured.
pub fn page(measured: &Measured, machine: &str) -> (String, usize) {
    let mut text = format!(
        "# What policies cost

Made by `make bench-policy`; nothing here is written by hand. Two pods of one node, a veth and a /32 each, as the CNI plugin makes
them. Every other pod of the node is an interface and an address in the table. Each pod has a NetworkPolicy of its own; the measured
two have some as well. Rules are made and committed by the agent's own compiler, planner and committer. What stands in the kernel
takes turns within a round; figures are medians of {} rounds. *CPU* is that of the sender, which carries a packet through the node up
to the receiver's socket. `×` is beside the table without policies. A packet of a connection that was answered passes by a shortcut;
only the first ones of a connection, and datagrams that nobody answers, meet the policies.

Measured on {machine}.

## What is promised

| what | ours | at most | |
|---|---:|---:|---|
",
        measured.packets.get(&Rules::NoTable).map_or(0, Vec::len)
    );
    let promises = promises(measured);
    for promise in &promises {
        let Promise { what, ours, limit, unit } = promise;
        let verdict = if ours <= limit { "kept".into() } else { format!("**missed**, {:.2} times", ours / limit) };
        let _ = writeln!(text, "| {what} | {ours:.2}{unit} | {limit:.2}{unit} | {verdict} |");
    }
    packets(&mut text, measured);
    changes(&mut text, measured);
    beginnings(&mut text, measured);
    (text, promises.iter().filter(|promise| promise.ours.is_nan() || promise.ours > promise.limit).count())
}

fn promises(measured: &Measured) -> Vec<Promise> {
    let [least, _, most] = SIZES;
    let mut promises = Vec::new();
    let mut add = |what: String, ours, limit, unit| promises.push(Promise { what, ours, limit, unit });
    for (name, _, figure) in FIGURES {
        let of = |rules| packet(measured, rules, figure);
        let beside = |other| of(Rules::Pods(most)) / of(other);
        let (most, least) = (thousands(most), thousands(least));
        let none = beside(Rules::NoPolicies);
        add(format!("{name}: {most} pods beside no policies"), none, RATIO, "×");
        add(format!("{name}: {most} pods beside {least}"), beside(Rules::Pods(SIZES[0])), RATIO, "×");
    }
    let [few, some, many] = CHANGED;
    for (name, all) in [("pod's policy", &measured.pod), ("member", &measured.member)] {
        let of = |pods| median(all.get(&pods).into_iter().flatten().map(|(all, _)| *all));
        let rules = thousands(measured.rules.get(&some).copied().unwrap_or(0));
        add(format!("one {name} changed, {rules} rules in the table, until it is in force"), of(some), CHANGE, " ms");
        let (most, least) = (of(many), of(few));
        add(format!("one {name} changed: the largest table beside the smallest"), most / least, GROWTH, "×");
    }
    for beginning in BEGINNINGS {
        let took = median(measured.beginnings.get(&beginning).into_iter().flatten().copied());
        add(began(&beginning), took, BEGIN, " ms");
    }
    let memory = |pods| median(measured.memory.get(&pods).into_iter().flatten().copied());
    let [none, _, many] = ELSEWHERE;
    let growth = (memory(many) - memory(none)) / many as f64;
    add("memory for each pod of another node, while policies choose pods of all".into(), growth, OCTETS, " octets");
    promises
}

fn packets(text: &mut String, measured: &Measured) {
    text.push_str("\n## Packets\n\n| |");
    let all: Vec<Rules> = measured.packets.keys().copied().collect();
    all.iter().for_each(|rules| _ = write!(text, " {rules} |"));
    text.push_str("\n|---|");
    all.iter().for_each(|_| text.push_str("---:|"));
    for (name, unit, figure) in FIGURES {
        let _ = write!(text, "\n| {name} |");
        let base = packet(measured, Rules::NoPolicies, figure);
        for rules in &all {
            let value = packet(measured, *rules, figure);
            let _ = write!(text, " {value:.1} {unit} ({:.2}×) |", value / base);
        }
    }
    text.push('\n');
}

fn changes(text: &mut String, measured: &Measured) {
    text.push_str(
        "\n## One change\n\nFrom the object to the kernel's answer; in brackets, the kernel's part.\n\n\
        | pods | rules | a pod's policy | a member |\n|---:|---:|---:|---:|\n",
    );
    for pods in CHANGED {
        let cell = |all: Option<&Vec<(f64, f64)>>| {
            let whole = median(all.into_iter().flatten().map(|(all, _)| *all));
            let commit = median(all.into_iter().flatten().map(|(_, commit)| *commit));
            format!("{whole:.2} ms ({commit:.2})")
        };
        let rules = measured.rules.get(&pods).copied().unwrap_or(0);
        let (pod, member) = (cell(measured.pod.get(&pods)), cell(measured.member.get(&pods)));
        let _ = writeln!(text, "| {} | {} | {pod} | {member} |", thousands(pods), thousands(rules));
    }
}

fn beginnings(text: &mut String, measured: &Measured) {
    text.push_str(
        "\n## From nothing\n\nFrom objects in memory to all of it in force.\n\n| what | time |\n|---|---:|\n",
    );
    for (beginning, all) in &measured.beginnings {
        let _ = writeln!(text, "| {} | {:.0} ms |", began(beginning), median(all.iter().copied()));
    }
    text.push_str(
        "\n## Memory\n\nResident, of a process that does nothing else, with 1,000 policies and 110 pods here.\n\n\
        | pods elsewhere | memory |\n|---:|---:|\n",
    );
    for (pods, all) in &measured.memory {
        let _ = writeln!(text, "| {} | {:.1} MiB |", thousands(*pods), median(all.iter().copied()) / MIB);
    }
}

fn began(beginning: &Beginning) -> String {
    let [policies, pods, here] = [beginning.policies, beginning.pods, beginning.here].map(thousands);
    format!("{policies} policies and {pods} pods, {here} of them here, from nothing to in force")
}

fn packet(measured: &Measured, rules: Rules, figure: fn(&Cost) -> f64) -> f64 {
    median(measured.packets.get(&rules).into_iter().flatten().map(figure))
}

/// The middle one; of nothing, not a number.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `10,000`.
pub(super) fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1000), number % 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_missed_if_it_was_not_measured() {
        let (text, missed) = page(&Measured::default(), "paper");
        assert_eq!(missed, promises(&Measured::default()).len(), "{text}");
    }

    #[test]
    fn what_costs_more_than_promised_is_said_to() {
        let cost = |factor: f64| {
            vec![Cost { round_trip: 10.0 * factor, handshake: 50.0, answered: 900.0, unanswered: 900.0 }; 3]
        };
        let mut measured = Measured::default();
        measured.packets.insert(Rules::NoPolicies, cost(1.0));
        measured.packets.insert(Rules::Pods(100), cost(1.2));
        measured.packets.insert(Rules::Pods(10_000), cost(1.21));
        let (text, _) = page(&measured, "paper");
        assert!(text.contains("| round trip on an open connection: 10,000 pods beside no policies | 1.21× | 1.10× | **missed**, 1.10 times |"), "{text}");
        assert!(
            text.contains("| round trip on an open connection: 10,000 pods beside 100 | 1.01× | 1.10× | kept |"),
            "{text}"
        );
    }

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!([7, 999, 1000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }
}
