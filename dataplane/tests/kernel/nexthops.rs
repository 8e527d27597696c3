//! Nexthop objects: many routes share one, which moves them all in one message; what the kernel takes away comes back.

use std::net::IpAddr;
use std::sync::mpsc::channel;

use dataplane::actual::{Actual, KernelEvent, Snapshot};
use dataplane::diff::{self, Keys};
use dataplane::linux::monitor::Monitor;
use dataplane::linux::netlink::Netlink;
use dataplane::linux::routes::{self, Outcome, Whose};
use dataplane::linux::{links, nexthops};
use dataplane::requests::{Request, Work};
use dataplane::want::{NextHop, NextHops, Route};
use dataplane::wanted::Wanted;
use model::Prefix;

use crate::lab::{fresh, sh, uplinks};

const ROUTES: u32 = 2_000;

fn via(gateway: &str, device: u32) -> NextHop {
    NextHop::via(gateway.parse::<IpAddr>().unwrap(), device)
}

fn prefix(n: u32) -> Prefix {
    Prefix::host((0x0a00_0000 + n).to_be_bytes().into())
}

fn prefix_v6(n: u32) -> Prefix {
    format!("2001:db8:{n:x}::/64").parse().unwrap()
}

fn all_to(prefix: impl Fn(u32) -> Prefix, hops: &[NextHop]) -> Wanted {
    let hops = NextHops::new(hops.iter().copied()).unwrap();
    (0..ROUTES).map(|n| Route::unicast(prefix(n), hops.clone())).collect()
}

/// The kernel as a newborn agent reads it.
fn read() -> Actual {
    let mut netlink = Netlink::route().unwrap();
    let snapshot = Snapshot {
        links: links::read(&mut netlink).unwrap(),
        addresses: Vec::new(),
        nexthops: nexthops::read(&mut netlink).unwrap(),
        routes: routes::read(&mut netlink, Whose::All).unwrap(),
    };
    let mut actual = Actual::default();
    actual.learn(KernelEvent::Snapshot(snapshot));
    actual
}

fn run(work: &Work) -> Outcome {
    routes::apply(&mut Netlink::route().unwrap(), work, |_| ()).unwrap()
}

/// One round without the removal of what is unused: what was asked of the kernel.
fn round(want: &Wanted) -> Work {
    let mut actual = read();
    let work = Work::new(diff::routes(want, &actual, Keys::All).steps, want, &actual);
    assert_eq!(run(&work), Outcome::default());
    work.requests.iter().filter_map(|request| work.effect(request)).for_each(|effect| _ = actual.learn(effect));
    assert_eq!(actual, read(), "the picture that follows from the requests is the kernel's");
    work
}

/// Like [`round`], with the removal, and another in which nothing is left to be done.
fn settle(want: &Wanted) -> Work {
    let work = round(want);
    assert_eq!(run(&Work::of_unused(&read())), Outcome::default());
    let actual = read();
    assert_eq!(diff::routes(want, &actual, Keys::All).steps, []);
    assert_eq!(Work::of_unused(&actual).requests, []);
    work
}

/// How many requests of each kind: objects made, objects moved, routes.
fn messages(work: &Work) -> (usize, usize, usize) {
    let count = |is: fn(&Request) -> bool| work.requests.iter().filter(|request| is(request)).count();
    (
        count(|request| matches!(request, Request::Make(_))),
        count(|request| matches!(request, Request::Move { .. })),
        count(|request| matches!(request, Request::Route { .. })),
    )
}

/// How many routes of a family lead so.
fn routes_by(family: &str, way: &str) -> usize {
    sh(&format!("ip -o {family} route show proto 109 | grep -c '{way}' || true")).parse().unwrap()
}

fn objects() -> String {
    sh("ip -N nexthop")
}

