//! Routes: what is asked for is what `ip route` shows, ours are told from others', and bulk goes in few sends.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU8;

use dataplane::actual::{Actual, ActualRoute};
use dataplane::diff::{self, Keys, Step};
use dataplane::linux::netlink::Netlink;
use dataplane::linux::routes::{self, Failure, Outcome, Whose};
use dataplane::requests::Work;
use dataplane::table::RouteTable;
use dataplane::want::{NextHop, NextHops, Route};
use dataplane::wanted::Wanted;

use crate::lab::{fresh, sh, uplinks};

fn via(gateway: &str, device: u32) -> NextHop {
    NextHop::via(gateway.parse::<IpAddr>().unwrap(), device)
}

fn unicast(prefix: &str, hops: impl IntoIterator<Item = NextHop>) -> Route {
    Route::unicast(prefix.parse().unwrap(), NextHops::new(hops).unwrap())
}

fn blackhole(prefix: &str) -> Route {
    Route::blackhole(prefix.parse().unwrap())
}

fn wanted(routes: impl IntoIterator<Item = Route>) -> Wanted {
    routes.into_iter().collect()
}

/// One round of the reconciliation: read, compare, change. Returns the steps and what failed.
fn reconcile(want: &Wanted) -> (diff::Steps, Vec<Failure>) {
    let mut netlink = Netlink::route().unwrap();
    let actual = without_objects(routes::read(&mut netlink, Whose::All).unwrap());
    let steps = diff::routes(want, &actual, Keys::All);
    let outcome = apply(&mut netlink, &steps.steps);
    (steps, outcome.failures)
}

/// The picture of a kernel that knows no nexthop objects.
fn without_objects(routes: Vec<ActualRoute>) -> Actual {
    Actual { routes: RouteTable::new(routes), ..Actual::default() }
}

/// Does steps without nexthop objects.
fn apply(netlink: &mut Netlink, steps: &[Step]) -> Outcome {
    routes::apply(netlink, &Work::new(steps.to_vec(), &Wanted::default(), &Actual::default()), |_| ()).unwrap()
}

fn settle(want: &Wanted) {
    let (_, failures) = reconcile(want);
    assert_eq!(failures, []);
    let (steps, _) = reconcile(want);
    assert_eq!(steps.steps, [], "a second round has nothing to do");
}

#[test]
fn routes_of_every_kind_are_as_ip_route_shows_them_and_a_second_round_touches_nothing() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let three = NonZeroU8::new(3).unwrap();
        let want = wanted([
            unicast("10.1.0.0/26", [via("192.0.2.2", up0)]),
            unicast("10.1.0.64/26", [via("192.0.2.2", up0), via("198.51.100.2", up1)]),
            unicast("10.1.0.128/26", [NextHop { weight: three, ..via("192.0.2.2", up0) }, via("198.51.100.2", up1)]),
            unicast("10.1.1.0/26", [via("203.0.113.9", up0).onlink()]),
            unicast("10.1.1.64/26", [NextHop::via_any("192.0.2.3".parse().unwrap())]),
            unicast("10.1.1.128/26", [via("2001:db8:ffff::2", up0)]),
            unicast("10.1.2.5/32", [NextHop::on_link(up0)]),
            blackhole("10.1.2.0/26"),
            unicast("2001:db8:1::/64", [via("2001:db8:ffff::2", up0)]),
            unicast("2001:db8:2::/64", [via("2001:db8:ffff::2", up0), via("2001:db8:fffe::2", up1)]),
            unicast("2001:db8:3::/64", [via("fe80::1", up0)]),
            unicast("2001:db8:4::5/128", [NextHop::on_link(up0)]),
            blackhole("2001:db8:5::/64"),
        ]);
        settle(&want);
        assert_eq!(
            sh("ip -4 route show proto 109; ip -6 route show proto 109"),
            "10.1.0.0/26 via 192.0.2.2 dev up0 metric 1024\n\
             10.1.0.64/26 metric 1024\n\
             nexthop via 192.0.2.2 dev up0 weight 1\n\
             nexthop via 198.51.100.2 dev up1 weight 1\n\
             10.1.0.128/26 metric 1024\n\
             nexthop via 192.0.2.2 dev up0 weight 3\n\
             nexthop via 198.51.100.2 dev up1 weight 1\n\
             10.1.1.0/26 via 203.0.113.9 dev up0 metric 1024 onlink\n\
             10.1.1.64/26 via 192.0.2.3 dev up0 metric 1024\n\
             10.1.1.128/26 via inet6 2001:db8:ffff::2 dev up0 metric 1024\n\
             blackhole 10.1.2.0/26 metric 1024\n\
             10.1.2.5 dev up0 scope link metric 1024\n\
             2001:db8:1::/64 via 2001:db8:ffff::2 dev up0 metric 1024 pref medium\n\
             2001:db8:2::/64 metric 1024 pref medium\n\
             nexthop via 2001:db8:fffe::2 dev up1 weight 1\n\
             nexthop via 2001:db8:ffff::2 dev up0 weight 1\n\
             2001:db8:3::/64 via fe80::1 dev up0 metric 1024 pref medium\n\
             2001:db8:4::5 dev up0 metric 1024 pref medium\n\
             blackhole 2001:db8:5::/64 dev lo metric 1024 pref medium"
        );
        settle(&Wanted::default());
        assert_eq!(sh("ip -4 route show proto 109; ip -6 route show proto 109"), "");
    });
}

