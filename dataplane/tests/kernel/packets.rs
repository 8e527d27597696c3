//! What the rules do to packets: dispatch by interface, sets of every type, established connections, counters, the log.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::linux::netlink::Netlink;
use dataplane::linux::netns::Netns;
use dataplane::linux::nflog::{Flow, Reader, Transport};
use dataplane::linux::nft::{self, Count};
use dataplane::ruleset::{
    Chain, End, FORWARD, Hook, Key, KeyType, MapKey, PREROUTING, Part, Range, Rule, Ruleset, Sense, Set, Transaction,
    Verdict, VerdictMap, expr,
};
use model::Family;

use crate::lab::{fresh, index, sh};
use crate::wires::{IN_VAIN, SURELY, arrives, fresh_namespace, is_lost, link};

const V4: Family = Family::Ipv4;
const V6: Family = Family::Ipv6;
const A: &str = "10.1.1.2";
const B: &str = "10.1.2.2";
const A6: &str = "2001:db8:1::2";
const B6: &str = "2001:db8:2::2";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two pods behind `calia` and `calib`, with second addresses.
fn pods() -> (Netns, Netns) {
    let node = Netns::current().unwrap();
    sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    let (a, b) = (fresh_namespace(), fresh_namespace());
    link(
        &node,
        &a,
        "calia",
        &["10.1.1.1/24", "2001:db8:1::1/64"],
        &["10.1.1.2/24", "10.1.1.3/24", "10.1.1.4/24", "2001:db8:1::2/64"],
    );
    link(&node, &b, "calib", &["10.1.2.1/24", "2001:db8:2::1/64"], &["10.1.2.2/24", "10.1.2.3/24", "2001:db8:2::2/64"]);
    a.run(|| sh("ip route add default via 10.1.1.1; ip -6 route add default via 2001:db8:1::1")).unwrap();
    b.run(|| sh("ip route add default via 10.1.2.1; ip -6 route add default via 2001:db8:2::1")).unwrap();
    (a, b)
}

/// Puts the rules into a base chain for what is forwarded, with what they refer to.
fn forward(mut table: Ruleset, rules: impl IntoIterator<Item = Rule>) {
    table.chains.insert("forward".into(), Arc::new(Chain::base(Hook::filter(FORWARD, -5), rules)));
    let mut netlink = Netlink::netfilter().unwrap();
    nft::settle(&mut netlink, Some(&table)).unwrap();
    assert_eq!(nft::read(&mut netlink).unwrap(), Some(table));
}

/// What is dropped but for what a test lets pass.
fn only(part: Part) -> [Rule; 2] {
    [Rule::of([part, expr::accept()]), Rule::of([expr::drop()])]
}

fn with_set(key: KeyType, elements: impl IntoIterator<Item = Key>) -> Ruleset {
    let mut table = Ruleset::default();
    table.sets.insert("set".into(), Set::of(key, elements));
    table
}

/// A socket at a port that may have been another's just before: a child that some other test has forked holds the socket
/// until it becomes another program.
fn bind(at: &str, port: u16) -> UdpSocket {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match UdpSocket::bind((address(at), port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => std::thread::yield_now(),
            bound => return bound.unwrap(),
        }
    }
}

/// Whether a datagram from an address of `client` arrives at an address and port of `server`.
fn passes(client: &Netns, from: &str, server: &Netns, to: &str, port: u16) -> bool {
    knock(client, from, server, to, port, SURELY)
}

/// Whether it does not.
fn is_stopped(client: &Netns, from: &str, server: &Netns, to: &str, port: u16) -> bool {
    !knock(client, from, server, to, port, IN_VAIN)
}

fn knock(client: &Netns, from: &str, server: &Netns, to: &str, port: u16, within: Duration) -> bool {
    let server = server.run(|| bind(to, port)).unwrap();
    let client = client.run(|| UdpSocket::bind((address(from), 0)).unwrap()).unwrap();
    server.set_read_timeout(Some(within)).unwrap();
    client.send_to(b"knock", SocketAddr::new(address(to), port)).unwrap();
    server.recv_from(&mut [0; 16]).is_ok()
}

#[test]
fn interfaces_are_dispatched_by_the_map_and_an_unknown_one_is_not() {
    fresh(|| {
        let (a, b) = pods();
        let mut table = Ruleset::default();
        let pod = |name: &str| Key::Interface(name.into());
        let open = Arc::new(Chain::new([Rule::of([expr::counter(), expr::accept()])]));
        table.chains.insert("open".into(), open);
        let closed = Arc::new(Chain::new([Rule::of([expr::counter(), expr::drop()])]));
        table.chains.insert("closed".into(), closed);
        let map = VerdictMap {
            key: MapKey::Interface,
            elements: [(pod("calia"), Verdict::Goto("open".into())), (pod("calib"), Verdict::Goto("closed".into()))]
                .into(),
        };
        table.maps.insert("egress".into(), map);
        let rules = || {
            [
                Rule::of([expr::iifname_vmap("egress")]),
                Rule::of([expr::iifname_prefix("cali", Sense::Is), expr::drop()]),
            ]
        };
        forward(table, rules());
        assert!(arrives(&a, &b, B), "open");
        assert!(is_lost(&b, &a, A), "closed");
        let mut netlink = Netlink::netfilter().unwrap();
        let mut change = Transaction::default();
        change.set_verdict(
            "egress",
            pod("calib"),
            Some(Verdict::Goto("closed".into())),
            Some(Verdict::Goto("open".into())),
        );
        change.set_verdict("egress", pod("calia"), Some(Verdict::Goto("open".into())), None);
        change.remove_chain("closed");
        nft::commit(&mut netlink, &change).unwrap();
        assert!(arrives(&b, &a, A), "open now");
        assert!(is_lost(&a, &b, B), "unknown now");
    });
}

