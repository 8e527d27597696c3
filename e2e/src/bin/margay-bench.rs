//! `margay-bench`: every figure of speed and size beside what it is compared with. `make bench` calls it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::bench;

/// Measures margay and what it is compared with, taking turns, on this machine.
#[derive(Debug, Parser)]
#[command(name = "margay-bench", version)]
struct Arguments {
    /// Rounds of everything that takes milliseconds.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Only this bench: cni, routes, table or weight.
    #[arg(long)]
    only: Option<bench::Name>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let figures = bench::run(arguments.only, arguments.rounds, |what| println!("  {what}"))?;
    println!("\n{}", bench::print(&figures));
    Ok(if figures.iter().all(bench::Figure::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
