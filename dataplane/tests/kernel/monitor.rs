//! Events: the picture that follows from them is the kernel's, and what is lost comes back within a second.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dataplane::actual::{Actual, KernelEvent, NftChange, Snapshot};
use dataplane::diff::{self, Keys};
use dataplane::linux::monitor::{Monitor, Stopper};
use dataplane::linux::netlink::Netlink;
use dataplane::linux::routes::{self, Outcome, Whose};
use dataplane::linux::{links, nexthops};
use dataplane::nexthop::Nexthops;
use dataplane::requests::Work;
use dataplane::table::RouteTable;
use dataplane::want::{NextHop, NextHops, Route};
use dataplane::wanted::Wanted;

use crate::lab::{fresh, index, sh, uplinks};

/// The kernel's events, and the picture so far.
struct Watched {
    events: Receiver<KernelEvent>,
    actual: Actual,
    seen: Vec<KernelEvent>,
    _stopper: Stopper,
}

/// No test waits longer for an event.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watched {
    fn start() -> Watched {
        Watched::with(Monitor::open().unwrap())
    }

    fn with((monitor, stopper): (Monitor, Stopper)) -> Watched {
        let (tell, events) = channel();
        std::thread::spawn(move || monitor.run(|event| _ = tell.send(event)));
        let mut watched = Watched { events, actual: Actual::default(), seen: vec![], _stopper: stopper };
        watched.until("a snapshot", |w| w.seen.iter().any(|event| matches!(event, KernelEvent::Snapshot(_))));
        watched
    }

    /// Learns events until the condition holds.
    fn until(&mut self, what: &str, condition: impl Fn(&Watched) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = self.events.recv_timeout(left) else {
                panic!("no {what} after {} events", self.seen.len())
            };
            self.learn(event);
        }
    }

    fn learn(&mut self, event: KernelEvent) {
        self.actual.learn(event.clone());
        self.seen.push(event);
    }

    /// Learns until the picture is what a dump says; `what` was done before.
    fn until_as_dumped(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut netlink = Netlink::route().unwrap();
            let routes = RouteTable::new(routes::read(&mut netlink, Whose::All).unwrap());
            let mut addresses = links::addresses(&mut netlink).unwrap();
            addresses.sort();
            let known: Vec<_> = self.actual.addresses.iter().copied().collect();
            let links = links::read(&mut netlink).unwrap();
            let same_links = links.iter().eq(self.actual.links.values());
            let objects = nexthops::read(&mut netlink).unwrap().map(Nexthops::new);
            let same_links = same_links && objects == self.actual.nexthops;
            if sorted(&routes) == sorted(&self.actual.routes) && known == addresses && same_links {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = self.events.recv_timeout(left.min(Duration::from_millis(20))) else {
                if !left.is_zero() {
                    continue;
                }
                let lines = |table: &RouteTable| sorted(table).join("\n");
                let objects = (&self.actual.nexthops, &objects);
                panic!("{what}: known\n{}\ndumped\n{}\n{objects:?}", lines(&self.actual.routes), lines(&routes));
            };
            self.learn(event);
            while let Ok(event) = self.events.try_recv() {
                self.learn(event);
            }
        }
    }

    /// Repairs by events alone until all that is wanted is there.
    fn repair(&mut self, netlink: &mut Netlink, want: &Wanted) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let work = Work::new(diff::routes(want, &self.actual, Keys::All).steps, want, &self.actual);
            let outcome = routes::apply(netlink, &work, |_| ()).unwrap();
            if outcome == Outcome::default() {
                let effects = work.requests.iter().filter_map(|request| work.effect(request));
                effects.for_each(|effect| _ = self.actual.learn(effect));
            }
            let real = Snapshot {
                links: links::read(netlink).unwrap(),
                nexthops: nexthops::read(netlink).unwrap(),
                routes: routes::read(netlink, Whose::Ours).unwrap(),
                ..Snapshot::default()
            };
            let mut actual = Actual::default();
            actual.learn(KernelEvent::Snapshot(real));
            if diff::routes(want, &actual, Keys::All).steps.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{outcome:?}");
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.learn(event);
            }
        }
    }
}

