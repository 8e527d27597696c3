//! `margay-cni`: what the runtime runs for each pod. Reads the environment and stdin, answers on stdout.

use std::io::{Read, Write};
use std::process::ExitCode;

use margay_cni::{INPUT_LIMIT, Outcome, invoke};

fn main() -> ExitCode {
    // The runtime reads stdout; what a panic would print belongs into the error object.
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = std::panic::catch_unwind(serve).unwrap_or_else(|_| Outcome::panicked());
    let written = std::io::stdout().write_all(outcome.stdout.as_bytes());
    if outcome.failed || written.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn serve() -> Outcome {
    let mut input = Vec::new();
    let read = std::io::stdin().take(INPUT_LIMIT as u64 + 1).read_to_end(&mut input);
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    invoke(&variable, read.map(|_| input.as_slice()))
}
