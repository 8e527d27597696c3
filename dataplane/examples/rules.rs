//! What changes of a large table of packet rules cost, in a network namespace of its own; needs root.
//!
//! `cargo run --release -p dataplane --example rules -- 10000` prints medians in milliseconds: of the whole, and of the
//! kernel's part in it (the rest is the codec's).

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

fn commit(netlink: &mut Netlink, transaction: &Transaction) -> Duration {
    let begun = Instant::now();
    nft::commit(netlink, transaction).unwrap();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e3
}

fn measure(name: &str, mut one: impl FnMut(u32) -> Duration) {
    let times: Vec<Duration> = (0..ROUNDS).map(&mut one).collect();
    let worst = times.iter().max().unwrap().as_secs_f64() * 1e3;
    println!("{name:44} {:8.3} ms (worst {worst:.3})", median(times));
}

fn main() {
    let number = |at: usize| std::env::args().nth(at).and_then(|text| text.parse().ok());
    let (pods, sets) = (number(1).unwrap_or(10_000u32), number(2).unwrap_or(0));
    netns::unshare().unwrap();
    let mut netlink = Netlink::netfilter().unwrap();
    let want = table(pods, sets);
    let begun = Instant::now();
    let all = Ruleset::transaction(None, &want);
    println!("{:44} {:8.3} ms", "plan all from nothing", begun.elapsed().as_secs_f64() * 1e3);
    println!("{:44} {:8.3} ms", "commit all from nothing", commit(&mut netlink, &all).as_secs_f64() * 1e3);
    let begun = Instant::now();
    let have = nft::read(&mut netlink).unwrap().unwrap();
    println!("{:44} {:8.3} ms", "read back", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let again = Ruleset::transaction(Some(&have), &want);
    println!("{:44} {:8.3} ms", "compare", begun.elapsed().as_secs_f64() * 1e3);
    assert!(again.is_empty());
    let begun = Instant::now();
    assert_eq!(nft::counters(&mut netlink).unwrap().len(), pods as usize + 2);
    println!("{:44} {:8.3} ms", "read all counters", begun.elapsed().as_secs_f64() * 1e3);
    measure("read one chain's counters", |n| {
        let begun = Instant::now();
        assert_eq!(nft::counters_of(&mut netlink, &format!("i{n}")).unwrap().len(), 3);
        begun.elapsed()
    });
    changes(&mut netlink, pods);
    let time = commit(&mut netlink, &Transaction::removal()).as_secs_f64() * 1e3;
    println!("{:44} {time:8.3} ms", "remove all");
}

fn changes(netlink: &mut Netlink, pods: u32) {
    measure("one element of a set, added", |n| {
        let mut change = Transaction::default();
        change.add_elements("pods", [Key::Address(address(pods + n))]);
        commit(netlink, &change)
    });
    measure("one element of a set, removed", |n| {
        let mut change = Transaction::default();
        change.remove_elements("pods", [Key::Address(address(pods + n))]);
        commit(netlink, &change)
    });
    measure("one chain made, put in another's place", |n| {
        let mut change = Transaction::default();
        let (before, after) = (format!("i{n}"), format!("j{n}"));
        change.make_chain(&after, chain("pods", 81));
        let key = Key::Interface(interface(n));
        change.set_verdict("ingress", key, Some(Verdict::Goto(before.clone())), Some(Verdict::Goto(after)));
        change.remove_chain(&before);
        commit(netlink, &change)
    });
    measure("one pod, with its chain, added", |n| {
        let mut change = Transaction::default();
        let (pod, name) = (pods + n, format!("n{n}"));
        change.make_chain(&name, chain("pods", 82));
        change.set_verdict("ingress", Key::Interface(interface(pod)), None, Some(Verdict::Goto(name)));
        change.add_elements("sources4", [Key::InterfaceAddress(interface(pod), address(pod))]);
        commit(netlink, &change)
    });
    measure("one pod, with its chain, removed", |n| {
        let mut change = Transaction::default();
        let (pod, name) = (pods + n, format!("n{n}"));
        change.set_verdict("ingress", Key::Interface(interface(pod)), Some(Verdict::Goto(name.clone())), None);
        change.remove_elements("sources4", [Key::InterfaceAddress(interface(pod), address(pod))]);
        change.remove_chain(&name);
        commit(netlink, &change)
    });
}