#[test]
fn rfc8950_an_ipv4_route_goes_by_link_local_ipv6_routers_and_changes_in_place() {
    fresh(|| {
        let [up0, up1] = uplinks();
        // Routers of two links may well have the same link-local address.
        let both = [via("fe80::1", up0), via("fe80::1", up1)];
        let show = || sh("ip -4 route show proto 109");
        let prefix = "10.1.0.0/26";
        for (hops, shown) in [
            (vec![via("fe80::1", up0)], "10.1.0.0/26 via inet6 fe80::1 dev up0 metric 1024"),
            (vec![via("fe80::1", up1)], "10.1.0.0/26 via inet6 fe80::1 dev up1 metric 1024"),
            (
                both.to_vec(),
                "10.1.0.0/26 metric 1024\n\
                 nexthop via inet6 fe80::1 dev up0 weight 1\n\
                 nexthop via inet6 fe80::1 dev up1 weight 1",
            ),
            (
                vec![via("192.0.2.2", up0), via("fe80::1", up1)],
                "10.1.0.0/26 metric 1024\n\
                 nexthop via 192.0.2.2 dev up0 weight 1\n\
                 nexthop via inet6 fe80::1 dev up1 weight 1",
            ),
            (vec![via("192.0.2.2", up0)], "10.1.0.0/26 via 192.0.2.2 dev up0 metric 1024"),
        ] {
            settle(&wanted([unicast(prefix, hops)]));
            assert_eq!(show(), shown);
        }
        settle(&Wanted::default());
        assert_eq!(show(), "");
    });
}

#[test]
fn a_route_changes_from_any_kind_to_any_other_in_place() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let kinds = |prefix: &str, near: &str, far: &str| {
            [
                blackhole(prefix),
                unicast(prefix, [via(near, up0)]),
                unicast(prefix, [via(near, up0), via(far, up1)]),
                unicast(prefix, [via(far, up1)]),
                unicast(prefix, [NextHop::on_link(up1)]),
            ]
        };
        for kinds in [
            kinds("10.1.0.0/26", "192.0.2.2", "198.51.100.2"),
            kinds("2001:db8:1::/64", "2001:db8:ffff::2", "2001:db8:fffe::2"),
        ] {
            for (from, to) in kinds.iter().flat_map(|from| kinds.iter().map(move |to| (from, to))) {
                settle(&wanted([from.clone()]));
                let (steps, failures) = reconcile(&wanted([to.clone()]));
                assert_eq!(failures, [], "{from} to {to}");
                let replaced = matches!(steps.steps[..], [Step::Replace { .. }]);
                assert_eq!(replaced, from != to, "{from} to {to}: {:?}", steps.steps);
                assert_eq!(reconcile(&wanted([to.clone()])).0.steps, [], "{from} to {to}");
            }
        }
    });
}

