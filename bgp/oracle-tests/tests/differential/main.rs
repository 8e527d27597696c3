//! A second opinion on the codec: three other decoders read what we encode, and say what they saw in the same words as we do.
//!
//! netgauze-bgp-pkt is asked about everything, bgpkit-parser and bgp-rs only about what they do not have to guess at. What
//! netgauze writes of what it read, we read again.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod bgp_rs_view;
mod bgpkit_view;
mod netgauze_view;
mod others;
mod ours;
mod sample;

use sample::{Dice, Sample};

/// What a decoder saw in an UPDATE. Lists are in the order of the message.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct View {
    reachable: Vec<String>,
    withdrawn: Vec<String>,
    origin: String,
    path: Vec<u32>,
    next_hop: String,
    med: Option<u32>,
    local_pref: Option<u32>,
    atomic_aggregate: bool,
    aggregator: String,
    originator: String,
    clusters: Vec<u32>,
    communities: Vec<u32>,
    extended: Vec<[u8; 8]>,
    large: Vec<[u32; 3]>,
}

/// How many generated messages each opinion is asked about.
const ROUNDS: usize = 2000;

fn samples() -> impl Iterator<Item = Sample> {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    (0..ROUNDS).map(move |_| Sample::roll(&mut dice))
}

#[test]
fn netgauze_sees_in_our_messages_what_we_meant() {
    for sample in samples() {
        for message in sample.messages() {
            assert_eq!(netgauze_view::decode(&message), ours::decode(&message), "{sample:?}");
        }
    }
}

#[test]
fn bgpkit_sees_in_our_messages_what_we_meant() {
    for sample in samples().filter(bgpkit_view::can_read) {
        for message in sample.messages() {
            assert_eq!(bgpkit_view::decode(&message), ours::decode(&message), "{sample:?}");
        }
    }
}

#[test]
fn we_see_in_the_messages_of_netgauze_what_it_meant() {
    for sample in samples() {
        for message in sample.messages() {
            let again = netgauze_view::encode(&message);
            assert_eq!(ours::decode(&again), netgauze_view::decode(&message), "{sample:?}");
        }
    }
}

#[test]
fn bgp_rs_sees_in_the_messages_that_it_can_read_what_we_meant() {
    let mut asked = 0;
    for sample in samples().filter(bgp_rs_view::can_read) {
        for message in sample.messages() {
            assert_eq!(bgp_rs_view::decode(&message), ours::decode(&message), "{sample:?}");
            asked += 1;
        }
    }
    assert!(asked > 50, "only {asked} messages were ones that it can read");
}
