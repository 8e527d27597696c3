//! `cargo xtask CHORE`: the commands behind the Makefile that are not shell one-liners.

use std::process::ExitCode;

use xtask::rules::{self, House};

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("rules") => {
            let breaches = rules::check(&House::discover()?);
            for breach in &breaches {
                println!("{breach}\n");
            }
            println!("house rules: {} breach(es)", breaches.len());
            Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        other => {
            if let Some(chore) = other {
                eprintln!("no chore is called {chore:?}");
            }
            eprintln!("usage: cargo xtask rules    check the arrows between crates, purity and the shape of files");
            Ok(ExitCode::FAILURE)
        }
    }
}