fn sorted(table: &RouteTable) -> Vec<String> {
    let mut lines: Vec<String> = table.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn the_picture_that_follows_from_events_is_the_kernels() {
    fresh(|| {
        let mut watched = Watched::start();
        for what in [
            "ip link add up0 type veth peer name far0; ip link set far0 up; ip link set up0 up",
            "ip addr add 192.0.2.1/24 dev up0; ip addr add 2001:db8:ffff::1/64 dev up0 nodad",
            "ip link add up1 type veth peer name far1; ip link set far1 up; ip link set up1 up mtu 1400",
            "ip addr add 198.51.100.1/24 dev up1; ip addr add 2001:db8:fffe::1/64 dev up1 nodad",
            "ip route add 10.1.0.0/26 via 192.0.2.2 proto 109 metric 1024",
            "ip route replace 10.1.0.0/26 proto 109 metric 1024 nexthop via 192.0.2.2 nexthop via 198.51.100.2 weight 3",
            "ip route append 10.1.0.0/26 via 192.0.2.3 proto static metric 1024",
            "ip route add 10.2.0.0/26 via 192.0.2.2; ip route add blackhole 10.3.0.0/26; ip route add unreachable 10.4.0.0/26",
            "ip route add 10.5.0.0/26 via 192.0.2.2 table 9; ip route add 10.5.0.0/26 dev up1 onlink via 203.0.113.1",
            "ip route add 10.7.0.0/26 via inet6 fe80::1 dev up0 proto 109 metric 1024",
            "ip route replace 10.7.0.0/26 proto 109 metric 1024 nexthop via inet6 fe80::1 dev up0 nexthop via inet6 fe80::1 dev up1",
            "ip route replace 10.7.0.0/26 via inet6 fe80::2 dev up1 proto 109 metric 1024",
            "ip -6 route add 2001:db8:1::/64 via 2001:db8:ffff::2 proto 109 metric 1024",
            "ip -6 route append 2001:db8:1::/64 via 2001:db8:fffe::2 proto 109 metric 1024",
            "ip -6 route del 2001:db8:1::/64 via 2001:db8:ffff::2 metric 1024",
            "ip -6 route replace 2001:db8:1::/64 proto 109 metric 1024 nexthop via 2001:db8:ffff::2 nexthop via 2001:db8:fffe::3",
            "ip -6 route replace blackhole 2001:db8:1::/64 proto 109 metric 1024",
            "ip -6 route replace 2001:db8:1::/64 via 2001:db8:ffff::2 proto 109 metric 1024",
            "ip -6 route add 2001:db8:2::/64 metric 1024 nexthop via 2001:db8:ffff::2 nexthop via 2001:db8:fffe::3",
            "for n in 1 2; do ip nexthop add id 10$n via 192.0.2.$n dev up0 proto 109; done
             ip nexthop add id 103 via 198.51.100.2 dev up1 proto 109; ip nexthop add id 109 group 101/103,3 proto 109
             ip nexthop add id 104 via 2001:db8:ffff::2 dev up0; ip nexthop add id 105 blackhole",
            "for n in 1 3 9; do ip route add 10.9.$n.0/24 nhid 10$n proto 109 metric 1024; done
             ip -6 route add 2001:db8:9::/64 nhid 104 proto 109 metric 1024; ip route add 10.9.5.0/24 nhid 105",
            "ip nexthop replace id 101 via 198.51.100.7 dev up1 proto 109",
            "ip nexthop replace id 109 group 102/103 proto 109",
            "ip nexthop del id 102",
            "ip route replace 10.9.1.0/24 via 192.0.2.2 proto 109 metric 1024",
            "ip route replace 10.9.1.0/24 nhid 103 proto 109 metric 1024",
            "ip nexthop replace id 104 via 2001:db8:ffff::3 dev up0",
            "ip link set up1 down",
            "ip link set up1 up",
            "ip nexthop add id 103 via 198.51.100.2 dev up1 proto 109; ip route add 10.9.3.0/24 nhid 103 proto 109 metric 1024",
            "ip nexthop add id 101 via 192.0.2.2 dev up0 proto 109; ip nexthop add id 109 group 101/103 proto 109
             ip route add 10.9.1.0/24 nhid 109 proto 109 metric 1024",
            "ip link set far1 down",
            "ip link set far1 up",
            "ip link set far0 down",
            "ip addr del 192.0.2.1/24 dev up0",
            "ip addr add 192.0.2.1/24 dev up0; ip route add 10.6.0.0/26 via 192.0.2.2 proto 109 metric 1024",
            "ip link set up0 down; ip link set up0 up",
            "ip link del up1",
            "ip link set up0 name up9 down; ip link set up9 up group 7",
            "ip nexthop flush; ip route flush table main; ip -6 route flush table main",
        ] {
            sh(what);
            watched.until_as_dumped(what);
        }
    });
}

#[test]
fn what_is_lost_by_hand_by_flush_or_with_the_uplink_is_back_within_a_second() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let via = |gateway: &str, device| NextHop::via(gateway.parse().unwrap(), device);
        let want: Wanted = [
            ("10.1.0.0/26", vec![via("192.0.2.2", up0)]),
            ("10.1.0.64/26", vec![via("192.0.2.2", up0), via("198.51.100.2", up1)]),
            ("10.1.0.128/26", vec![via("203.0.113.1", up0).onlink()]),
            ("10.1.1.5/32", vec![NextHop::on_link(up1)]),
        ]
        .map(|(prefix, hops)| Route::unicast(prefix.parse().unwrap(), NextHops::new(hops).unwrap()))
        .into_iter()
        .chain([Route::blackhole("10.1.2.0/26".parse().unwrap())])
        .collect();
        let mut watched = Watched::start();
        let mut netlink = Netlink::route().unwrap();
        watched.repair(&mut netlink, &want);
        sh("ip route add 10.9.0.0/16 via 198.51.100.9");
        let whole = sh("ip route show");
        for harm in [
            "ip route del 10.1.0.0/26",
            "ip route del blackhole 10.1.2.0/26",
            "ip route replace 10.1.0.0/26 via 192.0.2.77 metric 1024 proto 109",
            "ip route flush proto 109",
            "ip link set up0 down; ip link set up0 up",
            "ip link set up0 down; ip link set up1 down; ip link set up1 up; ip link set up0 up
             ip route add 10.9.0.0/16 via 198.51.100.9",
        ] {
            sh(harm);
            let begun = Instant::now();
            watched.repair(&mut netlink, &want);
            assert!(begun.elapsed() < Duration::from_secs(1), "{harm}: {:?}", begun.elapsed());
            assert_eq!(sh("ip route show"), whole, "{harm}");
        }
    });
}

