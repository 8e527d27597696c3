//! This node's own addresses: which of them are used, on which subnet, and what is said of it.

#![allow(clippy::unwrap_used)]

use agent::fact::{Fact, ObjectFact, Source};
use agent::plan::bgp::bgp;
use agent::plan::encap::Encaps;
use agent::plan::own::{Place, addresses};
use agent::world::World;
use agent::world::autodetection::Autodetection;
use bgp::config::Start;
use dataplane::actual::{ActualKind, ActualRoute, Address, KernelEvent, Link};
use dataplane::want::{NextHop, NextHops};
use model::Family;
use model::object::{Document, NodeAddress, parse};

fn objects(text: &str) -> Vec<Fact> {
    let facts = parse("test.yaml", text).documents.into_iter().map(|document| match document {
        Document::Object(found) => Fact::Object(Box::new(ObjectFact {
            object: found.object,
            origin: "test.yaml".into(),
            written: found.written,
        })),
        Document::Bad(_, error) => panic!("{error}"),
    });
    facts.collect()
}

/// Node n1 with this annotation, if it is not empty, and these InternalIPs.
fn node(annotation: &str, internal: &[&str]) -> Vec<Fact> {
    let addresses: Vec<String> = internal.iter().map(|ip| format!("{{type: InternalIP, address: '{ip}'}}")).collect();
    objects(&format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: n1, annotations: {{projectcalico.org/IPv4Address: '{annotation}'}}}}\n\
         spec: {{podCIDRs: [10.244.1.0/24]}}\nstatus: {{addresses: [{}]}}\n",
        addresses.join(", ")
    ))
}

/// An interface that is up, with these addresses.
fn link(index: u32, name: &str, addresses: &[&str]) -> Vec<Fact> {
    let link = Link {
        index,
        name: name.into(),
        up: true,
        carrier: true,
        mtu: 1500,
        group: 0,
        kind: None,
        mac: None,
        alias: None,
    };
    let address = |text: &&str| {
        let (address, length) = text.split_once('/').unwrap();
        let (address, length) = (address.parse().unwrap(), length.parse().unwrap());
        Fact::Kernel(KernelEvent::Address(Address { index, address, length, scope: 0, protocol: 0 }))
    };
    [Fact::Kernel(KernelEvent::Link(link))].into_iter().chain(addresses.iter().map(address)).collect()
}

fn gone(index: u32, address: &str, length: u8) -> Fact {
    let address = address.parse().unwrap();
    Fact::Kernel(KernelEvent::AddressGone(Address { index, address, length, scope: 0, protocol: 0 }))
}

fn route(prefix: &str, gateway: &str, device: u32) -> Fact {
    let kind = ActualKind::Unicast(NextHops::one(NextHop::via(gateway.parse().unwrap(), device)));
    let prefix = prefix.parse().unwrap();
    Fact::Kernel(KernelEvent::Route(ActualRoute { prefix, metric: 0, protocol: 3, nexthop: None, kind }))
}

fn world(facts: Vec<Vec<Fact>>) -> World {
    let mut world = World::new("n1".parse().unwrap());
    facts.into_iter().flatten().for_each(|fact| drop(world.learn(fact)));
    world.learn(Fact::InSync(Source::Kernel));
    world
}

fn method(ipv4: &str) -> Vec<Fact> {
    vec![Fact::Autodetection(Autodetection { ipv4: Some(ipv4.parse().unwrap()), ipv6: None })]
}

/// The IPv4 address as the annotation of the Node should have it, and the reason.
fn ipv4(world: &World) -> (Option<String>, String) {
    let found = addresses(world).ipv4.unwrap();
    let NodeAddress { address, subnet } = found.address;
    ((found.place == Place::OnLink).then(|| format!("{address}/{}", subnet.length())), found.reason)
}

fn found(address: &str, reason: &str) -> (Option<String>, String) {
    (Some(address.to_string()), reason.to_string())
}

fn problems(world: &World) -> Vec<String> {
    bgp(world, Start::Fresh).problems
}

