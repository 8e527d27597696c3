//! The table of packet rules in the kernel: every kind of rule, set and map is written, read back equal, and listed by `nft`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dataplane::linux::netlink::Netlink;
use dataplane::linux::nft::{self, Outcome};
use dataplane::ruleset::{
    Chain, End, FORWARD, Hook, INPUT, Key, KeyType, MapKey, PREROUTING, Range, Rule, Ruleset, Sense, Set, Transaction,
    Verdict, VerdictMap, expr,
};
use model::Family;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::lab::{fresh, sh};
use crate::tables;

const V4: Family = Family::Ipv4;
const V6: Family = Family::Ipv6;

fn address(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn range(first: &str, last: &str) -> Key {
    Key::Range(Range { first: address(first), last: address(last) })
}

/// A table with one of everything.
fn everything() -> Ruleset {
    let mut table = Ruleset::default();
    let mut set = |name: &str, key, elements: Vec<Key>| table.sets.insert(name.into(), Set::of(key, elements));
    set("pods4", KeyType::Address(V4), vec![Key::Address(address("10.1.0.5")), Key::Address(address("10.1.0.6"))]);
    set("pods6", KeyType::Address(V6), vec![Key::Address(address("2001:db8:1::5"))]);
    set("nets4", KeyType::Ranges(V4), vec![range("10.1.0.0", "10.1.0.7"), range("10.1.0.9", "10.1.0.9")]);
    set("nets6", KeyType::Ranges(V6), vec![range("fe80::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]);
    set("all4", KeyType::Ranges(V4), vec![range("0.0.0.0", "255.255.255.255")]);
    set("ports", KeyType::Ports, vec![Key::Ports(80, 80), Key::Ports(8000, 8080), Key::Ports(60000, 65535)]);
    set("sockets4", KeyType::Socket(V4), vec![Key::Socket(address("10.1.0.5"), 6, 80)]);
    set("sockets6", KeyType::Socket(V6), vec![Key::Socket(address("2001:db8:1::5"), 17, 53)]);
    let sources = |to| vec![Key::InterfaceAddress("cali0123456789a".into(), address(to))];
    set("sources4", KeyType::InterfaceAddress(V4), sources("10.1.0.5"));
    set("sources6", KeyType::InterfaceAddress(V6), sources("2001:db8:1::5"));
    set("self4", KeyType::Pair(V4), vec![Key::Pair(address("10.1.0.5"), address("10.1.0.5"))]);
    set("self6", KeyType::Pair(V6), vec![Key::Pair(address("2001:db8:1::5"), address("2001:db8:1::5"))]);
    let mut map = |name: &str, key, elements: Vec<(Key, Verdict)>| {
        table.maps.insert(name.into(), VerdictMap { key, elements: elements.into_iter().collect() })
    };
    let pod = |n: u8| Key::Interface(format!("cali0123456789{n}"));
    map(
        "egress",
        MapKey::Interface,
        vec![
            (pod(1), Verdict::Jump("pod".into())),
            (pod(2), Verdict::Goto("pod".into())),
            (pod(3), Verdict::Continue),
            (pod(4), Verdict::Accept),
            (pod(5), Verdict::Drop),
            (pod(6), Verdict::Return),
        ],
    );
    map("from4", MapKey::Address(V4), vec![(Key::Address(address("10.1.0.5")), Verdict::Jump("pod".into()))]);
    map("to6", MapKey::Address(V6), vec![(Key::Address(address("2001:db8:1::5")), Verdict::Accept)]);
    let mut chain = |name: &str, chain| table.chains.insert(name.into(), Arc::new(chain));
    let (is, not) = (Sense::Is, Sense::IsNot);
    chain(
        "prerouting",
        Chain::base(
            Hook::filter(PREROUTING, -300),
            [
                Rule::of([
                    expr::iifname_prefix("cali", is),
                    expr::family(V6),
                    expr::protocol(58, is),
                    expr::in_prefix(End::Source, "fe80::/10".parse().unwrap(), is),
                    expr::accept(),
                ]),
                Rule::of([
                    expr::family(V6),
                    expr::in_prefix(End::Source, "::/128".parse().unwrap(), not),
                    expr::accept(),
                ]),
                Rule::of([
                    expr::iifname_prefix("cali", is),
                    expr::family(V4),
                    expr::interface_address_in(V4, "sources4", not),
                    expr::counter(),
                    expr::drop(),
                ])
                .comment("spoofed"),
                Rule::of([expr::family(V6), expr::interface_address_in(V6, "sources6", is), expr::accept()]),
                Rule::of([expr::iifname("eth0", is), expr::oifname("eth1", not), expr::accept()]),
                Rule::of([expr::iifname("eth2", is), expr::no_track(), expr::mark(0x1_0000), expr::accept()]),
            ],
        ),
    );
    chain(
        "forward",
        Chain::base(
            Hook::filter(FORWARD, -5),
            [
                Rule::of([expr::ct_established(), expr::accept()]),
                Rule::of([expr::ct_invalid(), expr::oifname_prefix("cali", not), expr::drop()]),
                Rule::of([expr::ct_untracked(is), expr::marked(0x1_0000, is), expr::ret()]),
                Rule::of([expr::ct_untracked(not), expr::marked(0x1_0000, not), expr::drop()]),
                Rule::of([expr::iifname_vmap("egress")]),
                Rule::of([expr::oifname_vmap("egress")]),
                Rule::of([expr::family(V4), expr::address_vmap(V4, End::Source, "from4")]),
                Rule::of([expr::family(V6), expr::address_vmap(V6, End::Destination, "to6")]),
            ],
        ),
    );
    chain("input", Chain::base(Hook { policy: 0, ..Hook::filter(INPUT, -5) }, []));
    chain(
        "pod",
        Chain::new([
            Rule::of([expr::family(V4), expr::address_in(V4, End::Source, "pods4", is), expr::counter(), expr::ret()]),
            Rule::of([expr::family(V6), expr::address_in(V6, End::Destination, "pods6", not), expr::accept()]),
            Rule::of([expr::family(V4), expr::address_in(V4, End::Source, "nets4", not), expr::accept()]),
            Rule::of([expr::family(V6), expr::address_in(V6, End::Source, "nets6", is), expr::accept()]),
            Rule::of([expr::family(V4), expr::address_in(V4, End::Source, "all4", is), expr::accept()]),
            Rule::of([expr::protocol(6, is), expr::port_in(End::Destination, "ports", is), expr::accept()]),
            Rule::of([expr::protocol(17, is), expr::port_between(End::Source, 53..=53, not), expr::accept()]),
            Rule::of([expr::protocol(132, is), expr::port_between(End::Destination, 1..=1023, is), expr::accept()]),
            Rule::of([expr::protocol(6, is), expr::port_between(End::Destination, 1..=1023, not), expr::accept()]),
            Rule::of([expr::family(V4), expr::socket_in(V4, End::Destination, "sockets4", is), expr::accept()]),
            Rule::of([expr::family(V6), expr::socket_in(V6, End::Source, "sockets6", not), expr::accept()]),
            Rule::of([expr::protocol(1, is), expr::icmp(8, None, is), expr::accept()]),
            Rule::of([expr::protocol(58, is), expr::icmp(1, Some(4), not), expr::accept()]),
            Rule::of([expr::goto("denied")]).comment("policy default/none"),
        ]),
    );
    chain(
        "denied",
        Chain::new([
            Rule::of([expr::family(V4), expr::pair_in(V4, "self4", is), expr::accept()]),
            Rule::of([expr::family(V6), expr::pair_in(V6, "self6", is), expr::accept()]),
            Rule::of([expr::within(20, 50), expr::log(4, "denied")]),
            Rule::of([expr::beyond(20, 50), expr::counter()]),
            Rule::of([expr::log(5, "")]),
            Rule::of([expr::jump("nothing")]),
            Rule::of([expr::reject()]),
            Rule::of([expr::counter(), expr::drop()]),
        ]),
    );
    chain("nothing", Chain::default());
    table
}

#[test]
fn a_rule_of_every_kind_is_written_and_reads_back_the_same() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = everything();
        nft::commit(&mut netlink, &Ruleset::transaction(None, &want)).unwrap();
        let have = nft::read(&mut netlink).unwrap().unwrap();
        assert_eq!(have.difference(&want), None, "{have}");
        assert_eq!(have, want);
        assert_eq!(Ruleset::transaction(Some(&have), &want), Transaction::default());
    });
}

#[test]
fn nft_lists_a_rule_of_every_kind_as_a_person_would_write_it() {
    fresh(|| {
        nft::commit(&mut Netlink::netfilter().unwrap(), &Ruleset::transaction(None, &everything())).unwrap();
        let listed = sh("nft list ruleset");
        let missing: Vec<&str> = LISTED.lines().map(str::trim).filter(|line| !listed.contains(line)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{listed}");
    });
}

#[test]
fn transactions_between_any_tables_are_taken_by_the_kernel_and_read_back_as_wanted() {
    fresh(|| {
        let netlink = RefCell::new(Netlink::netfilter().unwrap());
        let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&(tables::any_table(), tables::any_table()), |(a, b)| {
            let netlink = &mut *netlink.borrow_mut();
            for transaction in [Transaction::replacement(&a), Ruleset::transaction(Some(&a), &b)] {
                let committed = nft::commit(netlink, &transaction);
                prop_assert!(committed.is_ok(), "{committed:?}");
            }
            prop_assert_eq!(nft::read(netlink).unwrap(), Some(b));
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn ranges_grow_touch_and_reach_the_last_of_all_in_small_changes() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let steps: [&[Key]; 7] = [
            &[range("10.0.0.0", "10.0.0.255")],
            // Beside each other, and then one.
            &[range("10.0.0.0", "10.0.0.255"), range("10.0.1.0", "10.0.1.255")],
            &[range("10.0.0.0", "10.0.1.255"), range("255.255.255.255", "255.255.255.255")],
            &[range("10.0.0.0", "10.0.1.255"), range("240.0.0.0", "255.255.255.255")],
            &[range("0.0.0.0", "255.255.255.255")],
            &[range("0.0.0.0", "0.0.0.0"), range("10.0.0.0", "10.0.0.255")],
            &[],
        ];
        let mut have: Option<Ruleset> = None;
        for keys in steps {
            let mut want = Ruleset::default();
            want.sets.insert("nets".into(), Set::of(KeyType::Ranges(V4), keys.iter().cloned()));
            nft::commit(&mut netlink, &Ruleset::transaction(have.as_ref(), &want)).unwrap();
            let read = nft::read(&mut netlink).unwrap();
            // The kernel tells ranges that touch as two; what is wanted has none such, once it is settled.
            assert_eq!(read.as_ref(), Some(&want));
            have = read;
        }
    });
}

#[test]
fn a_refusal_names_what_was_asked_for_and_leaves_the_table_as_it_was() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = everything();
        nft::commit(&mut netlink, &Ruleset::transaction(None, &want)).unwrap();
        let mut change = Transaction::default();
        change.add_elements("pods4", [Key::Address(address("10.1.0.7"))]);
        change.remove_set("sockets4");
        let error = nft::commit(&mut netlink, &change).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EBUSY));
        assert!(error.to_string().starts_with("delete set sockets4: "), "{error}");
        let mut change = Transaction::default();
        change.make_chain("more", Arc::new(Chain::new([Rule::of([expr::goto("nowhere")])])));
        let error = nft::commit(&mut netlink, &change).unwrap_err();
        assert!(error.to_string().starts_with("add 1 rules to more: "), "{error}");
        assert_eq!(nft::read(&mut netlink).unwrap(), Some(want));
    });
}