#[test]
fn routes_by_objects_are_back_when_their_link_has_its_signal_again() {
    fresh(|| {
        let [up0, up1] = uplinks();
        let via = |gateway: &str, device| NextHop::via(gateway.parse().unwrap(), device);
        let [near, far] = [via("192.0.2.2", up0), via("198.51.100.2", up1)];
        let mut want = Wanted::sharing_from(2);
        for (third, hops) in [(1, vec![near]), (2, vec![near, far])] {
            let hops = NextHops::new(hops).unwrap();
            for last in 0..4 {
                want.insert(Route::unicast(model::Prefix::host([10, 1, third, last].into()), hops.clone()));
            }
        }
        let mut watched = Watched::start();
        let mut netlink = Netlink::route().unwrap();
        watched.repair(&mut netlink, &want);
        let whole = sh("ip route show");
        assert_eq!(sh("ip nexthop | wc -l"), "4");
        for (harm, left) in [
            ("ip link set far0 down", "0 4"),
            ("ip link set far0 up", "8 4"),
            ("ip link set far1 down", "8 0"),
            ("ip link set far1 up", "8 4"),
            ("ip link set up1 down; ip link set up1 up", "8 4"),
            ("ip nexthop flush proto 109", "8 4"),
            ("ip nexthop replace id 1828716545 via 192.0.2.77 dev up0 proto 109", "8 4"),
            ("ip nexthop del id $(ip nexthop | sed -n 's/^id \\([0-9]*\\) via 198.*/\\1/p')", "8 4"),
        ] {
            sh(harm);
            watched.until_as_dumped(harm);
            watched.repair(&mut netlink, &want);
            let near = sh("ip -o route show proto 109 | grep -c 'via 192.0.2.2 dev up0' || true");
            let far = sh("ip -o route show proto 109 | grep -c 'via 198.51.100.2 dev up1' || true");
            assert_eq!(format!("{near} {far}"), left, "{harm}");
        }
        assert_eq!(sh("ip route show").lines().count(), whole.lines().count());
    });
}

