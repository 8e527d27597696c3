//! Address translation: what `nft` lists is what was asked for, a second round touches nothing, packets are translated.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::netns::Netns;
use dataplane::linux::nft::{self, Outcome};
use dataplane::ruleset::Ruleset;
use dataplane::want::{Nat, Strays};
use model::Prefix;

use crate::lab::{fresh, sh};
use crate::wires::{arrives_at, fresh_namespace, is_lost, link, seen_from};

fn prefixes(texts: &[&str]) -> BTreeSet<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn nat(masquerade: &[&str], inside: &[&str]) -> Nat {
    Nat { masquerade: prefixes(masquerade), inside: prefixes(inside), ..Nat::default() }
}

fn settle(netlink: &mut Netlink, want: &Nat) -> Result<Outcome, NetlinkError> {
    nft::settle(netlink, Ruleset::treating(want).as_ref())
}

#[test]
fn the_table_is_as_nft_lists_it_and_a_second_round_touches_nothing() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = nat(
            &["10.1.0.0/16", "2001:db8:1::/48"],
            &["10.1.0.0/16", "10.1.4.0/24", "10.9.0.0/16", "240.0.0.0/4", "2001:db8:1::/48"],
        );
        assert_eq!(settle(&mut netlink, &want).unwrap(), Outcome::Changed("the table".into()));
        assert_eq!(
            sh("nft list ruleset"),
            "table inet margay {\n\
             set inside4 {\ntype ipv4_addr\nflags interval\n\
             elements = { 10.1.0.0/16, 10.9.0.0/16,\n240.0.0.0/4 }\n}\n\n\
             set inside6 {\ntype ipv6_addr\nflags interval\n\
             elements = { 2001:db8:1::/48 }\n}\n\n\
             set masquerade4 {\ntype ipv4_addr\nflags interval\n\
             elements = { 10.1.0.0/16 }\n}\n\n\
             set masquerade6 {\ntype ipv6_addr\nflags interval\n\
             elements = { 2001:db8:1::/48 }\n}\n\n\
             chain postrouting {\n\
             type nat hook postrouting priority srcnat + 10; policy accept;\n\
             ip saddr @masquerade4 ip daddr != @inside4 masquerade fully-random\n\
             ip6 saddr @masquerade6 ip6 daddr != @inside6 masquerade fully-random\n\
             }\n}"
        );
        assert_eq!(nft::read(&mut netlink).unwrap(), Ruleset::treating(&want));
        let handles = sh("nft -a list ruleset");
        assert_eq!(settle(&mut netlink, &want).unwrap(), Outcome::Same);
        assert_eq!(sh("nft -a list ruleset"), handles, "handles would be new after a replacement");
    });
}

#[test]
fn the_end_of_packets_to_services_is_as_nft_lists_it_and_a_second_round_touches_nothing() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        for (strays, end) in [(Strays::Drop, "drop"), (Strays::Reject, "reject with icmpx admin-prohibited")] {
            let services = prefixes(&["10.96.0.0/16", "2001:db8:96::/112"]);
            let want = Nat { services, inside: prefixes(&["10.96.5.0/24"]), strays, ..Nat::default() };
            assert!(matches!(settle(&mut netlink, &want).unwrap(), Outcome::Changed(_)));
            assert_eq!(
                sh("nft list chain inet margay forward"),
                format!(
                    "table inet margay {{\n\
                     chain forward {{\n\
                     type filter hook forward priority filter + 10; policy accept;\n\
                     ip daddr @services4 ip daddr != @inside4 {end}\n\
                     ip6 daddr @services6 ip6 daddr != @inside6 {end}\n\
                     }}\n}}"
                )
            );
            assert_eq!(nft::read(&mut netlink).unwrap(), Ruleset::treating(&want));
            assert_eq!(settle(&mut netlink, &want).unwrap(), Outcome::Same);
        }
    });
}

#[test]
fn any_change_by_hand_is_seen_and_mended() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let want = nat(&["10.1.0.0/16"], &["10.1.0.0/16", "10.9.0.0/16"]);
        settle(&mut netlink, &want).unwrap();
        let right = sh("nft list ruleset");
        for (harm, difference) in [
            ("nft flush ruleset", "the table"),
            ("nft flush chain inet margay postrouting", "chain postrouting"),
            ("nft add rule inet margay postrouting ip saddr 10.1.0.1 accept", "chain postrouting"),
            ("nft insert rule inet margay postrouting counter", "chain postrouting"),
            ("nft add chain inet margay another", "chain another"),
            ("nft delete element inet margay inside4 { 10.9.0.0/16 }", "set inside4"),
            ("nft add element inet margay masquerade4 { 10.2.0.0/16 }", "set masquerade4"),
            ("nft 'add set inet margay more { type ipv4_addr; }'", "set more"),
            (
                "nft 'flush chain inet margay postrouting;
                      add rule inet margay postrouting ip saddr @masquerade4 ip daddr != @inside4 masquerade'",
                "chain postrouting",
            ),
        ] {
            sh(harm);
            assert_eq!(settle(&mut netlink, &want).unwrap(), Outcome::Changed(difference.into()), "{harm}");
            assert_eq!(sh("nft list ruleset"), right, "{harm}");
        }
    });
}