#[test]
fn one_message_moves_all_routes_of_a_next_hop_to_another_gateway_or_interface() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let all = ROUTES as usize;
        assert_eq!(messages(&settle(&all_to(prefix, &[via("192.0.2.2", up0)]))), (1, 0, all));
        assert_eq!(objects(), "id 1828716545 via 192.0.2.2 dev up0 scope 253 proto 109");
        for (hop, shown) in [
            (via("192.0.2.3", up0), "nhid 1828716545 via 192.0.2.3 dev up0 "),
            (via("198.51.100.2", up1), "nhid 1828716545 via 198.51.100.2 dev up1 "),
            (via("203.0.113.1", up1).onlink(), "nhid 1828716545 via 203.0.113.1 dev up1 .*onlink"),
            (via("fe80::1", up0), "nhid 1828716545 via inet6 fe80::1 dev up0 "),
            (via("192.0.2.2", up0), "nhid 1828716545 via 192.0.2.2 dev up0 "),
        ] {
            assert_eq!(messages(&settle(&all_to(prefix, &[hop]))), (0, 1, 0), "{shown}");
            assert_eq!(routes_by("-4", shown), all, "{shown}");
        }
        settle(&Wanted::default());
        assert_eq!(objects(), "");
    });
}

#[test]
fn a_group_loses_and_gains_next_hops_in_one_message_in_both_families() {
    fresh(|| {
        let [up0, up1] = uplinks();
        for (prefix, family, near, far) in [
            (prefix as fn(u32) -> Prefix, "-4", "192.0.2.2", "198.51.100.2"),
            (prefix_v6 as fn(u32) -> Prefix, "-6", "2001:db8:ffff::2", "2001:db8:fffe::2"),
        ] {
            let all = ROUTES as usize;
            let [near, far] = [via(near, up0), via(far, up1)];
            // Two members, the group, the routes.
            assert_eq!(messages(&settle(&all_to(prefix, &[near, far]))), (3, 0, all));
            assert_eq!(messages(&settle(&all_to(prefix, &[near]))), (0, 1, 0));
            assert_eq!((routes_by(family, "dev up0"), routes_by(family, "dev up1")), (all, 0));
            assert_eq!(messages(&settle(&all_to(prefix, &[far]))), (1, 1, 0));
            assert_eq!((routes_by(family, "dev up0"), routes_by(family, "dev up1")), (0, all));
            assert_eq!(messages(&settle(&all_to(prefix, &[near, far]))), (1, 1, 0));
            assert_eq!((routes_by(family, "dev up0"), routes_by(family, "dev up1")), (all, all));
            settle(&Wanted::default());
            assert_eq!(objects(), "");
        }
    });
}

#[test]
fn where_a_few_routes_of_a_next_hop_go_elsewhere_only_those_are_touched() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let [old, new, other] = [via("192.0.2.2", up0), via("198.51.100.2", up1), via("192.0.2.9", up0)];
        settle(&all_to(prefix, &[old]));
        let mut want = all_to(prefix, &[new]);
        (0..10).for_each(|n| _ = want.insert(Route::unicast(prefix(n), NextHops::one(other))));
        (10..15).for_each(|n| want.remove(&Route::blackhole(prefix(n)).key()));
        want.insert(Route::blackhole(prefix(15)));
        // Ten to another object, which they came by an object to; five deletions; one to nowhere.
        assert_eq!(messages(&settle(&want)), (1, 1, 16));
        assert_eq!(routes_by("-4", "via 198.51.100.2 dev up1"), ROUTES as usize - 16);
        assert_eq!(routes_by("-4", "via 192.0.2.9 dev up0"), 10);
        // One route that stays is enough to keep the object where it is.
        let mut want = all_to(prefix, &[old]);
        want.insert(Route::unicast(prefix(100), NextHops::one(new)));
        let work = settle(&want);
        assert_eq!(messages(&work).1, 1, "only the object of the ten");
    });
}

#[test]
fn routes_of_an_older_agent_change_over_to_an_object_without_a_gap() {
    fresh(|| {
        let [up0, _] = uplinks();
        let want = all_to(prefix, &[via("192.0.2.2", up0)]);
        let inline = Actual::default();
        let outcome = run(&Work::new(diff::routes(&want, &inline, Keys::All).steps, &want, &inline));
        assert_eq!((outcome, objects().as_str()), (Outcome::default(), ""));
        let (monitor, stopper) = Monitor::open().unwrap();
        let (tell, told) = channel();
        std::thread::spawn(move || monitor.run(|event| _ = tell.send(event)));
        assert!(matches!(told.recv(), Ok(KernelEvent::Snapshot(_))));
        assert_eq!(messages(&settle(&want)), (1, 0, ROUTES as usize));
        // The last word on the last route: all others have been told.
        sh("ip route add 10.99.0.0/24 via 192.0.2.2");
        let last: Prefix = "10.99.0.0/24".parse().unwrap();
        let is_last = |event: &KernelEvent| matches!(event, KernelEvent::Route(route) if route.prefix == last);
        let events: Vec<KernelEvent> = told.iter().take_while(|event| !is_last(event)).collect();
        let replaced = events.iter().filter(|event| matches!(event, KernelEvent::RouteReplaced(_))).count();
        assert_eq!((replaced, events.len()), (ROUTES as usize, 1 + ROUTES as usize), "none was taken away");
        drop(stopper);
    });
}

