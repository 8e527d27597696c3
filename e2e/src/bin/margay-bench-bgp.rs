//! `margay-bench-bgp`: BGP under load beside BIRD, FRR, GoBGP and OpenBGPD. `make bench-bgp` calls it.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use e2e::bgp_bench::report::{Medians, Origin, page, plot, promises};
use e2e::bgp_bench::{Contestant, Plan, machine, read, run, scenario, versions};

/// Measures margay and four other BGP speakers as the same router under the same loads, taking turns.
#[derive(Debug, Parser)]
#[command(name = "margay-bench-bgp", version)]
struct Arguments {
    /// How often each takes its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these loads (see --list); all if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these contestants; all if none is named.
    #[arg(long, value_delimiter = ',')]
    with: Vec<Name>,
    /// List the loads and end.
    #[arg(long)]
    list: bool,
    /// Where to keep what was measured, a line of JSON each; begun anew.
    #[arg(long, default_value = "target/bench-bgp.jsonl")]
    records: PathBuf,
    /// Measure nothing: make the page from what is kept.
    #[arg(long)]
    page_only: bool,
    /// The folder that gets bench.md and bench.svg; without it the page is printed.
    #[arg(long)]
    docs: Option<PathBuf>,
}

/// A contestant's name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Margay,
    Bird,
    Frr,
    Gobgp,
    Openbgpd,
}

impl Name {
    fn contestant(self) -> Contestant {
        match self {
            Name::Margay => Contestant::Margay,
            Name::Bird => Contestant::Bird,
            Name::Frr => Contestant::Frr,
            Name::Gobgp => Contestant::Gobgp,
            Name::Openbgpd => Contestant::Openbgpd,
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        scenario::all().iter().for_each(|scenario| println!("{:<14} {}", scenario.name, scenario.title));
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.page_only {
        measure(&arguments)?;
    }
    let medians = Medians::of(&read(&arguments.records)?);
    let origin = Origin { machine: machine()?, versions: versions(&Contestant::ALL)? };
    let text = page(&medians, &origin);
    match &arguments.docs {
        Some(folder) => {
            fs::write(folder.join("bench.md"), &text)?;
            fs::write(folder.join("bench.svg"), plot(&medians))?;
            println!("written: {} and bench.svg", folder.join("bench.md").display());
        }
        None => println!("{text}"),
    }
    let all = promises();
    let missed = all.iter().filter(|promise| promise.verdict(&medians).is_some_and(|verdict| !verdict.holds())).count();
    println!("{missed} of {} promises missed", all.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(arguments: &Arguments) -> Result<()> {
    let mut plan = Plan::full(arguments.rounds);
    for name in &arguments.only {
        ensure!(plan.scenarios.iter().any(|s| s.name == name), "there is no load {name}: see --list");
    }
    plan.scenarios
        .retain(|scenario| arguments.only.is_empty() || arguments.only.iter().any(|name| name == scenario.name));
    let with: Vec<Contestant> = arguments.with.iter().map(|name| name.contestant()).collect();
    plan.contestants.retain(|contestant| with.is_empty() || with.contains(contestant));
    if let Some(folder) = arguments.records.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(&arguments.records).with_context(|| arguments.records.display().to_string())?;
    run(
        &plan,
        |what| println!("  {what}"),
        |record| {
            writeln!(file, "{}", serde_json::to_string(&record)?)?;
            if let Ok(measure) = &record.outcome {
                let kernel =
                    measure.in_kernel.map_or(String::new(), |seconds| format!(", in the kernel after {seconds:.3} s"));
                println!(
                    "      {:<18} {:>8.3} s{kernel}, CPU {:.3} s, memory {:.1} MB",
                    record.step, measure.seconds, measure.cpu, measure.peak
                );
            }
            Ok(())
        },
    )
}
