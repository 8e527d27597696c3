//! Pods plumbed for real: every test has a node and pods of its own, in namespaces that end with it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use model::api::{Attachment, PodRoute};
use model::{Family, PodRef, Prefix, pod_link};

use super::*;
use crate::linux::{links, netns};

/// Runs a test on a thread with a namespace of its own, as a node would have it.
fn on_a_node(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        netns::unshare().unwrap();
        let mut netlink = Netlink::route().unwrap();
        let mut requests = Requests::new();
        requests.up(1, None, "lo");
        requests.address("192.0.2.1".parse().unwrap(), 1);
        requests.run(&mut netlink, &[]).unwrap();
        // The agent's part: IPv6 forwards only where the whole node does.
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        test();
    });
    thread.join().unwrap();
}

fn pod_netns() -> Netns {
    std::thread::spawn(|| netns::unshare().unwrap()).join().unwrap()
}

fn want(name: &str, addresses: &[&str]) -> PodWant {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let route = |address: &IpAddr| PodRoute {
        destination: Prefix::default_route(Family::of(*address)),
        gateway: if address.is_ipv4() { kernel::POD_GATEWAY.into() } else { kernel::POD_GATEWAY_V6.into() },
    };
    let pod = PodRef { namespace: "test".into(), name: name.into() };
    PodWant {
        plan: AttachPlan {
            host_interface: pod_link::name(Some(&pod), name),
            routes: addresses.iter().map(route).collect(),
            addresses,
            mtu: 1400,
            attached: false,
        },
        ifname: "eth0".into(),
        mac: [0x02, 1, 2, 3, 4, 5],
        mark: Some(format!("margay {name}/eth0 test")),
    }
}

/// One datagram there and back between a pod and a pod or the node.
fn reaches(from: &Netns, to: &Netns, address: &str) -> bool {
    let address: IpAddr = address.parse().unwrap();
    let any = |address: IpAddr| {
        SocketAddr::new(if address.is_ipv4() { "0.0.0.0".parse().unwrap() } else { "::".parse().unwrap() }, 0)
    };
    let server = to.run(|| UdpSocket::bind(any(address)).unwrap()).unwrap();
    let client = from.run(|| UdpSocket::bind(any(address)).unwrap()).unwrap();
    let wait = Some(Duration::from_secs(3));
    server.set_read_timeout(wait).unwrap();
    client.set_read_timeout(wait).unwrap();
    let port = server.local_addr().unwrap().port();
    if client.send_to(b"there", (address, port)).is_err() {
        return false;
    }
    let mut buffer = [0; 16];
    let Ok((_, back)) = server.recv_from(&mut buffer) else { return false };
    server.send_to(b"back", back).is_ok() && client.recv_from(&mut buffer).is_ok()
}

fn plumb(want: &PodWant, pod: &Netns) -> Pair {
    Plumber::new(want, pod).unwrap().plumb().unwrap()
}

fn defects(want: &PodWant, pod: &Netns) -> Vec<String> {
    check(want, pod).unwrap().0
}

/// Names of the host sides.
fn pod_links() -> Vec<String> {
    let links = links::read(&mut Netlink::route().unwrap()).unwrap();
    links.into_iter().map(|link| link.name).filter(|name| pod_link::is_pod_link(name)).collect()
}

#[test]
fn two_pods_reach_each_other_by_the_link_local_gateway_in_both_families() {
    on_a_node(|| {
        let (a, b) = (pod_netns(), pod_netns());
        let (want_a, want_b) = (want("a", &["10.9.0.1", "fd00:9::1"]), want("b", &["10.9.0.2", "fd00:9::2"]));
        plumb(&want_a, &a);
        plumb(&want_b, &b);
        assert!(reaches(&a, &b, "10.9.0.2"));
        assert!(reaches(&b, &a, "fd00:9::1"));
        assert!(reaches(&Netns::current().unwrap(), &a, "10.9.0.1"), "the node reaches the pod");
        assert_eq!(defects(&want_a, &a), Vec::<String>::new());
        assert_eq!(defects(&want_b, &b), Vec::<String>::new());
    });
}