#[test]
fn a_source_that_is_not_the_interfaces_own_is_dropped() {
    fresh(|| {
        let (a, b) = pods();
        let mut table = Ruleset::default();
        let own = |to| [Key::InterfaceAddress("calia".into(), address(to))];
        table.sets.insert("sources4".into(), Set::of(KeyType::InterfaceAddress(V4), own(A)));
        table.sets.insert("sources6".into(), Set::of(KeyType::InterfaceAddress(V6), own(A6)));
        let spoof = |family, set| {
            Rule::of([
                expr::iifname("calia", Sense::Is),
                expr::family(family),
                expr::interface_address_in(family, set, Sense::IsNot),
                expr::drop(),
            ])
        };
        let discovery = Rule::of([expr::family(V6), expr::protocol(58, Sense::Is), expr::accept()]);
        let rules = [discovery, spoof(V4, "sources4"), spoof(V6, "sources6")];
        table.chains.insert("raw".into(), Arc::new(Chain::base(Hook::filter(PREROUTING, -300), rules)));
        nft::settle(&mut Netlink::netfilter().unwrap(), Some(&table)).unwrap();
        assert!(passes(&a, A, &b, B, 1000));
        assert!(is_stopped(&a, "10.1.1.3", &b, B, 1000));
        assert!(passes(&a, A6, &b, B6, 1000));
        let mut change = Transaction::default();
        change.remove_elements("sources6", own(A6));
        change.add_elements("sources4", [Key::InterfaceAddress("calia".into(), address("10.1.1.3"))]);
        nft::commit(&mut Netlink::netfilter().unwrap(), &change).unwrap();
        assert!(passes(&a, "10.1.1.3", &b, B, 1000));
        assert!(is_stopped(&a, A6, &b, B6, 1000));
    });
}

#[test]
fn sets_of_addresses_and_of_ranges_hold_what_is_in_them_and_nothing_beside() {
    fresh(|| {
        let (a, b) = pods();
        let from = |family| expr::address_in(family, End::Source, "set", Sense::Is);
        forward(
            with_set(KeyType::Address(V4), [Key::Address(address(A))]),
            only([expr::family(V4), from(V4)].concat()),
        );
        assert!(passes(&a, A, &b, B, 1000) && is_stopped(&a, "10.1.1.3", &b, B, 1000));
        let range = |first, last| Key::Range(Range { first: address(first), last: address(last) });
        forward(
            with_set(KeyType::Ranges(V4), [range("10.1.1.0", A), range("10.1.1.4", "255.255.255.255")]),
            only([expr::family(V4), from(V4)].concat()),
        );
        assert!(passes(&a, A, &b, B, 1000), "the last of a range");
        assert!(is_stopped(&a, "10.1.1.3", &b, B, 1000), "between two");
        assert!(passes(&a, "10.1.1.4", &b, B, 1000), "the first of a range");
        let discovery = Rule::of([expr::protocol(58, Sense::Is), expr::accept()]);
        let prefix =
            |text: &str| [expr::family(V6), expr::in_prefix(End::Source, text.parse().unwrap(), Sense::Is)].concat();
        forward(Ruleset::default(), [vec![discovery.clone()], only(prefix("2001:db8::/47")).to_vec()].concat());
        assert!(passes(&a, A6, &b, B6, 1000));
        forward(Ruleset::default(), [vec![discovery], only(prefix("2001:db8:2::/47")).to_vec()].concat());
        assert!(is_stopped(&a, A6, &b, B6, 1000));
    });
}

