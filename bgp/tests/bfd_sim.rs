//! Two nodes with BFD under a virtual clock: latency, loss, a partition; and any octets at all.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bgp::bfd::{Arrival, Config, Distance, Fall, Output, Packet, Sessions};
use model::Time;
use model::api::show::{BfdState, BfdView};
use proptest::prelude::*;

/// One way of the link between the two.
const LATENCY: Duration = Duration::from_millis(2);

fn address(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node).unwrap()])
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What becomes of packets from one node.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Whole,
    /// One in so many is lost.
    Lossy(u64),
    Cut,
}

struct Pair {
    now: Time,
    nodes: [Sessions; 2],
    views: [Option<BfdView>; 2],
    falls: Vec<(Time, usize, Fall)>,
    lines: [Line; 2],
    flying: BTreeSet<(Time, u64, usize, [u8; 24])>,
    count: u64,
    dice: u64,
    sent: [u64; 2],
}

impl Pair {
    fn new(configs: [Config; 2], seed: u64) -> Pair {
        let mut pair = Pair {
            now: Time::START,
            nodes: [Sessions::new(seed), Sessions::new(seed ^ 0xabcd)],
            views: [None, None],
            falls: Vec::new(),
            lines: [Line::Whole; 2],
            flying: BTreeSet::new(),
            count: 0,
            dice: seed | 1,
            sent: [0; 2],
        };
        for (node, config) in configs.into_iter().enumerate() {
            pair.configure(node, config);
        }
        pair
    }

    fn configure(&mut self, node: usize, config: Config) {
        self.nodes[node].configure(self.now, &BTreeMap::from([(address(1 - node), config)]));
        self.gather(node);
    }

    fn gather(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll() {
            match output {
                Output::Transmit { octets, .. } => self.transmit(node, octets),
                Output::Changed { view, .. } => self.views[node] = Some(*view),
                Output::Fell { fall, .. } => self.falls.push((self.now, node, fall)),
                Output::Gone { .. } => self.views[node] = None,
            }
        }
    }

    fn transmit(&mut self, node: usize, octets: [u8; 24]) {
        self.count += 1;
        self.sent[node] += 1;
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let lost = match self.lines[node] {
            Line::Whole => false,
            Line::Lossy(one_in) => self.dice.is_multiple_of(one_in),
            Line::Cut => true,
        };
        if !lost {
            self.flying.insert((self.now + LATENCY, self.count, node, octets));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let landing = self.flying.first().map(|flying| flying.0);
            let deadlines = self.nodes.iter().map(Sessions::deadline);
            let Some(next) = deadlines.chain([landing]).flatten().min().filter(|next| *next <= end) else { break };
            self.now = next;
            while let Some(&(at, _, from, octets)) = self.flying.first()
                && at <= next
            {
                self.flying.pop_first();
                let arrival = Arrival { from: address(from), distance: Distance::SingleHop, ttl: 255 };
                // Each knows the other by address; a discriminator from before a restart is refused.
                let _ = self.nodes[1 - from].receive(next, arrival, &octets);
                self.gather(1 - from);
            }
            for node in 0..2 {
                self.nodes[node].tick(next);
                self.gather(node);
            }
        }
        self.now = end;
    }

    fn states(&self) -> [Option<BfdState>; 2] {
        [0, 1].map(|node| self.views[node].as_ref().map(|view| view.state))
    }

    fn detection(&self, node: usize) -> Duration {
        self.views[node].as_ref().and_then(|view| view.detection_time).unwrap().0
    }
}

const UP: [Option<BfdState>; 2] = [Some(BfdState::Up); 2];
const DOWN: [Option<BfdState>; 2] = [Some(BfdState::Down); 2];

#[test]
fn two_sessions_come_up_agree_on_timers_and_stay_up() {
    for seed in 1..200 {
        let slow = Config { min_tx: ms(100), min_rx: ms(200), multiplier: 5, ..Config::default() };
        let mut pair = Pair::new([Config::default(), slow], seed);
        pair.run(ms(3500));
        assert_eq!(pair.states(), UP, "seed {seed}");
        // RFC 5880 §6.8.4: the other's multiplier by the slower of what it sends and what is heard.
        assert_eq!([pair.detection(0), pair.detection(1)], [ms(5 * 300), ms(3 * 300)]);
        let before = pair.sent;
        pair.run(Duration::from_secs(60));
        assert_eq!((pair.states(), pair.falls.len()), (UP, 0));
        for (sent, before) in pair.sent.iter().zip(before) {
            let packets = sent - before;
            assert!((199..=268).contains(&packets), "seed {seed}: {packets} packets in a minute at 300 ms");
        }
    }
}

