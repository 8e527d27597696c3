//! Random tables of packet rules, of few names, so that two of them share much.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::ruleset::{
    Chain, End, FORWARD, Hook, INPUT, Key, KeyType, MapKey, Range, Rule, Ruleset, Sense, Set, Verdict, VerdictMap,
    apart, expr,
};
use model::Family;
use proptest::prelude::*;

const V4: Family = Family::Ipv4;

/// Any table: what its rules and maps refer to is there, and nothing jumps in a circle.
pub fn any_table() -> impl Strategy<Value = Ruleset> {
    let sets = proptest::collection::btree_map(0..6u8, any_set(), 0..6);
    let maps = proptest::collection::btree_map(0..3u8, any_map(), 0..3);
    let chains = proptest::collection::btree_map(0..5u8, proptest::collection::vec(any_rule(), 0..4), 0..5);
    let bases = proptest::collection::btree_map(0..2u8, proptest::collection::vec(any_rule(), 0..4), 0..3);
    (sets, maps, chains, bases).prop_map(|(sets, maps, chains, bases)| {
        let sets = sets.into_iter().map(|(n, set)| (format!("s{n}"), set)).collect();
        let mut table = Ruleset { sets, ..Ruleset::default() };
        let targets: BTreeSet<u8> = chains.keys().copied().collect();
        let real = |verdict: Wish| verdict.real(|n| targets.contains(&n));
        for (n, (key, elements)) in maps {
            let elements = elements.into_iter().map(|(key, wish)| (key, real(wish))).collect();
            table.maps.insert(format!("m{n}"), VerdictMap { key, elements });
        }
        for (n, rules) in &chains {
            let rules = rules.iter().filter_map(|rule| rule.real(&table, |to| to > *n && targets.contains(&to), false));
            table.chains.insert(format!("c{n}"), Arc::new(Chain::new(rules.collect::<Vec<_>>())));
        }
        for (n, rules) in &bases {
            let rules = rules.iter().filter_map(|rule| rule.real(&table, |to| targets.contains(&to), true));
            let hook = Hook::filter([FORWARD, INPUT][usize::from(*n)], -5);
            table.chains.insert(format!("b{n}"), Arc::new(Chain::base(hook, rules.collect::<Vec<_>>())));
        }
        table
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 1]>().prop_map(|[n]| IpAddr::from([10, 0, 0, n % 8])), Just(IpAddr::from([255; 4]))]
}

fn any_set() -> impl Strategy<Value = Set> {
    let few = 0..6usize;
    let name = (0..3u8).prop_map(|n| format!("cali{n}"));
    prop_oneof![
        proptest::collection::vec(any_address(), few.clone())
            .prop_map(|all| Set::of(KeyType::Address(V4), all.into_iter().map(Key::Address))),
        proptest::collection::vec((any_address(), any_address()), few.clone()).prop_map(|all| {
            let ranges = all.into_iter().map(|(a, b)| Range { first: a.min(b), last: a.max(b) });
            Set::of(KeyType::Ranges(V4), apart(ranges).into_iter().map(Key::Range))
        }),
        proptest::collection::btree_set(0..20u16, few.clone())
            .prop_map(|all| Set::of(KeyType::Ports, all.into_iter().map(|n| Key::Ports(n * 100, n * 100 + 50)))),
        proptest::collection::vec((any_address(), 0..2u8, 0..3u16), few.clone()).prop_map(|all| {
            Set::of(KeyType::Socket(V4), all.into_iter().map(|(a, protocol, port)| Key::Socket(a, protocol, port)))
        }),
        proptest::collection::vec((name, any_address()), few).prop_map(|all| Set::of(
            KeyType::InterfaceAddress(V4),
            all.into_iter().map(|(n, a)| Key::InterfaceAddress(n, a))
        )),
    ]
}

/// A verdict of which nobody knows yet whether its chain is there.
#[derive(Debug, Clone)]
enum Wish {
    Plain(Verdict),
    Jump(u8),
    Goto(u8),
}

impl Wish {
    fn real(self, is_there: impl Fn(u8) -> bool) -> Verdict {
        match self {
            Wish::Plain(verdict) => verdict,
            Wish::Jump(n) if is_there(n) => Verdict::Jump(format!("c{n}")),
            Wish::Goto(n) if is_there(n) => Verdict::Goto(format!("c{n}")),
            Wish::Jump(_) | Wish::Goto(_) => Verdict::Drop,
        }
    }
}

fn any_verdict() -> impl Strategy<Value = Wish> {
    prop_oneof![
        Just(Wish::Plain(Verdict::Accept)),
        Just(Wish::Plain(Verdict::Return)),
        (0..5u8).prop_map(Wish::Jump),
        (0..5u8).prop_map(Wish::Goto),
    ]
}

fn any_map() -> impl Strategy<Value = (MapKey, BTreeMap<Key, Wish>)> {
    let interfaces =
        proptest::collection::btree_map((0..6u8).prop_map(|n| Key::Interface(format!("cali{n}"))), any_verdict(), 0..6);
    let addresses = proptest::collection::btree_map(any_address().prop_map(Key::Address), any_verdict(), 0..6);
    prop_oneof![
        3 => interfaces.prop_map(|all| (MapKey::Interface, all)),
        1 => addresses.prop_map(|all| (MapKey::Address(V4), all)),
    ]
}

/// A rule of which nobody knows yet whether what it refers to is there.
#[derive(Debug, Clone)]
enum AnyRule {
    Counted(Wish),
    Looking(u8, Wish),
    Dispatching(u8),
}

fn any_rule() -> impl Strategy<Value = AnyRule> {
    prop_oneof![
        any_verdict().prop_map(AnyRule::Counted),
        (0..6u8, any_verdict()).prop_map(|(set, verdict)| AnyRule::Looking(set, verdict)),
        (0..3u8).prop_map(AnyRule::Dispatching),
    ]
}

impl AnyRule {
    /// Only base chains dispatch, as a map may lead to any other chain.
    fn real(&self, table: &Ruleset, is_there: impl Fn(u8) -> bool, is_base: bool) -> Option<Rule> {
        let verdict = |wish: &Wish| expr::verdict(wish.clone().real(is_there));
        Some(match self {
            AnyRule::Counted(wish) => Rule::of([expr::counter(), verdict(wish)]).comment("counted"),
            AnyRule::Looking(n, wish) => {
                let name = format!("s{n}");
                let look = match table.sets.get(&name)?.key {
                    KeyType::Address(_) | KeyType::Ranges(_) => expr::address_in(V4, End::Source, &name, Sense::Is),
                    KeyType::Ports => expr::port_in(End::Destination, &name, Sense::IsNot),
                    KeyType::Socket(_) => expr::socket_in(V4, End::Destination, &name, Sense::Is),
                    _ => expr::interface_address_in(V4, &name, Sense::IsNot),
                };
                Rule::of([expr::family(V4), look, verdict(wish)])
            }
            AnyRule::Dispatching(n) if is_base => {
                let name = format!("m{n}");
                match table.maps.get(&name)?.key {
                    MapKey::Interface => Rule::of([expr::iifname_vmap(&name)]),
                    _ => Rule::of([expr::family(V4), expr::address_vmap(V4, End::Source, &name)]),
                }
            }
            AnyRule::Dispatching(_) => return None,
        })
    }
}