#[test]
fn the_internal_ip_has_the_subnet_of_its_link_so_that_crosssubnet_sees_its_neighbours() {
    let pool = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\n\
                spec: {cidr: 10.244.0.0/16, ipipMode: CrossSubnet}\n---\napiVersion: v1\nkind: Node\n\
                metadata: {name: n2}\nstatus: {addresses: [{type: InternalIP, address: 172.20.0.2}]}\n";
    let world = world(vec![node("", &["172.20.0.1"]), link(2, "eth0", &["172.20.0.1/24"]), objects(pool)]);
    assert_eq!(ipv4(&world), found("172.20.0.1/24", "InternalIP, on eth0"));
    assert_eq!(problems(&world), [""; 0]);
    let encap = Encaps::new(&world).decide(&"10.244.2.0/24".parse().unwrap(), "172.20.0.2".parse().unwrap());
    assert_eq!(encap.to_string(), "no tunnel: next hop 172.20.0.2 is on this node's subnet 172.20.0.0/24");
}

#[test]
fn an_annotation_says_which_of_the_nodes_addresses_it_is_and_which_subnet_if_it_likes() {
    let links = || [link(2, "eth0", &["172.20.0.1/24"]), link(3, "eth1", &["10.0.0.1/24"])].concat();
    for (annotation, meant) in
        [("10.0.0.1", "10.0.0.1/24"), ("10.0.0.1/16", "10.0.0.1/16"), ("10.0.0.1/32", "10.0.0.1/32")]
    {
        let world = world(vec![node(annotation, &["172.20.0.1"]), links()]);
        let (address, reason) = ipv4(&world);
        assert_eq!(address.unwrap(), meant);
        let length = if meant.ends_with("/24") { "" } else { ", which has /24" };
        assert_eq!(reason, format!("annotation projectcalico.org/IPv4Address, on eth1{length}"));
        assert_eq!(problems(&world), [""; 0]);
    }
}

#[test]
fn an_address_that_has_moved_away_gives_way_to_the_internal_ip_and_that_is_said() {
    let mut world =
        world(vec![node("10.0.0.1/24", &["172.20.0.1"]), link(2, "eth0", &["172.20.0.1/24", "10.0.0.1/24"])]);
    assert_eq!(ipv4(&world).0.unwrap(), "10.0.0.1/24");
    assert!(world.learn(gone(2, "10.0.0.1", 24)).bgp, "the speaker is planned again");
    assert_eq!(ipv4(&world), found("172.20.0.1/24", "InternalIP, on eth0"));
    let problem = "Node n1: its address 10.0.0.1 (annotation projectcalico.org/IPv4Address) is on none of its links: \
                   172.20.0.1 is used (InternalIP, on eth0)";
    assert_eq!(problems(&world), [problem]);
}

#[test]
fn what_the_agent_wrote_itself_does_not_hold_against_what_it_finds_now() {
    let wrote = |text: &str, internal: &str| {
        objects(&format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: n1, annotations: {{projectcalico.org/IPv4Address: {text}, \
             margay.projectcalico.org/IPv4Address: {text}}}}}\nstatus: {{addresses: [{{type: InternalIP, address: {internal}}}]}}\n"
        ))
    };
    let told = |world: &World| addresses(world).annotation(Family::Ipv4);
    // The link's subnet is another by now; the node moved to another of its addresses.
    let subnet = world(vec![wrote("172.20.0.1/24", "172.20.0.1"), link(2, "eth0", &["172.20.0.1/16"])]);
    assert_eq!(told(&subnet).as_deref(), Some("172.20.0.1/16"));
    let moved = vec![wrote("172.20.0.1/24", "172.20.0.2"), link(2, "eth0", &["172.20.0.1/24", "172.20.0.2/24"])];
    assert_eq!(told(&world(moved)).as_deref(), Some("172.20.0.2/24"));
    // Nothing else is known: it is better than nothing.
    let only = vec![wrote("10.0.0.1/24", "192.0.2.9"), link(2, "eth0", &["10.0.0.1/24"])];
    assert_eq!(ipv4(&world(only)), found("10.0.0.1/24", "found before, on eth0"));
    // A person's word stays, and is not written over.
    let said = world(vec![node("172.20.0.1/20", &["172.20.0.1"]), link(2, "eth0", &["172.20.0.1/24"])]);
    assert_eq!((ipv4(&said).0.as_deref(), told(&said)), (Some("172.20.0.1/20"), None));
}

