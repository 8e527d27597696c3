//! What RFC 5880 says of packets, states and timers, as tables.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::Time;
use model::api::show::BfdState::{self, AdminDown, Down, Init, Up};

use super::session::jittered;
use super::*;
use crate::session::Jitter;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Time {
    Time::START + ms(millis)
}

/// A packet of the peer's: 100 ms both ways, three losses.
fn packet(state: BfdState, yours: u32) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        fin: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 3,
        my_discriminator: 77,
        your_discriminator: yours,
        min_tx: 100_000,
        min_rx: 100_000,
        min_echo_rx: 0,
    }
}

/// One session, and what it says.
struct Bench {
    sessions: Sessions,
    view: Option<model::api::show::BfdView>,
    sent: Vec<Packet>,
    falls: Vec<Fall>,
    gone: usize,
}

impl Bench {
    fn new(config: Config) -> Bench {
        let mut bench = Bench { sessions: Sessions::new(7), view: None, sent: Vec::new(), falls: Vec::new(), gone: 0 };
        bench.configure(0, Some(config));
        bench
    }
    fn configure(&mut self, millis: u64, config: Option<Config>) {
        let wanted: BTreeMap<IpAddr, Config> = config.map(|config| (PEER, config)).into_iter().collect();
        self.sessions.configure(at(millis), &wanted);
        self.gather();
    }
    fn gather(&mut self) {
        while let Some(output) = self.sessions.poll() {
            match output {
                Output::Transmit { octets, .. } => self.sent.push(Packet::decode(&octets).expect("a packet")),
                Output::Changed { view, .. } => self.view = Some(*view),
                Output::Fell { fall, .. } => self.falls.push(fall),
                Output::Gone { .. } => self.gone += 1,
            }
        }
    }
    fn hear(&mut self, millis: u64, packet: Packet) {
        let arrival = Arrival { from: PEER, distance: Distance::SingleHop, ttl: 255 };
        self.sessions.receive(at(millis), arrival, &packet.encode()).expect("taken");
        self.gather();
    }
    fn tick(&mut self, millis: u64) {
        self.sessions.tick(at(millis));
        self.gather();
    }
    fn view(&self) -> &model::api::show::BfdView {
        self.view.as_ref().expect("a session")
    }
    fn own(&self) -> u32 {
        self.view().discriminator
    }
    fn last(&self) -> &Packet {
        self.sent.last().expect("something was sent")
    }
    /// In this state at 100 ms.
    fn at_state(state: BfdState) -> Bench {
        let mut bench = Bench::new(Config::default());
        let own = bench.own();
        match state {
            AdminDown => {
                bench.hear(100, packet(Down, 0));
                bench.configure(100, None);
            }
            Down => {}
            Init => bench.hear(100, packet(Down, 0)),
            Up => bench.hear(100, packet(Init, own)),
        }
        assert_eq!(bench.view().state, state);
        bench
    }
}

#[test]
fn rfc5880_4_1_a_packet_is_laid_out_as_drawn() {
    let octets = Packet { poll: true, ..packet(Up, 0x0102_0304) }.encode();
    let head = [0x20, 0b1110_0000, 3, 24, 0, 0, 0, 77, 1, 2, 3, 4];
    assert_eq!(octets[..12], head);
    assert_eq!(octets[12..], [[0, 1, 0x86, 0xa0], [0, 1, 0x86, 0xa0], [0; 4]].concat());
    assert_eq!(Packet::decode(&octets), Ok(Packet { poll: true, ..packet(Up, 0x0102_0304) }));
}

#[test]
fn rfc5880_6_8_6_what_is_no_packet_is_discarded() {
    let good = packet(Up, 9).encode();
    let with = |place: usize, octet: u8| {
        let mut octets = good.to_vec();
        octets[place] = octet;
        Packet::decode(&octets)
    };
    assert_eq!(Packet::decode(&good[..23]), Err(Malformed::Truncated(24)));
    assert_eq!(Packet::decode(&good[..3]), Err(Malformed::Short));
    assert_eq!(with(0, 0x40), Err(Malformed::Version(2)));
    assert_eq!(with(0, 0x00), Err(Malformed::Version(0)));
    assert_eq!(with(3, 23), Err(Malformed::Length(23)));
    assert_eq!(with(3, 25), Err(Malformed::Truncated(25)));
    assert_eq!(with(2, 0), Err(Malformed::Multiplier));
    assert_eq!(with(1, 0xc1), Err(Malformed::Multipoint));
    assert_eq!(with(1, 0xc4), Err(Malformed::Length(24)), "an A bit without its section");
    assert_eq!(with(7, 0), Err(Malformed::MyDiscriminator));
    assert_eq!(with(11, 0), Err(Malformed::YourDiscriminator(Up)));
    let mut signed = good.to_vec();
    signed.extend([1, 2]);
    (signed[1], signed[3]) = (0xc4, 26);
    assert_eq!(Packet::decode(&signed), Err(Malformed::Authentication));
    assert!(Packet::decode(&[&good[..], b"padding"].concat()).is_ok(), "what follows Length is ignored");
    for state in [Down, AdminDown] {
        assert!(Packet::decode(&packet(state, 0).encode()).is_ok());
    }
}