#[test]
fn lost_events_are_told_and_the_picture_is_whole_again() {
    fresh(|| {
        let [up0, _] = uplinks();
        let subscribed = Monitor::with_buffer(8 << 10).unwrap();
        let hop = NextHops::one(NextHop::via([192, 0, 2, 2].into(), up0));
        let steps: Vec<diff::Step> = (0..5_000u32)
            .map(|n| model::Prefix::host((0x0a00_0000 + n).to_be_bytes().into()))
            .map(|prefix| diff::Step::Add(Route::unicast(prefix, hop.clone())))
            .collect();
        routes::apply(
            &mut Netlink::route().unwrap(),
            &Work::new(steps, &Wanted::default(), &Actual::default()),
            |_| (),
        )
        .unwrap();
        // Nobody reads yet, and 8 KiB don't hold 5,000 events.
        let mut watched = Watched::with(subscribed);
        watched.until("overrun", |w| w.seen.contains(&KernelEvent::Overrun));
        watched.until_as_dumped("5,000 routes");
    });
}

#[test]
fn the_end_of_our_nftables_table_is_told_and_others_tables_are_not() {
    fresh(|| {
        let mut watched = Watched::start();
        let nft = |w: &Watched| -> Vec<NftChange> {
            let change = |event: &KernelEvent| match event {
                KernelEvent::NftTable(change) => Some(*change),
                _ => None,
            };
            w.seen.iter().filter_map(change).collect()
        };
        sh("nft add table inet other; nft add table ip margay; nft add table inet margay");
        watched.until("table", |w| nft(w).len() == 1);
        sh("nft add chain inet margay one; nft add chain inet other one");
        watched.until("chain", |w| nft(w).len() == 2);
        sh("nft flush ruleset");
        watched.until("end", |w| nft(w).len() == 3);
        assert_eq!(nft(&watched), [NftChange::Changed, NftChange::Changed, NftChange::Gone]);
    });
}

