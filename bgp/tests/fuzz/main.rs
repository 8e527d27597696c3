//! The fuzz targets in short: their corpus again, and some generated cases. The long form is `--example fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test that meets one has failed

mod mutator;
mod properties;
mod seeds;

use mutator::Mutator;

/// Generated cases of each target. The long form runs millions.
const CASES: usize = 60_000;

fn hold(target: &str) {
    let property = properties::property(target).expect("a target");
    let seeds = seeds::seeds(target);
    assert!(seeds.len() >= 5, "{target} has only {} seeds", seeds.len());
    seeds.iter().for_each(|seed| property(seed));
    let mut mutator = Mutator::new(target, seeds, 0);
    for _ in 0..CASES {
        property(&mutator.next_case());
    }
}

#[test]
fn any_stream_of_messages_is_read_or_refused() {
    hold("message");
}

#[test]
fn any_update_that_is_taken_can_be_sent_on_and_comes_back_the_same() {
    hold("update");
}

#[test]
fn any_attributes_leave_each_prefix_believed_or_withdrawn() {
    hold("attribute");
}

#[test]
fn any_open_that_is_taken_can_be_sent_and_comes_back_the_same() {
    hold("open");
}

#[test]
fn any_bmp_message_that_is_taken_comes_back_the_same() {
    hold("bmp");
}

#[test]
fn any_datagrams_leave_bfd_working_and_quiet() {
    hold("bfd");
}