#[test]
fn few_routes_name_their_next_hops_until_more_join_them() {
    fresh(|| {
        let [up0, _] = uplinks();
        let hops = NextHops::one(via("192.0.2.2", up0));
        let mut want: Wanted = (0..63).map(|n| Route::unicast(prefix(n), hops.clone())).collect();
        assert_eq!(messages(&settle(&want)), (0, 0, 63));
        assert_eq!(want.insert(Route::unicast(prefix(63), hops.clone())), Some(hops.clone()));
        assert_eq!(messages(&settle(&want)), (1, 0, 64));
        (1..64).for_each(|n| want.remove(&Route::blackhole(prefix(n)).key()));
        assert_eq!(messages(&settle(&want)), (0, 0, 63));
        assert_eq!(routes_by("-4", "nhid 1828716545"), 1, "the last one stays as it is");
    });
}

#[test]
fn objects_of_others_are_left_alone_even_with_ids_that_are_ours() {
    fresh(|| {
        let [up0, _] = uplinks();
        sh("ip nexthop add id 1828716545 via 192.0.2.2 dev up0 proto static
            ip nexthop add id 7 via 192.0.2.2 dev up0; ip nexthop add id 8 group 7
            ip route add 10.9.0.0/16 nhid 8");
        let before = objects();
        settle(&all_to(prefix, &[via("192.0.2.2", up0)]));
        assert_eq!(routes_by("-4", "nhid 1828716546 via 192.0.2.2"), ROUTES as usize);
        settle(&all_to(prefix, &[via("192.0.2.3", up0)]));
        settle(&Wanted::default());
        assert_eq!(objects(), before);
        assert_eq!(sh("ip route show 10.9.0.0/16"), "10.9.0.0/16 nhid 8 via 192.0.2.2 dev up0");
    });
}

#[test]
fn a_next_hop_that_the_kernel_refuses_costs_its_own_routes_only_and_the_refusal_says_why() {
    fresh(|| {
        let [up0, _] = uplinks();
        let bad = NextHops::one(via("203.0.113.9", up0));
        let mut want = all_to(prefix, &[via("192.0.2.2", up0)]);
        (0..100)
            .for_each(|n| _ = want.insert(Route::unicast(prefix_v6(n), NextHops::one(via("2001:db8:ffff::2", up0)))));
        (0..100).for_each(|n| _ = want.insert(Route::unicast(prefix(n), bad.clone())));
        let actual = read();
        let outcome = run(&Work::new(diff::routes(&want, &actual, Keys::All).steps, &want, &actual));
        assert_eq!((outcome.failures.len(), outcome.unmade.len(), outcome.stale), (100, 1, false));
        let text = outcome.failures[0].to_string();
        assert!(text.contains("10.0.0.0/32") && text.contains("Nexthop has invalid gateway"), "{text}");
        assert_eq!(routes_by("-4", "via 192.0.2.2 dev up0"), ROUTES as usize - 100);
        assert_eq!(routes_by("-6", "via 2001:db8:ffff::2 dev up0"), 100);
    });
}

#[test]
fn routes_by_an_object_that_is_gone_are_refused_and_the_picture_is_known_to_be_old() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let [old, new] = [via("192.0.2.2", up0), via("198.51.100.2", up1)];
        settle(&all_to(prefix, &[old]));
        let actual = read();
        let with = |hop| (0..ROUTES + 1).map(|n| Route::unicast(prefix(n), NextHops::one(hop))).collect::<Wanted>();
        sh("ip nexthop del id 1828716545");
        // One more route; and all of them elsewhere.
        for want in [with(old), with(new)] {
            let work = Work::new(diff::routes(&want, &actual, Keys::All).steps, &want, &actual);
            let outcome = run(&work);
            assert!(outcome.stale && !outcome.failures.is_empty(), "{work:?}");
        }
        settle(&all_to(prefix, &[old]));
    });
}
