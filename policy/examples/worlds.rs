//! The program beside the slow evaluator on as many random clusters as wanted: `worlds --worlds 1000000`; one of them is
//! shown with `worlds --show SEED`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/worlds/mod.rs"]
mod worlds;

use policy::Engine;
use worlds::{Maker, Stack, verdicts};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = number("--show") {
        let objects = Maker::new(seed, Stack::Dual).world();
        objects.iter().for_each(|object| println!("{}", serde_json::to_string(object).unwrap()));
        println!("{:#?}", Engine::of(&objects).program());
        return;
    }
    let (first, count) = (number("--first").unwrap_or(0), number("--worlds").unwrap_or(10_000));
    let asked: usize = (first..first + count).map(|seed| verdicts(seed, Stack::Dual).len()).sum();
    println!("{count} worlds, {asked} packets: no difference");
}
