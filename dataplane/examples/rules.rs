//! What changes of a large table of packet rules cost, in a network namespace of its own; needs root.
//!
//! `cargo run --release -p dataplane --example rules -- 3333` (pods, each with a chain of 3 rules) prints milliseconds of
//! this thread on a processor, codec and kernel together: what else the machine does is not in them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for people: it ends where something fails")]

use std::sync::Arc;
use std::time::Duration;

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

/// What the thread has spent on a processor.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap())
}

/// What something takes of it.
fn taken<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let before = spent();
    let result = what();
    (spent() - before, result)
}

fn once<T>(name: &str, what: impl FnOnce() -> T) -> T {
    let (time, result) = taken(what);
    println!("{name:44} {:8.3} ms", time.as_secs_f64() * 1e3);
    result
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e3
}

/// One of many, the median of them and the slowest.
fn measure(name: &str, mut one: impl FnMut(u32)) {
    let times: Vec<Duration> = (0..ROUNDS).map(|n| taken(|| one(n)).0).collect();
    let slowest = times.iter().max().unwrap().as_secs_f64() * 1e3;
    println!("{name:44} {:8.3} ms (slowest {slowest:.3})", median(times));
}

fn main() {
    let number = |at: usize| std::env::args().nth(at).and_then(|text| text.parse().ok());
    let (pods, sets) = (number(1).unwrap_or(3_333u32), number(2).unwrap_or(0));
    netns::unshare().unwrap();
    let mut netlink = Netlink::netfilter().unwrap();
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
