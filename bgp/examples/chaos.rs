//! The simulation in its long form: `cargo run --release --package bgp --example chaos -- --speakers 200 --seeds 2000`.
//!
//! Every seed is a network of one of the shapes, with misfortunes of its own; `--first N` begins with that seed, and
//! `--threads N` runs so many at a time. What goes wrong is printed with its seed, and makes the exit status 1.
#![allow(clippy::unwrap_used)]

#[path = "../tests/chaos/mod.rs"]
mod chaos;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use chaos::shapes::Shape;

fn argument(name: &str, default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.windows(2).find(|pair| pair[0] == name);
    given.map_or(default, |pair| pair[1].parse().unwrap())
}

fn main() -> ExitCode {
    let (first, seeds) = (argument("--first", 1), argument("--seeds", 30));
    let (speakers, threads) = (argument("--speakers", 200) as usize, argument("--threads", 1));
    let (next, failed, routes) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let shape = Shape::ALL[(seed % 3) as usize];
                    match chaos::run(shape, speakers, seed) {
                        Ok(run) => {
                            routes.fetch_add(run.routes as u64, Ordering::Relaxed);
                        }
                        Err(wrong) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("seed {seed} {shape:?}: {wrong}");
                        }
                    }
                    if (seed - first + 1).is_multiple_of(50) {
                        println!("{} seeds, {} wrong", seed - first + 1, failed.load(Ordering::Relaxed));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("{seeds} networks of {speakers} speakers, {} routes in the end: {failed} wrong", routes.into_inner());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