#[test]
fn sockets_pairs_and_ports_are_looked_up_whole() {
    fresh(|| {
        let (a, b) = pods();
        for (family, from, to) in [(V4, A, B), (V6, A6, B6)] {
            let socket = Key::Socket(address(to), 17, 1000);
            let test = [expr::family(family), expr::socket_in(family, End::Destination, "set", Sense::Is)].concat();
            let discovery = Rule::of([expr::protocol(58, Sense::Is), expr::accept()]);
            let rules = |part| [vec![discovery.clone()], only(part).to_vec()].concat();
            forward(with_set(KeyType::Socket(family), [socket, Key::Socket(address(to), 6, 1001)]), rules(test));
            assert!(passes(&a, from, &b, to, 1000), "{to}");
            assert!(is_stopped(&a, from, &b, to, 1001), "of another protocol: {to}");
            let test = [expr::family(family), expr::pair_in(family, "set", Sense::Is)].concat();
            forward(with_set(KeyType::Pair(family), [Key::Pair(address(from), address(to))]), rules(test));
            assert!(passes(&a, from, &b, to, 1000), "{to}");
            assert!(is_stopped(&b, to, &a, from, 1000), "the other way: {to}");
        }
        let udp = expr::protocol(17, Sense::Is);
        let ports = [Key::Ports(1000, 1001), Key::Ports(65000, 65535)];
        let test = [udp.clone(), expr::port_in(End::Destination, "set", Sense::Is)].concat();
        forward(with_set(KeyType::Ports, ports), only(test));
        let assert = |passing: [u16; 2], stopped: [u16; 2]| {
            passing.iter().for_each(|port| assert!(passes(&a, A, &b, B, *port), "{port} passes"));
            stopped.iter().for_each(|port| assert!(is_stopped(&a, A, &b, B, *port), "{port} is stopped"));
        };
        assert([1001, 65535], [999, 64999]);
        let (inside, outside) = ([1000, 1002], [999, 1003]);
        for (sense, passing, stopped) in [(Sense::Is, inside, outside), (Sense::IsNot, outside, inside)] {
            let test = [udp.clone(), expr::port_between(End::Destination, 1000..=1002, sense)].concat();
            forward(Ruleset::default(), only(test));
            assert(passing, stopped);
        }
    });
}

#[test]
fn an_answer_passes_where_a_question_would_not() {
    fresh(|| {
        let (a, b) = pods();
        let from_a = [expr::iifname("calia", Sense::Is), expr::accept()];
        forward(
            Ruleset::default(),
            [Rule::of([expr::ct_established(), expr::accept()]), Rule::of(from_a), Rule::of([expr::drop()])],
        );
        assert!(is_lost(&b, &a, A), "a question");
        let server = b.run(|| UdpSocket::bind((address(B), 0)).unwrap()).unwrap();
        let client = a.run(|| UdpSocket::bind((address(A), 0)).unwrap()).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        client.send_to(b"question", server.local_addr().unwrap()).unwrap();
        let (_, asker) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"answer", asker).unwrap();
        assert!(client.recv_from(&mut [0; 16]).is_ok(), "an answer");
    });
}

#[test]
fn denials_are_counted_and_the_first_of_them_logged() {
    fresh(|| {
        let (a, b) = pods();
        let mut reader = Reader::open(4).unwrap();
        assert_eq!(Reader::open(4).unwrap_err().errno(), Some(libc::EPERM), "a group has one reader");
        let mut table = Ruleset::default();
        let denied = Chain::new([
            Rule::of([expr::within(1, 3), expr::log(4, "ingress of b")]),
            Rule::of([expr::counter(), expr::drop()]),
        ]);
        table.chains.insert("denied".into(), Arc::new(denied));
        forward(table, [Rule::of([expr::protocol(58, Sense::Is), expr::accept()]), Rule::of([expr::goto("denied")])]);
        let client = a.run(|| UdpSocket::bind((address(A), 4000)).unwrap()).unwrap();
        let client6 = a.run(|| UdpSocket::bind((address(A6), 4000)).unwrap()).unwrap();
        client6.send_to(b"knock", SocketAddr::new(address(B6), 53)).unwrap();
        for _ in 0..49 {
            client.send_to(b"knock", SocketAddr::new(address(B), 53)).unwrap();
        }
        let mut netlink = Netlink::netfilter().unwrap();
        let counted = Count { packets: 50, octets: 49 * 33 + 53 };
        let until = Instant::now() + SURELY;
        while nft::counters_of(&mut netlink, "denied").unwrap() != [None, Some(counted)] && Instant::now() < until {
            std::thread::yield_now();
        }
        let mut heard = Vec::new();
        loop {
            let more = reader.wait(IN_VAIN).unwrap();
            assert!(!more.lost);
            if more.packets.is_empty() {
                break;
            }
            heard.extend(more.packets);
        }
        // The burst, and those for which a second has passed meanwhile.
        assert!((3..20).contains(&heard.len()), "{heard:?}");
        let read: Vec<(&str, u32, Option<u32>, Option<u32>)> =
            heard.iter().map(|one| (one.prefix.as_str(), u32::from(one.hook), one.input, one.output)).collect();
        assert!(
            read.iter().all(|one| *one == ("ingress of b", FORWARD, Some(index("calia")), Some(index("calib")))),
            "{read:?}"
        );
        let flow = |source, destination| Flow {
            source: address(source),
            destination: address(destination),
            protocol: 17,
            transport: Transport::Ports { source: 4000, destination: 53 },
        };
        assert_eq!(heard[0].flow, Some(flow(A6, B6)));
        assert_eq!(heard[1].flow, Some(flow(A, B)));
        assert_eq!(nft::counters_of(&mut netlink, "denied").unwrap(), [None, Some(counted)]);
        let all = nft::counters(&mut netlink).unwrap();
        assert_eq!(all["forward"], [None, None]);
        assert_eq!(all["denied"], [None, Some(counted)]);
        // A reader that ends leaves the group to the next.
        drop(reader);
        Reader::open(4).unwrap();
        drop(b);
    });
}