#[test]
fn a_call_killed_between_any_two_steps_and_repeated_leaves_one_link_that_works() {
    for steps in 0..=5 {
        on_a_node(move || {
            let (pod, other) = (pod_netns(), pod_netns());
            plumb(&want("other", &["10.9.0.2", "fd00:9::2"]), &other);
            let want = want("a", &["10.9.0.1", "fd00:9::1"]);
            let mut plumber = Plumber::new(&want, &pod).unwrap();
            let mut first = None;
            if steps > 0 {
                let pair = plumber.pair().unwrap();
                first = Some(pair);
                if steps > 1 {
                    plumber.settle().unwrap();
                }
                if steps > 2 {
                    plumber.raise(&pair).unwrap();
                }
                if steps > 3 {
                    plumber.furnish(&pair).unwrap();
                }
                if steps > 4 {
                    plumber.introduce(&pair).unwrap();
                }
            }
            drop(plumber);
            let pair = plumb(&want, &pod);
            assert!(first.is_none_or(|first| first == pair), "after {steps} steps the link is adopted");
            assert_eq!(defects(&want, &pod), Vec::<String>::new(), "after {steps} steps");
            assert_eq!(pod_links().len(), 2, "after {steps} steps");
            assert!(reaches(&other, &pod, "10.9.0.1") && reaches(&other, &pod, "fd00:9::1"), "after {steps} steps");
        });
    }
}

/// Without `introduce` all that is sent waits until the node asks for the MAC address once more, up to a second.
#[test]
fn a_pod_that_others_sent_to_too_early_is_reached_as_soon_as_it_is_plumbed() {
    on_a_node(|| {
        let pod = pod_netns();
        let want = want("a", &["10.9.0.1"]);
        let mut plumber = Plumber::new(&want, &pod).unwrap();
        let pair = plumber.host().unwrap();
        let server = pod.run(|| UdpSocket::bind("0.0.0.0:4000").unwrap()).unwrap();
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.send_to(b"early", "10.9.0.1:4000").unwrap();
        plumber.furnish(&pair).unwrap();
        plumber.introduce(&pair).unwrap();
        let entry = neighbour("10.9.0.1");
        assert!(entry.contains("02:01:02:03:04:05"), "{entry:?}");
        client.send_to(b"now", "10.9.0.1:4000").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut word = [0; 16];
        // The early one may have been kept, or not.
        while server.recv(&mut word).unwrap() != b"now".len() {}
    });
}

/// What the node knows of an address, in the words of `ip`.
fn neighbour(address: &str) -> String {
    let output = std::process::Command::new("ip").args(["neigh", "show", address]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_sandbox_of_the_same_pod_takes_the_links_name_over() {
    on_a_node(|| {
        let (old, new) = (pod_netns(), pod_netns());
        plumb(&want("a", &["10.9.0.1"]), &old);
        let again = want("a", &["10.9.0.7"]);
        plumb(&again, &new);
        assert_eq!(defects(&again, &new), Vec::<String>::new());
        assert_eq!(pod_links().len(), 1);
    });
}

#[test]
fn an_interface_of_the_pods_own_is_left_alone() {
    on_a_node(|| {
        let pod = pod_netns();
        plumb(&want("a", &["10.9.0.1"]), &pod);
        let error = Plumber::new(&want("b", &["10.9.0.2"]), &pod).unwrap().plumb().unwrap_err().to_string();
        assert_eq!(error, "the pod has an interface eth0 already, and it is not ours");
        assert_eq!(pod_links().len(), 1);
    });
}

#[test]
fn our_stale_route_is_replaced_and_another_programs_is_not() {
    on_a_node(|| {
        let (old, new) = (pod_netns(), pod_netns());
        plumb(&want("old", &["10.9.0.1"]), &old);
        // The address is given again before the old link is gone.
        let want_new = want("new", &["10.9.0.1"]);
        plumb(&want_new, &new);
        assert_eq!(defects(&want_new, &new), Vec::<String>::new());

        let mut netlink = Netlink::route().unwrap();
        let index = seen::link(&mut netlink, &want_new.plan.host_interface).unwrap().unwrap().link.index;
        let mut foreign = netlink_packet_route::route::RouteMessage::default();
        foreign.header.address_family = netlink_packet_route::AddressFamily::Inet;
        foreign.header.destination_prefix_length = 32;
        foreign.header.table = 254;
        foreign.header.protocol = netlink_packet_route::route::RouteProtocol::Static;
        foreign.header.scope = netlink_packet_route::route::RouteScope::Link;
        foreign.header.kind = netlink_packet_route::route::RouteType::Unicast;
        let there: IpAddr = "10.9.0.9".parse().unwrap();
        foreign.attributes = vec![
            netlink_packet_route::route::RouteAttribute::Destination(there.into()),
            netlink_packet_route::route::RouteAttribute::Oif(index),
            netlink_packet_route::route::RouteAttribute::Priority(kernel::ROUTE_METRIC),
        ];
        let create = crate::linux::netlink::NLM_F_CREATE;
        netlink.request(crate::linux::netlink::rtm::NEWROUTE, create, &foreign).unwrap();
        let third = pod_netns();
        let error = Plumber::new(&want("third", &["10.9.0.9"]), &third).unwrap().plumb().unwrap_err().to_string();
        assert!(error.contains("a route to 10.9.0.9 by link") && error.contains("protocol 4"), "{error}");
    });
}

#[test]
fn a_pod_with_ipv6_switched_off_gets_its_ipv6_address() {
    on_a_node(|| {
        let (pod, other) = (pod_netns(), pod_netns());
        pod.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap()).unwrap();
        pod.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap()).unwrap();
        plumb(&want("a", &["fd00:9::1"]), &pod);
        plumb(&want("b", &["fd00:9::2"]), &other);
        assert!(reaches(&other, &pod, "fd00:9::1"));
    });
}