#[test]
fn a_pods_link_that_goes_takes_its_route_out_of_the_picture() {
    fresh(|| {
        let [up0, _] = uplinks();
        sh(
            "ip link add cali0123456789a group 109 type veth peer name eth0; ip link set cali0123456789a up; ip link set eth0 up",
        );
        let pod = index("cali0123456789a");
        let mut watched = Watched::start();
        sh("ip route add 10.1.0.5 dev cali0123456789a proto 109 metric 1024
            ip route add 10.1.0.0/26 via 192.0.2.2 proto 109 metric 1024");
        watched.until_as_dumped("two routes");
        sh("ip link del cali0123456789a");
        watched.until("the link's end", |w| !w.actual.links.contains_key(&pod));
        watched.until_as_dumped("the link's end");
        assert!(watched.actual.routes.iter().any(|route| route.next_hops().iter().any(|hop| hop.device == Some(up0))));
    });
}

#[test]
fn dropping_the_stopper_ends_the_monitor() {
    fresh(|| {
        let (monitor, stopper) = Monitor::open().unwrap();
        let thread = std::thread::spawn(move || monitor.run(|_| ()));
        drop(stopper);
        assert!(thread.join().unwrap().is_ok());
    });
}

#[test]
fn what_one_conversation_does_to_packet_rules_is_left_out_and_what_others_do_is_told() {
    fresh(|| {
        let mut quiet = Netlink::netfilter().unwrap();
        let (monitor, stopper) = Monitor::open().unwrap();
        let monitor = monitor.without_rules_of(quiet.port().unwrap()).unwrap();
        let mut watched = Watched::with((monitor, stopper));
        let nft = |w: &Watched| w.seen.iter().filter(|event| matches!(event, KernelEvent::NftTable(_))).count();
        let pool = std::collections::BTreeSet::from(["10.1.0.0/16".parse().unwrap()]);
        let nat = dataplane::want::Nat { masquerade: pool.clone(), inside: pool, ..Default::default() };
        let want = dataplane::ruleset::Ruleset::treating(&nat);
        dataplane::linux::nft::settle(&mut quiet, want.as_ref()).unwrap();
        sh("nft add chain inet margay one");
        watched.until("another's chain", |w| nft(w) > 0);
        dataplane::linux::nft::settle(&mut quiet, want.as_ref()).unwrap();
        sh("nft delete table inet margay");
        watched.until("the end", |w| w.seen.contains(&KernelEvent::NftTable(NftChange::Gone)));
        assert_eq!(nft(&watched), 2);
    });
}

#[test]
fn what_one_conversation_does_to_routes_is_left_out_and_a_mark_comes_after_what_others_did() {
    fresh(|| {
        let [up0, _] = uplinks();
        let (mut quiet, mut loud) = (Netlink::route().unwrap(), Netlink::route().unwrap());
        let (monitor, stopper) = Monitor::open().unwrap();
        let monitor = monitor.without(quiet.port().unwrap()).unwrap();
        let marker = stopper.marker().unwrap();
        let mut watched = Watched::with((monitor, stopper));
        let hop = NextHops::one(NextHop::via([192, 0, 2, 2].into(), up0));
        let routes_from = |first: u32| -> Wanted {
            let mut want = Wanted::sharing_from(2);
            for n in first..first + 3_000 {
                want.insert(Route::unicast(model::Prefix::host((0x0a00_0000 + n).to_be_bytes().into()), hop.clone()));
            }
            want
        };
        let told = |w: &Watched| w.seen.iter().filter(|event| matches!(event, KernelEvent::Route(_))).count();
        let marks = |w: &Watched| w.seen.iter().filter(|event| **event == KernelEvent::Marked).count();
        for (round, netlink, first, expected) in [(1, &mut quiet, 0, 0), (2, &mut loud, 10_000, 3_000)] {
            let want = routes_from(first);
            let actual = Actual { nexthops: Some(Nexthops::default()), ..Actual::default() };
            let mut work = Work::new(diff::routes(&want, &actual, Keys::All).steps, &want, &actual);
            if first > 0 {
                // The object is there.
                work.requests.remove(0);
            }
            assert_eq!(routes::apply(netlink, &work, |_| ()).unwrap(), Outcome::default());
            marker.mark().unwrap();
            watched.until("a mark", |w| marks(w) == round);
            assert_eq!(told(&watched), expected);
        }
        // A link that the quiet conversation changes is told all the same.
        let port = quiet.port().unwrap();
        drop(quiet);
        let mut quiet = Netlink::route_at(port).unwrap();
        let far = links::by_name(&mut quiet, "far0").unwrap().unwrap();
        let mut message = netlink_packet_route::link::LinkMessage::default();
        message.header.index = far.index;
        message.attributes = vec![netlink_packet_route::link::LinkAttribute::Mtu(1400)];
        quiet.request(dataplane::linux::netlink::rtm::SETLINK, 0, &message).unwrap();
        watched.until("the link", |w| w.actual.links.values().any(|link| link.mtu == 1400));
    });
}