#[test]
fn what_others_put_into_the_table_is_seen_and_mended() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = everything();
        nft::commit(&mut netlink, &Ruleset::transaction(None, &want)).unwrap();
        for (harm, seen) in [
            (
                "nft delete rule inet margay forward handle $(nft -a list chain inet margay forward |
                sed -n 's/.*accept # handle //p')",
                "chain forward",
            ),
            ("nft add rule inet margay pod drop", "chain pod"),
            ("nft insert rule inet margay denied meta mark 1 accept", "chain denied"),
            ("nft delete element inet margay egress { cali01234567891 }", "map egress"),
            ("nft add element inet margay egress { cali9 : accept }", "map egress"),
            ("nft add element inet margay sources4 { cali9 . 10.1.0.5 }", "set sources4"),
            ("nft add element inet margay sockets6 { 2001:db8::1 . tcp . 443 }", "set sockets6"),
            ("nft add element inet margay egress '{ * : accept }'", "map egress"),
            ("nft 'add map inet margay more { type mark : verdict; }'", "map more"),
            ("nft 'add set inet margay more { type ipv4_addr; flags timeout; }'", "set more"),
            ("nft add chain inet margay more; nft add rule inet margay more jump denied", "chain more"),
            ("nft add table inet margay '{ flags dormant; }'", "chain forward"),
            ("nft flush ruleset", "the table"),
        ] {
            sh(harm);
            assert_eq!(nft::settle(&mut netlink, Some(&want)).unwrap(), Outcome::Changed(seen.into()), "{harm}");
            assert_eq!(nft::settle(&mut netlink, Some(&want)).unwrap(), Outcome::Same, "{harm}");
        }
    });
}

