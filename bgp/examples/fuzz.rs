//! Runs a fuzz target's property on millions of generated cases, on a stable compiler and at full speed:
//! `cargo run --release -p bgp --example fuzz -- TARGET [CASES] [BEGINNING]`.
//!
//! A case that breaks the property is printed and ends the run. The cases follow from the corpus and the beginning, a
//! number, so a run can be repeated.
#![allow(clippy::print_stdout, clippy::indexing_slicing)] // a command

#[path = "../tests/fuzz/mutator.rs"]
mod mutator;
#[path = "../tests/fuzz/properties.rs"]
mod properties;
#[path = "../tests/fuzz/seeds.rs"]
mod seeds;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mutator::Mutator;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = arguments.first().map_or("", String::as_str);
    let number = |at: usize, otherwise: u64| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    let (cases, beginning) = (number(1, 1_000_000), number(2, 1));
    let Some(property) = properties::property(target) else {
        let names = properties::TARGETS.map(|(name, _)| name);
        println!("usage: fuzz TARGET [CASES] [BEGINNING], where TARGET is one of {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let mut mutator = Mutator::new(target, seeds::seeds(target), beginning);
    let (begun, mut octets, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    for number in 0..cases {
        let case = mutator.next_case();
        octets += case.len();
        let at = Instant::now();
        if catch_unwind(|| property(&case)).is_err() {
            let hex: String = case.iter().map(|octet| format!("{octet:02x}")).collect();
            println!("{target}: case {number} of beginning {beginning} breaks the property: {hex}");
            return ExitCode::FAILURE;
        }
        slowest = slowest.max(at.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{target}: {cases} cases of {} octets on average, beginning {beginning}, in {seconds:.0} s ({:.0} a second); \
         slowest {:.1} ms; most memory {}",
        octets as u64 / cases.max(1),
        cases as f64 / seconds,
        slowest.as_secs_f64() * 1000.0,
        most_memory()
    );
    ExitCode::SUCCESS
}

/// Of this process so far.
fn most_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_string()
}