#[test]
fn routes_of_others_are_never_touched_and_the_want_says_who_holds_its_place() {
    fresh(|| {
        let [up0, _] = uplinks();
        sh("ip route add 10.1.0.0/26 via 192.0.2.9 metric 1024 proto static
            ip route add 10.1.0.64/26 via 192.0.2.9 metric 50 proto bird
            ip route add 10.9.0.0/16 via 192.0.2.9
            ip route add 10.1.0.0/26 via 192.0.2.9 metric 1024 proto 109 table 100
            ip -6 route add 2001:db8:1::/64 via 2001:db8:ffff::9 metric 1024 proto static");
        let others = "ip route show table all proto static; ip route show proto bird; ip route show proto boot
                      ip route show table 100; ip -6 route show proto static";
        let before = sh(others);
        let want = wanted([
            unicast("10.1.0.0/26", [via("192.0.2.2", up0)]),
            unicast("10.1.0.64/26", [via("192.0.2.2", up0)]),
            unicast("2001:db8:1::/64", [via("2001:db8:ffff::2", up0)]),
        ]);
        let (steps, failures) = reconcile(&want);
        assert_eq!(failures, []);
        let held: Vec<String> = steps.held.values().map(ToString::to_string).collect();
        assert_eq!(
            held,
            [
                "10.1.0.0/26 metric 1024 is held by proto static route",
                "2001:db8:1::/64 metric 1024 is held by proto static route"
            ]
        );
        assert_eq!(sh("ip route show proto 109"), "10.1.0.64/26 via 192.0.2.2 dev up0 metric 1024");
        settle(&Wanted::default());
        assert_eq!(sh(others), before);
    });
}

#[test]
fn a_place_taken_a_moment_ago_stays_the_takers() {
    fresh(|| {
        let [up0, _] = uplinks();
        let mut netlink = Netlink::route().unwrap();
        let want = wanted([unicast("10.1.0.0/26", [via("192.0.2.2", up0)]), blackhole("10.1.0.64/26")]);
        settle(&want);
        let ours = without_objects(routes::read(&mut netlink, Whose::Ours).unwrap());
        let deletions = diff::routes(&Wanted::default(), &ours, Keys::All).steps;
        sh("ip route flush proto 109
            ip route add 10.1.0.0/26 via 192.0.2.2 dev up0 metric 1024 proto static
            ip route add blackhole 10.1.0.64/26 metric 1024 proto static");
        let theirs = sh("ip route show proto static");
        let additions: Vec<Step> = want.values().cloned().map(Step::Add).collect();
        let outcome = apply(&mut netlink, &additions);
        assert_eq!((outcome.failures.len(), outcome.stale), (2, true));
        assert_eq!(apply(&mut netlink, &deletions), Outcome::default(), "already gone is as good as deleted");
        assert_eq!(sh("ip route show proto static"), theirs);
    });
}

#[test]
fn to_replace_what_is_gone_makes_nothing_and_says_that_the_picture_is_old() {
    fresh(|| {
        let [up0, _] = uplinks();
        settle(&wanted([blackhole("10.1.0.0/26"), blackhole("2001:db8:1::/64")]));
        let mut netlink = Netlink::route().unwrap();
        let actual = without_objects(routes::read(&mut netlink, Whose::All).unwrap());
        let want = wanted([
            unicast("10.1.0.0/26", [via("192.0.2.2", up0)]),
            unicast("2001:db8:1::/64", [via("2001:db8:ffff::2", up0)]),
        ]);
        let steps = diff::routes(&want, &actual, Keys::All).steps;
        assert!(steps.iter().all(|step| matches!(step, Step::Replace { .. })), "{steps:?}");
        sh("ip route flush proto 109; ip -6 route flush proto 109");
        let outcome = apply(&mut netlink, &steps);
        assert_eq!((outcome.failures.len(), outcome.stale), (2, true), "{outcome:?}");
        assert_eq!(routes::read(&mut netlink, Whose::Ours).unwrap(), []);
    });
}

#[test]
fn one_of_our_routes_appended_by_hand_is_deleted_and_the_right_one_stays() {
    fresh(|| {
        let [up0, _] = uplinks();
        let want = wanted([unicast("10.1.0.0/26", [via("192.0.2.2", up0)])]);
        settle(&want);
        sh("ip route prepend 10.1.0.0/26 via 192.0.2.7 metric 1024 proto 109
            ip route append 10.1.0.0/26 via 192.0.2.8 metric 1024 proto 109");
        settle(&want);
        assert_eq!(sh("ip route show proto 109"), "10.1.0.0/26 via 192.0.2.2 dev up0 metric 1024");
    });
}

#[test]
fn a_refused_route_says_why_and_the_others_go_in() {
    fresh(|| {
        let [up0, _] = uplinks();
        let want = wanted([
            unicast("10.1.0.0/26", [via("203.0.113.1", up0)]),
            unicast("10.1.0.64/26", [via("192.0.2.2", up0)]),
            unicast("10.1.0.128/26", [NextHop::on_link(4711)]),
        ]);
        let steps = diff::routes(&want, &Actual::default(), Keys::All).steps;
        let outcome = apply(&mut Netlink::route().unwrap(), &steps);
        assert!(!outcome.stale);
        let failures = outcome.failures;
        let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[1].contains("10.1.0.0/26") && texts[1].contains("invalid gateway"), "{texts:?}");
        assert!(texts[0].contains("10.1.0.128/26") && texts[0].contains("No such device"), "{texts:?}");
        assert_eq!(sh("ip route show proto 109"), "10.1.0.64/26 via 192.0.2.2 dev up0 metric 1024");
    });
}

#[test]
fn ten_thousand_routes_and_their_failures_are_told_apart() {
    fresh(|| {
        let [up0, _] = uplinks();
        let hop = NextHops::one(via("192.0.2.2", up0));
        let steps: Vec<Step> = (0..10_000u32)
            .map(|n| {
                let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
                Step::Add(Route::unicast(model::Prefix::host(address), hop.clone()))
            })
            .collect();
        // Every third is there already.
        let third: Vec<Step> = steps.iter().step_by(3).cloned().collect();
        let mut netlink = Netlink::route().unwrap();
        assert_eq!(apply(&mut netlink, &third), Outcome::default());
        let mut heard = Vec::new();
        let work = Work::new(steps.clone(), &Wanted::default(), &Actual::default());
        let failures = routes::apply(&mut netlink, &work, |done| heard.push(done)).unwrap().failures;
        assert_eq!(heard.last(), Some(&10_000));
        assert_eq!(heard.len(), 20);
        let positions: Vec<usize> = failures.iter().map(|failure| failure.position).collect();
        assert_eq!(positions, (0..10_000).step_by(3).collect::<Vec<_>>());
        let read = without_objects(routes::read(&mut netlink, Whose::Ours).unwrap());
        assert_eq!(read.routes.keys().copied().collect::<BTreeSet<_>>(), steps.iter().map(Step::key).collect());
        let deletions = diff::routes(&Wanted::default(), &read, Keys::All).steps;
        assert_eq!(apply(&mut netlink, &deletions), Outcome::default());
        assert_eq!(routes::read(&mut netlink, Whose::Ours).unwrap(), []);
    });
}

#[test]
fn a_dump_of_ours_leaves_out_what_is_not() {
    fresh(|| {
        uplinks();
        sh("ip route add blackhole 10.1.0.0/26 proto 109 metric 1024
            ip route add blackhole 10.2.0.0/26 proto static
            ip route add blackhole 10.3.0.0/26 proto 109 table 7
            ip route add blackhole 10.4.0.0/26 proto 109 tos 0x10
            ip -6 route add blackhole 2001:db8:1::/64 proto 109 metric 1024");
        let mut netlink = Netlink::route().unwrap();
        let texts: Vec<String> =
            routes::read(&mut netlink, Whose::Ours).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["blackhole 10.1.0.0/26 proto margay metric 1024", "blackhole 2001:db8:1::/64 proto margay metric 1024"]
        );
        let all = routes::read(&mut netlink, Whose::All).unwrap();
        assert!(all.iter().any(|route| route.to_string() == "blackhole 10.2.0.0/26 proto static metric 0"));
        assert!(!all.iter().any(|route| route.to_string().contains("10.3.")));
    });
}
