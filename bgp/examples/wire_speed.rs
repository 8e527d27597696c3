//! How long the codec takes per prefix: `cargo run --release -p bgp --example wire_speed`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench that meets one has failed

use std::hint::black_box;
use std::time::{Duration, Instant};

use bgp::wire::{
    Attributes, Community, Context, Framer, Message, NextHop, Nlri, Origin, PeerKind, Prefix4, Prefix6, Transmit,
    encode,
};
use model::{Asn, Family};

/// Routes per round.
const ROUTES: u32 = 100_000;
const ROUNDS: usize = 9;

fn attributes(path: u32, next_hop: NextHop) -> Attributes {
    let mut draft = Attributes::new(Origin::Igp, next_hop).edit();
    draft.set_as_path(&[65001, 3356, 1299, 1000 + path].map(|n| Asn::new(n).unwrap()));
    draft.set_communities([0xfde8_0001, 0xfde8_0002, 0xfde8_0003].map(Community));
    draft.build()
}

fn four(i: u32) -> Nlri<Prefix4> {
    Nlri::plain(Prefix4::new(0x0100_0000 + (i << 8), 24).unwrap())
}
fn six(i: u32) -> Nlri<Prefix6> {
    Nlri::plain(Prefix6::new(0x2001 << 112 | u128::from(i) << 80, 48).unwrap())
}

/// A stream with so many prefixes per set of attributes.
fn stream(family: Family, together: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for start in (0..ROUTES).step_by(together as usize) {
        let range = start..(start + together).min(ROUTES);
        match family {
            Family::Ipv4 => {
                let set = attributes(start, NextHop::V4("10.9.0.2".parse().unwrap()));
                encode::updates(family, &set, range.map(four), &Transmit::PLAIN, &mut out)
            }
            Family::Ipv6 => {
                let set = attributes(start, NextHop::V6("2001:db8::2".parse().unwrap()));
                encode::updates(family, &set, range.map(six), &Transmit::PLAIN, &mut out)
            }
        }
        .unwrap();
    }
    out
}

/// Reads the stream as a session does and touches every prefix; returns how many there were.
fn decode(stream: &[u8], context: &Context) -> u64 {
    let mut framer = Framer::new();
    let mut prefixes = 0;
    for part in stream.chunks(16 << 10) {
        framer.push(part);
        while let Some(frame) = framer.next_frame().unwrap() {
            let Message::Update(update) = Message::decode(frame, context).unwrap() else { panic!() };
            for r in &update.reachable {
                for n in r.nlri.ipv4() {
                    black_box(n);
                    prefixes += 1;
                }
                for n in r.nlri.ipv6() {
                    black_box(n);
                    prefixes += 1;
                }
            }
            black_box(update);
        }
    }
    prefixes
}

/// The best of some rounds, in nanoseconds per route.
fn best(mut round: impl FnMut()) -> f64 {
    let least = (0..ROUNDS).map(|_| time(&mut round)).min().unwrap();
    least.as_secs_f64() * 1e9 / f64::from(ROUTES)
}
fn time(round: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    round();
    start.elapsed()
}

fn main() {
    let context = Context::new(PeerKind::External, Asn::new(65001).unwrap());
    println!("{:>7} {:>20} {:>14} {:>14}", "family", "prefixes per set", "decode ns/rt", "encode ns/rt");
    for family in Family::ALL {
        for together in [1, 7, 100, 1000] {
            let octets = stream(family, together);
            let read = best(|| assert_eq!(decode(&octets, &context), u64::from(ROUTES)));
            let written = best(|| {
                black_box(stream(family, together));
            });
            println!("{family:>7} {together:>20} {read:>14.1} {written:>14.1}");
        }
    }
    let set = attributes(1, NextHop::V4("10.9.0.2".parse().unwrap()));
    println!("a set of attributes: {} octets, {} of them fixed", set.memory(), size_of::<Attributes>());
}
