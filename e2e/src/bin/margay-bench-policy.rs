//! `margay-bench-policy`: what policies cost. `make bench-policy` calls it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::{bgp_bench, policy_bench};

/// Measures packets, changes and beginnings with and without policies, taking turns, on this machine.
#[derive(Debug, Parser)]
#[command(name = "margay-bench-policy", version)]
struct Arguments {
    /// Rounds of everything.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The file that the page is written to; without it, it is printed alone.
    #[arg(long)]
    page: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let measured = policy_bench::run(arguments.rounds, |what| println!("  {what}"))?;
    let (text, missed) = policy_bench::page(&measured, &bgp_bench::machine()?);
    println!("{text}");
    if let Some(file) = &arguments.page {
        std::fs::write(file, &text).with_context(|| file.display().to_string())?;
        println!("written: {}", file.display());
    }
    println!("{missed} promises missed");
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