#[test]
fn an_internal_ip_that_is_on_no_link_is_believed_and_warned_of_and_not_told_to_others() {
    let world = world(vec![node("", &["192.0.2.9"]), link(2, "eth0", &["172.20.0.1/24"])]);
    assert_eq!(addresses(&world).ipv4.unwrap().address.address.to_string(), "192.0.2.9");
    assert_eq!(ipv4(&world).0, None);
    let problem = "Node n1: its address 192.0.2.9 (InternalIP) is on none of its links: no packet for it comes in here";
    assert_eq!(problems(&world), [problem]);
}

#[test]
fn calicos_methods_find_the_address_that_they_ask_for() {
    let links = || {
        let docker = link(2, "docker0", &["172.17.0.1/16"]);
        let eth0 = link(3, "eth0", &["172.20.0.1/24", "172.20.0.0/32", "fe80::1/64"]);
        [docker, eth0, link(4, "eth1", &["10.0.0.1/24"]), vec![route("198.51.100.0/24", "10.0.0.254", 4)]].concat()
    };
    for (text, meant) in [
        ("first-found", "172.20.0.1/24"),
        ("kubernetes-internal-ip", "10.0.0.1/24"),
        ("can-reach=198.51.100.7", "10.0.0.1/24"),
        ("interface=eth1,docker.*", "172.17.0.1/16"),
        ("interface=^eth1$", "10.0.0.1/24"),
        ("skip-interface=^eth0$", "10.0.0.1/24"),
        ("cidr=10.0.0.0/8", "10.0.0.1/24"),
    ] {
        let world = world(vec![method(text), node("", &["10.0.0.1"]), links()]);
        let reason = addresses(&world).ipv4.unwrap().reason;
        assert_eq!(ipv4(&world).0.unwrap(), meant, "{text}: {reason}");
        assert!(reason.starts_with(text), "{reason}");
    }
}

#[test]
fn a_method_that_finds_nothing_leaves_the_address_that_the_node_object_says() {
    let world = world(vec![method("interface=eth7"), node("", &["172.20.0.1"]), link(2, "eth0", &["172.20.0.1/24"])]);
    assert_eq!(ipv4(&world), found("172.20.0.1/24", "InternalIP, on eth0"));
    let problem = "Node n1: --ip-autodetection-method interface=eth7 finds no address on this node: 172.20.0.1 is used \
                   (InternalIP, on eth0)";
    assert_eq!(problems(&world), [problem]);
}

#[test]
fn a_method_goes_before_an_annotation_and_a_new_way_to_what_must_be_reached_moves_the_address() {
    let links = [link(2, "eth0", &["172.20.0.1/24"]), link(3, "eth1", &["10.0.0.1/24"])].concat();
    let ways = vec![route("0.0.0.0/0", "172.20.0.254", 2)];
    let mut world = world(vec![method("can-reach=198.51.100.7"), node("10.0.0.1/24", &["10.0.0.1"]), links, ways]);
    assert_eq!(ipv4(&world), found("172.20.0.1/24", "can-reach=198.51.100.7: on eth0"));
    assert!(world.learn(route("198.51.100.0/24", "10.0.0.254", 3)).bgp, "the speaker is planned again");
    assert_eq!(ipv4(&world), found("10.0.0.1/24", "can-reach=198.51.100.7: on eth1"));
}

#[test]
fn two_nodes_with_one_address_are_both_named() {
    let other = "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\n\
                 status: {addresses: [{type: InternalIP, address: 172.20.0.1}]}\n";
    let world = world(vec![node("", &["172.20.0.1"]), link(2, "eth0", &["172.20.0.1/24"]), objects(other)]);
    let problem = "Node n1: its address 172.20.0.1 is Node n2's, too: they have no session";
    assert_eq!(problems(&world), [problem]);
}