#[test]
fn rfc5880_6_8_6_a_packet_that_is_not_for_a_session_is_discarded() {
    let mut bench = Bench::new(Config::default());
    let own = bench.own();
    let arrival = Arrival { from: PEER, distance: Distance::SingleHop, ttl: 255 };
    let stranger = Arrival { from: [10, 0, 0, 3].into(), ..arrival };
    let table = [
        (stranger, packet(Down, 0), Discarded::Stranger),
        (stranger, packet(Up, own), Discarded::Stranger),
        (arrival, packet(Up, own ^ 1), Discarded::Discriminator(own ^ 1)),
        (Arrival { ttl: 254, ..arrival }, packet(Down, 0), Discarded::Forwarded(254)),
        (Arrival { distance: Distance::Multihop, ..arrival }, packet(Down, 0), Discarded::Distance),
    ];
    for (arrival, packet, why) in table {
        assert_eq!(bench.sessions.receive(at(10), arrival, &packet.encode()), Err(why));
    }
    bench.gather();
    assert_eq!((bench.view().state, bench.view().remote_state), (Down, None));
}

#[test]
fn rfc5883_5_a_multihop_session_takes_what_was_forwarded() {
    let mut bench = Bench::new(Config { distance: Distance::Multihop, ..Config::default() });
    let arrival = Arrival { from: PEER, distance: Distance::Multihop, ttl: 3 };
    assert_eq!(bench.sessions.receive(at(10), arrival, &packet(Down, 0).encode()), Ok(()));
    bench.gather();
    assert_eq!(bench.view().state, Init);
}

#[test]
fn rfc5880_6_8_6_each_state_meets_each_state() {
    let table = [
        (Down, [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Down)]),
        (Init, [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Up)]),
        (Up, [(AdminDown, Down), (Down, Down), (Init, Up), (Up, Up)]),
        (AdminDown, [(AdminDown, AdminDown), (Down, AdminDown), (Init, AdminDown), (Up, AdminDown)]),
    ];
    for (from, row) in table {
        for (heard, to) in row {
            let mut bench = Bench::at_state(from);
            let own = bench.own();
            bench.hear(150, packet(heard, own));
            assert_eq!(bench.view().state, to, "{from:?} hears {heard:?}");
            let falls = match (from, heard) {
                (Up, Down) => vec![Fall::Signaled(Diagnostic::NONE)],
                (Up, AdminDown) => vec![Fall::AdminDown],
                _ => vec![],
            };
            assert_eq!(bench.falls, falls, "{from:?} hears {heard:?}");
        }
    }
}

#[test]
fn rfc5880_6_8_3_a_session_that_is_not_up_sends_once_a_second() {
    let mut bench = Bench::new(Config::default());
    assert_eq!((bench.sent.len(), bench.last().min_tx, bench.last().your_discriminator), (1, 1_000_000, 0));
    (1..=10_000).for_each(|millis| bench.tick(millis));
    assert!((10..=14).contains(&bench.sent.len()), "{} packets in ten seconds", bench.sent.len());
}

#[test]
fn rfc5880_6_8_3_coming_up_the_peer_is_polled_until_it_answers() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    assert_eq!((bench.last().poll, bench.last().min_tx, bench.last().your_discriminator), (true, 300_000, 77));
    bench.hear(120, packet(Up, own));
    bench.tick(500);
    assert!(bench.last().poll, "not answered yet");
    bench.hear(520, Packet { fin: true, ..packet(Up, own) });
    bench.tick(900);
    assert!(!bench.last().poll);
}

#[test]
fn rfc5880_6_5_a_poll_is_answered_at_once_by_a_final() {
    let mut bench = Bench::at_state(Up);
    let (own, before) = (bench.own(), bench.sent.len());
    bench.hear(110, Packet { poll: true, ..packet(Up, own) });
    assert_eq!((bench.sent.len(), bench.last().fin, bench.last().poll), (before + 1, true, false));
}

#[test]
fn rfc5880_6_8_3_what_would_hurt_the_peer_waits_for_its_final() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    bench.hear(110, Packet { fin: true, ..packet(Up, own) });
    let interval = |bench: &Bench| bench.view().tx_interval.map(|t| t.0);
    let detection = |bench: &Bench| bench.view().detection_time.map(|t| t.0);
    assert_eq!((interval(&bench), detection(&bench)), (Some(ms(300)), Some(ms(900))));
    bench.configure(120, Some(Config { min_tx: ms(800), min_rx: ms(50), ..Config::default() }));
    assert_eq!((interval(&bench), detection(&bench)), (Some(ms(300)), Some(ms(900))), "before the Final");
    bench.tick(500);
    assert_eq!((bench.last().poll, bench.last().min_tx, bench.last().min_rx), (true, 800_000, 50_000));
    bench.hear(520, Packet { fin: true, ..packet(Up, own) });
    assert_eq!((interval(&bench), detection(&bench)), (Some(ms(800)), Some(ms(300))), "after it");
    assert_eq!((bench.view().state, bench.falls.len()), (Up, 0), "a change is hot");
}