#[test]
fn the_table_is_read_while_others_change_theirs() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = everything();
        nft::commit(&mut netlink, &Ruleset::transaction(None, &want)).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    sh("nft 'add table inet other; delete table inet other; add table ip margay; delete table ip margay'");
                }
            });
            for _ in 0..100 {
                assert_eq!(nft::read(&mut netlink).unwrap().as_ref(), Some(&want));
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

/// Lines of `nft list ruleset`, without its own indentation.
const LISTED: &str = r#"
    elements = { 0.0.0.0/0 }
    elements = { 10.1.0.0/29, 10.1.0.9 }
    elements = { fe80::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff }
    elements = { 10.1.0.5, 10.1.0.6 }
    elements = { 80, 8000-8080, 60000-65535 }
    elements = { 10.1.0.5 . 10.1.0.5 }
    elements = { 10.1.0.5 . tcp . 80 }
    elements = { 2001:db8:1::5 . udp . 53 }
    elements = { "cali0123456789a" . 10.1.0.5 }
    elements = { "cali0123456789a" . 2001:db8:1::5 }
    elements = { "cali01234567891" : jump pod,
    "cali01234567892" : goto pod,
    "cali01234567893" : continue,
    "cali01234567896" : return }
    elements = { 10.1.0.5 : jump pod }
    elements = { 2001:db8:1::5 : accept }
    ip saddr . ip daddr @self4 accept
    ip6 saddr . ip6 daddr @self6 accept
    limit rate 20/second burst 50 packets log prefix "denied" group 4 snaplen 128 queue-threshold 1
    limit rate over 20/second burst 50 packets counter packets 0 bytes 0
    log group 5 snaplen 128 queue-threshold 1
    jump nothing
    reject with icmpx admin-prohibited
    counter packets 0 bytes 0 drop
    type filter hook forward priority filter - 5; policy accept;
    ct state established,related accept
    ct state invalid oifname != "cali*" drop
    iifname vmap @egress
    oifname vmap @egress
    ip saddr vmap @from4
    ip6 daddr vmap @to6
    type filter hook input priority filter - 5; policy drop;
    ip saddr @pods4 counter packets 0 bytes 0 return
    ip6 daddr != @pods6 accept
    tcp dport @ports accept
    udp sport != 53 accept
    sctp dport 1-1023 accept
    tcp dport != 1-1023 accept
    ip daddr . meta l4proto . th dport @sockets4 accept
    ip6 saddr . meta l4proto . th sport != @sockets6 accept
    icmp type echo-request accept
    icmpv6 type != destination-unreachable icmpv6 code != port-unreachable accept
    goto denied comment "policy default/none"
    type filter hook prerouting priority raw; policy accept;
    iifname "cali*" meta l4proto ipv6-icmp ip6 saddr fe80::/10 accept
    ip6 saddr != :: accept
    iifname "cali*" iifname . ip saddr != @sources4 counter packets 0 bytes 0 drop comment "spoofed"
    iifname . ip6 saddr @sources6 accept
    iifname "eth0" oifname != "eth1" accept"#;