#[test]
fn a_link_is_removed_for_its_own_attachment_only() {
    on_a_node(|| {
        let pod = pod_netns();
        let want = want("a", &["10.9.0.1"]);
        let name = &want.plan.host_interface;
        let attachment = |container: &str| Attachment { container_id: container.into(), ifname: "eth0".into() };
        plumb(&want, &pod);
        let mut netlink = Netlink::route().unwrap();
        assert!(!remove(&mut netlink, name, &attachment("b"), Some(&pod)).unwrap(), "its mark names another");
        assert!(remove(&mut netlink, name, &attachment("a"), None).unwrap());
        assert!(!remove(&mut netlink, name, &attachment("a"), None).unwrap(), "gone is as good");
        // Killed before the mark: the namespace tells.
        Plumber::new(&want, &pod).unwrap().pair().unwrap();
        assert!(!remove(&mut netlink, name, &attachment("a"), None).unwrap());
        assert!(!remove(&mut netlink, name, &attachment("a"), Some(&pod_netns())).unwrap());
        assert!(remove(&mut netlink, name, &attachment("a"), Some(&pod)).unwrap());
        assert!(pod_links().is_empty());
    });
}

/// One thing broken, by `ip`, and the words that must say so.
#[track_caller]
fn finds(in_the_pod: bool, command: &str, word: &str) {
    let (command, word) = (command.to_string(), word.to_string());
    on_a_node(move || {
        let pod = pod_netns();
        let want = want("a", &["10.9.0.1", "fd00:9::1"]);
        plumb(&want, &pod);
        let command = command.replace("HOST", &want.plan.host_interface);
        let run = || {
            let status = std::process::Command::new("sh").args(["-ec", &command]).status().unwrap();
            assert!(status.success(), "{command}");
        };
        if in_the_pod {
            pod.run(run).unwrap()
        } else {
            run()
        }
        let found = defects(&want, &pod);
        assert!(found.iter().any(|defect| defect.contains(&word)), "{command}: {found:?}");
    });
}

#[test]
fn check_finds_each_single_defect_of_the_host_side() {
    finds(false, "ip link del HOST", "is not there");
    finds(false, "ip link set HOST down", "is down");
    finds(false, "ip link set HOST mtu 1300", "has MTU 1300, not 1400");
    finds(false, "ip link set HOST address 02:00:00:00:00:09", "has the MAC address 02:00:00:00:00:09");
    finds(false, "ip link set HOST group 0", "is in link group 0");
    finds(false, "ip route del 10.9.0.1 dev HOST", "no route to 10.9.0.1");
    finds(false, "ip -6 route del fd00:9::1 dev HOST", "no route to fd00:9::1");
    finds(false, "echo 0 > /proc/sys/net/ipv4/conf/HOST/proxy_arp", "proxy_arp is \"0\", not 1");
    finds(false, "echo 0 > /proc/sys/net/ipv6/conf/HOST/forwarding", "ipv6/conf");
}

#[test]
fn check_finds_each_single_defect_of_the_pods_side() {
    finds(true, "ip link set eth0 name eth1", "eth0 is not in the pod");
    finds(true, "ip link set eth0 down", "eth0 in the pod is down");
    finds(true, "ip link set eth0 mtu 1300", "eth0 in the pod has MTU 1300");
    finds(true, "ip addr del 10.9.0.1/32 dev eth0", "does not have the address 10.9.0.1/32");
    finds(true, "ip addr del fd00:9::1/128 dev eth0", "does not have the address fd00:9::1/128");
    finds(true, "ip route del default", "no route to 0.0.0.0/0 by 169.254.1.1");
    finds(true, "ip -6 route del default", "no route to ::/0 by fe80::");
    finds(true, "ip neigh del 169.254.1.1 dev eth0", "no permanent neighbour entry for 169.254.1.1");
    finds(true, "ip link set eth0 name old; ip link add eth0 type veth peer name x", "is not the peer of");
}