#[test]
fn tables_of_others_are_never_touched() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        sh(
            "nft 'add table ip margay; add table inet other; add chain inet other c { type nat hook postrouting priority 0; }'",
        );
        let before = sh("nft -a list ruleset");
        assert_eq!(settle(&mut netlink, &nat(&["10.1.0.0/16"], &[])).unwrap(), Outcome::Changed("the table".into()));
        assert_eq!(settle(&mut netlink, &nat(&[], &["10.1.0.0/16"])).unwrap(), Outcome::Removed);
        assert_eq!(settle(&mut netlink, &nat(&[], &[])).unwrap(), Outcome::Same);
        assert_eq!(sh("nft -a list ruleset"), before);
    });
}

#[test]
fn thousands_of_pools_go_in_one_transaction_and_come_back_the_same() {
    fresh(|| {
        let mut netlink = Netlink::netfilter().unwrap();
        let pools: BTreeSet<Prefix> = (0..5_000u32)
            .map(|n| Prefix::masked(IpAddr::from((0x0a00_0000 + n * 512).to_be_bytes()), 24).unwrap())
            .collect();
        let want = Nat { masquerade: pools.clone(), inside: pools, ..Nat::default() };
        settle(&mut netlink, &want).unwrap();
        assert_eq!(settle(&mut netlink, &want).unwrap(), Outcome::Same);
    });
}

#[test]
fn what_leaves_the_pools_comes_from_the_node_and_what_stays_inside_from_the_pod() {
    fresh(|| {
        let node = Netns::current().unwrap();
        let far = fresh_namespace();
        let pod = fresh_namespace();
        link(
            &node,
            &far,
            "up0",
            &["192.0.2.1/24", "2001:db8:f::1/64"],
            &["192.0.2.2/24", "10.9.0.1/32", "2001:db8:f::2/64"],
        );
        link(&node, &pod, "pod0", &["10.1.0.1/24", "2001:db8:1::1/64"], &["10.1.0.5/24", "2001:db8:1::5/64"]);
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            ip route add 10.9.0.0/16 via 192.0.2.2");
        pod.run(|| sh("ip route add default via 10.1.0.1; ip -6 route add default via 2001:db8:1::1")).unwrap();
        // The way back, which a host outside does not know of a pod; here it may, as the source is what is looked at.
        far.run(|| sh("ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8:f::1")).unwrap();
        let want = nat(&["10.1.0.0/16", "2001:db8:1::/48"], &["10.1.0.0/16", "10.9.0.0/16", "2001:db8:1::/48"]);
        settle(&mut Netlink::netfilter().unwrap(), &want).unwrap();
        let seen = |to: &str| seen_from(&pod, &far, to.parse().unwrap());
        assert_eq!(seen("192.0.2.2"), "192.0.2.1".parse::<IpAddr>().unwrap(), "outside");
        assert_eq!(seen("10.9.0.1"), "10.1.0.5".parse::<IpAddr>().unwrap(), "inside");
        assert_eq!(seen("2001:db8:f::2"), "2001:db8:f::1".parse::<IpAddr>().unwrap(), "outside");
        let none = nat(&["10.8.0.0/16"], &[]);
        settle(&mut Netlink::netfilter().unwrap(), &none).unwrap();
        assert_eq!(seen("192.0.2.2"), "10.1.0.5".parse::<IpAddr>().unwrap(), "not of a pool with natOutgoing");
    });
}

#[test]
fn a_packet_to_a_service_goes_where_it_was_translated_to_and_to_no_router_if_it_was_not() {
    fresh(|| {
        let node = Netns::current().unwrap();
        let far = fresh_namespace();
        let pod = fresh_namespace();
        // The far side has an address of the block itself, to hear what should never come.
        link(&node, &far, "up0", &["192.0.2.1/24"], &["192.0.2.2/24", "203.0.113.8/32", "203.0.113.9/32"]);
        link(&node, &pod, "pod0", &["10.1.0.1/24"], &["10.1.0.5/24"]);
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward; ip route add default via 192.0.2.2");
        pod.run(|| sh("ip route add default via 10.1.0.1")).unwrap();
        far.run(|| sh("ip route add default via 192.0.2.1")).unwrap();
        let seen = |to: &str| seen_from(&pod, &far, to.parse().unwrap());
        let client: IpAddr = "10.1.0.5".parse().unwrap();
        assert_eq!(seen("203.0.113.8"), client, "no block of services yet");
        let services = prefixes(&["203.0.113.0/24"]);
        let want = Nat { services: services.clone(), ..nat(&[], &["10.1.0.0/16"]) };
        settle(&mut Netlink::netfilter().unwrap(), &want).unwrap();
        assert!(is_lost(&pod, &far, "203.0.113.9"), "nobody has translated it");
        // As kube-proxy does: the destination becomes an endpoint's before the packet is forwarded.
        sh("nft 'add table ip proxy; add chain ip proxy pre { type nat hook prerouting priority dstnat; };
                 add rule ip proxy pre ip daddr 203.0.113.7 dnat to 192.0.2.2'");
        assert!(arrives_at(&pod, &far, "203.0.113.7", "192.0.2.2"), "translated");
        let of_pods = Nat { services, ..nat(&[], &["203.0.113.8/30"]) };
        settle(&mut Netlink::netfilter().unwrap(), &of_pods).unwrap();
        assert_eq!(seen("203.0.113.9"), client, "it lies in a pool");
    });
}
