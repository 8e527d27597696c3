//! The program beside the slow evaluator, on random clusters.
#![allow(clippy::unwrap_used)]

mod worlds;

use model::Family;
use policy::Verdict;
use worlds::{Stack, verdicts};

/// How many worlds; `examples/worlds.rs` asks of as many as wanted.
const WORLDS: u64 = 1000;

#[test]
fn the_program_says_what_the_slow_evaluator_says() {
    let all: Vec<Verdict> = (0..WORLDS).flat_map(|seed| verdicts(seed, Stack::Dual)).collect();
    let blocked = all.iter().filter(|verdict| **verdict == Verdict::Blocked).count();
    assert!(blocked * 10 > all.len() && blocked * 2 < all.len(), "{blocked} of {} are blocked", all.len());
}

#[test]
fn a_world_and_its_mirror_image_in_ipv6_decide_alike() {
    for seed in 0..WORLDS {
        let [four, six] = Family::ALL.map(|family| verdicts(seed, Stack::Only(family)));
        assert_eq!(four, six, "seed {seed}");
    }
}