#[test]
fn rfc5880_6_5_a_change_during_a_poll_is_polled_for_again() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    bench.configure(110, Some(Config { min_rx: ms(50), ..Config::default() }));
    bench.hear(120, Packet { fin: true, ..packet(Up, own) });
    assert!(bench.last().poll, "that Final may answer to what was said before");
    bench.hear(130, Packet { fin: true, ..packet(Up, own) });
    bench.tick(500);
    assert!(!bench.last().poll);
}

#[test]
fn rfc5880_6_8_4_silence_for_the_detection_time_is_a_failure() {
    let mut bench = Bench::at_state(Up);
    // The peer's multiplier, 3, by the longer of what it sends, 100 ms, and what we can hear, 300 ms.
    bench.tick(999);
    assert_eq!((bench.view().state, bench.falls.len()), (Up, 0));
    bench.tick(1000);
    assert_eq!(bench.falls, [Fall::Silence(ms(900))]);
    assert_eq!((bench.view().state, bench.view().diag.as_str()), (Down, "control detection time expired"));
    assert_eq!((bench.last().state, bench.last().diagnostic), (Down, Diagnostic::DETECTION_TIME_EXPIRED));
    assert_eq!(bench.last().min_tx, 1_000_000, "slow again (RFC 5880 §6.8.3)");
    assert_eq!(bench.view().remote_discriminator, None, "bfd.RemoteDiscr goes (RFC 5880 §6.8.1)");
}

#[test]
fn rfc5880_6_8_7_jitter_takes_a_quarter_at_most_and_with_multiplier_1_a_tenth_at_least() {
    let mut jitter = Jitter::new(3);
    for (multiplier, least, most) in [(1, 75, 90), (3, 75, 100)] {
        let drawn: Vec<u128> = (0..2000).map(|_| jittered(ms(100), multiplier, &mut jitter).as_millis()).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&least), Some(&most)), "multiplier {multiplier}");
    }
}

#[test]
fn rfc5880_6_8_7_a_peer_that_wants_to_hear_nothing_hears_nothing() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    bench.hear(110, Packet { min_rx: 0, fin: true, ..packet(Up, own) });
    let before = bench.sent.len();
    for millis in (200..2000).step_by(50) {
        bench.hear(millis, Packet { min_rx: 0, ..packet(Up, own) });
    }
    assert_eq!((bench.sent.len(), bench.view().tx_interval), (before, None));
    bench.hear(2000, Packet { min_rx: 0, poll: true, ..packet(Up, own) });
    assert!(bench.last().fin, "but a poll is answered");
}

#[test]
fn rfc5880_6_8_7_a_peer_in_demand_mode_hears_nothing_while_both_are_up() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    bench.hear(110, Packet { demand: true, fin: true, ..packet(Up, own) });
    assert_eq!(bench.view().tx_interval, None);
    bench.hear(120, Packet { demand: false, ..packet(Up, own) });
    assert_eq!(bench.view().tx_interval.map(|t| t.0), Some(ms(300)));
}

#[test]
fn rfc5880_6_8_16_a_session_that_is_taken_away_says_admin_down_for_a_while() {
    let mut bench = Bench::at_state(Up);
    bench.configure(200, None);
    assert_eq!((bench.last().state, bench.falls.len()), (AdminDown, 0));
    let before = bench.sent.len();
    (201..=3199).for_each(|millis| bench.tick(millis));
    assert!(bench.sent.len() >= before + 2 && bench.sent.iter().skip(before).all(|p| p.state == AdminDown));
    assert_eq!(bench.gone, 0);
    bench.tick(3200);
    assert_eq!((bench.gone, bench.sessions.deadline()), (1, None));
}

#[test]
fn a_session_that_is_wanted_again_comes_up_again() {
    let mut bench = Bench::at_state(AdminDown);
    bench.configure(200, Some(Config::default()));
    let own = bench.own();
    bench.hear(300, packet(Init, own));
    (301..=500).for_each(|millis| bench.tick(millis));
    assert_eq!((bench.view().state, bench.gone), (Up, 0));
}

#[test]
fn rfc5881_4_another_distance_is_another_session() {
    let mut bench = Bench::at_state(Up);
    let own = bench.own();
    bench.configure(200, Some(Config { distance: Distance::Multihop, ..Config::default() }));
    assert_ne!(bench.own(), own);
    let states: Vec<BfdState> = bench.sent.iter().rev().take(2).map(|p| p.state).collect();
    assert_eq!((states, bench.falls.len()), (vec![Down, AdminDown], 0));
}