#[test]
fn a_cut_is_noticed_within_the_detection_time_and_not_before_and_heals() {
    for seed in 1..200 {
        let mut pair = Pair::new([Config::default(); 2], seed);
        pair.run(ms(5000));
        let (cut, detection) = (pair.now, pair.detection(0));
        assert_eq!(detection, ms(900));
        pair.lines = [Line::Cut; 2];
        pair.run(ms(2000));
        assert_eq!((pair.states(), pair.falls.len()), (DOWN, 2), "seed {seed}");
        for (when, _, fall) in &pair.falls {
            assert_eq!(*fall, Fall::Silence(detection));
            let noticed = when.since(cut);
            assert!(noticed <= detection + LATENCY && noticed >= detection - ms(300), "seed {seed}: {noticed:?}");
        }
        pair.lines = [Line::Whole; 2];
        pair.run(ms(3000));
        assert_eq!((pair.states(), pair.falls.len()), (UP, 2), "seed {seed}");
    }
}

#[test]
fn a_line_that_is_cut_one_way_takes_both_sides_down() {
    let mut pair = Pair::new([Config::default(); 2], 11);
    pair.run(ms(5000));
    pair.lines[0] = Line::Cut;
    pair.run(ms(905));
    // Node 1 hears nothing, says so, and node 0 hears that.
    assert!(matches!(pair.falls[..], [(_, 1, Fall::Silence(_)), (_, 0, Fall::Signaled(_))]), "{:?}", pair.falls);
    assert_ne!(pair.states(), UP);
    pair.run(ms(10_000));
    assert_eq!(pair.falls.len(), 2, "it does not flap");
}

#[test]
fn losses_that_are_fewer_than_the_multiplier_in_a_row_cost_nothing() {
    for seed in 1..50 {
        let config = Config { multiplier: 10, ..Config::default() };
        let mut pair = Pair::new([config; 2], seed);
        pair.run(ms(5000));
        pair.lines = [Line::Lossy(5); 2];
        pair.run(Duration::from_secs(120));
        assert_eq!((pair.states(), pair.falls.len()), (UP, 0), "seed {seed}");
    }
}

#[test]
fn sessions_come_up_over_a_line_that_loses_half() {
    for seed in 1..50 {
        let mut pair = Pair::new([Config { multiplier: 20, ..Config::default() }; 2], seed);
        pair.lines = [Line::Lossy(2); 2];
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.states(), UP, "seed {seed}");
    }
}

#[test]
fn a_node_that_restarts_is_noticed_at_once_and_comes_up_again() {
    let mut pair = Pair::new([Config::default(); 2], 5);
    pair.run(ms(5000));
    pair.nodes[1] = Sessions::new(99);
    pair.configure(1, Config::default());
    pair.run(ms(10));
    assert!(matches!(pair.falls[..], [(_, 0, Fall::Signaled(_))]), "{:?}", pair.falls);
    pair.run(ms(3000));
    assert_eq!((pair.states(), pair.falls.len()), (UP, 1));
}

#[test]
fn other_timers_are_agreed_on_without_a_fall() {
    for seed in 1..50 {
        let mut pair = Pair::new([Config::default(); 2], seed);
        pair.run(ms(4000));
        for millis in [50, 1000, 20, 300] {
            pair.configure(0, Config { min_tx: ms(millis), min_rx: ms(millis), ..Config::default() });
            pair.run(ms(7000));
            assert_eq!((pair.states(), pair.falls.len()), (UP, 0), "seed {seed}, {millis} ms");
            assert_eq!(pair.detection(1), ms(3 * millis.max(300)));
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_a_packet_that_comes_back_or_nothing(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(&octets) {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
    }

    #[test]
    fn no_packets_stop_a_session_or_make_it_babble(
        packets in proptest::collection::vec((any::<[u8; 24]>(), 0..2000u64, any::<bool>()), 0..40),
    ) {
        let mut sessions = Sessions::new(1);
        sessions.configure(Time::START, &BTreeMap::from([(address(1), Config::default())]));
        let (mut now, mut own, mut outputs) = (Time::START, 0, 0usize);
        for (mut octets, pause, ours) in packets {
            now = now + ms(pause);
            // Valid in what would only have it dropped.
            (octets[0], octets[1], octets[3]) = (0x20 | octets[0] & 0x1f, octets[1] & 0xfa, 24);
            octets[8..12].copy_from_slice(&(if ours { own } else { 0u32 }).to_be_bytes());
            let _ = sessions.receive(now, Arrival { from: address(1), distance: Distance::SingleHop, ttl: 255 }, &octets);
            sessions.tick(now);
            while let Some(output) = sessions.poll() {
                outputs += 1;
                if let Output::Changed { view, .. } = output {
                    own = view.discriminator;
                }
            }
            prop_assert!(sessions.deadline().is_none_or(|at| at > now));
            prop_assert!(outputs <= 4 + 8 * 40);
        }
    }
}
