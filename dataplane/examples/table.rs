//! What changes of a large table of packet rules cost, in a network namespace of its own; needs root.
//!
//! `cargo run --release -p dataplane --example table -- 3333` (pods, each with a chain of 3 rules) prints
//! milliseconds, codec and kernel together: as a clock sees them (of many the median), and on a processor (of many the mean).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for people: it ends where something fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::linux::netlink::Netlink;
use dataplane::linux::{netns, nft};
use dataplane::ruleset::{
    Chain, End, FORWARD, Hook, Key, KeyType, MapKey, Rule, Ruleset, Sense, Set, Transaction, Verdict, VerdictMap, expr,
};
use model::Family;

const ROUNDS: u32 = 101;

fn address(n: u32) -> std::net::IpAddr {
    (0x0a00_0000 + n).to_be_bytes().into()
}

fn interface(n: u32) -> String {
    format!("cali{n:011x}")
}

/// A pod's chain: a set of peers, a port, the end.
fn chain(set: &str, port: u16) -> Arc<Chain> {
    let family = Family::Ipv4;
    Arc::new(Chain::new([
        Rule::of([
            expr::family(family),
            expr::address_in(family, End::Source, set, Sense::Is),
            expr::counter(),
            expr::accept(),
        ]),
        Rule::of([
            expr::protocol(6, Sense::Is),
            expr::port_between(End::Destination, port..=port, Sense::Is),
            expr::counter(),
            expr::accept(),
        ]),
        Rule::of([expr::counter(), expr::goto("denied")]),
    ]))
}

/// `pods` interfaces, each with a chain of its own, and so many sets.
fn table(pods: u32, sets: u32) -> Ruleset {
    let family = Family::Ipv4;
    let mut table = Ruleset::default();
    let all = (0..pods).map(address).map(Key::Address);
    table.sets.insert("pods".into(), Set::of(KeyType::Address(family), all));
    for n in 0..sets {
        let few = (n..n + 3).map(address).map(Key::Address);
        table.sets.insert(format!("s{n}"), Set::of(KeyType::Address(family), few));
    }
    let sources = (0..pods).map(|n| Key::InterfaceAddress(interface(n), address(n)));
    table.sets.insert("sources4".into(), Set::of(KeyType::InterfaceAddress(family), sources));
    let mut dispatch = VerdictMap::new(MapKey::Interface);
    for n in 0..pods {
        let set = if sets == 0 { "pods".into() } else { format!("s{}", n % sets) };
        table.chains.insert(format!("i{n}"), chain(&set, 80));
        dispatch.elements.insert(Key::Interface(interface(n)), Verdict::Goto(format!("i{n}")));
    }
    table.maps.insert("ingress".into(), dispatch);
    table.chains.insert("denied".into(), Arc::new(Chain::new([Rule::of([expr::counter(), expr::drop()])])));
    let rules = [Rule::of([expr::ct_established(), expr::accept()]), Rule::of([expr::oifname_vmap("ingress")])];
    table.chains.insert("forward".into(), Arc::new(Chain::base(Hook::filter(FORWARD, -5), rules)));
    table
}

/// What this thread has spent on a processor, in milliseconds. The kernel counts in ticks.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap() / 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn once<T>(name: &str, what: impl FnOnce() -> T) -> T {
    let (begun, before) = (Instant::now(), spent());
    let result = what();
    println!("{name:40} {:9.3} {:9.3}", milliseconds(begun.elapsed()), spent() - before);
    result
}

/// The median time of many, and the mean of the processor's.
fn measure(name: &str, mut one: impl FnMut(u32)) {
    let before = spent();
    let time = |n| {
        let begun = Instant::now();
        one(n);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..ROUNDS).map(time).collect();
    let mean = (spent() - before) / f64::from(ROUNDS);
    times.sort();
    println!("{name:40} {:9.3} {mean:9.3}", milliseconds(*times.get(times.len() / 2).unwrap()));
}

fn main() {
    let number = |at: usize| std::env::args().nth(at).and_then(|text| text.parse().ok());
    let (pods, sets) = (number(1).unwrap_or(3_333u32), number(2).unwrap_or(0));
    netns::unshare().unwrap();
    let mut netlink = Netlink::netfilter().unwrap();
    println!("{:40} {:>9} {:>9}", format!("{pods} pods, {} rules, {sets} sets", 3 * pods), "clock", "processor");
    let want = table(pods, sets);
    let all = once("plan all from nothing", || Ruleset::transaction(None, &want));
    once("commit all from nothing", || nft::commit(&mut netlink, &all).unwrap());
    let have = once("read back", || nft::read(&mut netlink).unwrap().unwrap());
    let again = once("compare", || Ruleset::transaction(Some(&have), &want));
    assert!(again.is_empty());
    let counts = once("read all counters", || nft::counters(&mut netlink).unwrap());
    assert_eq!(counts.len(), pods as usize + 2);
    measure("read one chain's counters", |n| {
        assert_eq!(nft::counters_of(&mut netlink, &format!("i{n}")).unwrap().len(), 3);
    });
    changes(&mut netlink, pods);
    once("remove all", || nft::remove(&mut netlink).unwrap());
}

fn changes(netlink: &mut Netlink, pods: u32) {
    measure("one element of a set, added", |n| {
        let mut change = Transaction::default();
        change.add_elements("pods", [Key::Address(address(pods + n))]);
        nft::commit(netlink, &change).unwrap();
    });
    measure("one element of a set, removed", |n| {
        let mut change = Transaction::default();
        change.remove_elements("pods", [Key::Address(address(pods + n))]);
        nft::commit(netlink, &change).unwrap();
    });
    measure("one chain made, put in another's place", |n| {
        let mut change = Transaction::default();
        let (before, after) = (format!("i{n}"), format!("j{n}"));
        change.make_chain(&after, chain("pods", 81));
        let key = Key::Interface(interface(n));
        change.set_verdict("ingress", key, Some(Verdict::Goto(before.clone())), Some(Verdict::Goto(after)));
        change.remove_chain(&before);
        nft::commit(netlink, &change).unwrap();
    });
    measure("one pod, with its chain, added", |n| {
        let mut change = Transaction::default();
        let (pod, name) = (pods + n, format!("n{n}"));
        change.make_chain(&name, chain("pods", 82));
        change.set_verdict("ingress", Key::Interface(interface(pod)), None, Some(Verdict::Goto(name)));
        change.add_elements("sources4", [Key::InterfaceAddress(interface(pod), address(pod))]);
        nft::commit(netlink, &change).unwrap();
    });
    measure("one pod, with its chain, removed", |n| {
        let mut change = Transaction::default();
        let (pod, name) = (pods + n, format!("n{n}"));
        change.set_verdict("ingress", Key::Interface(interface(pod)), Some(Verdict::Goto(name.clone())), None);
        change.remove_elements("sources4", [Key::InterfaceAddress(interface(pod), address(pod))]);
        change.remove_chain(&name);
        nft::commit(netlink, &change).unwrap();
    });
}
