//! Plans as text: objects and facts in, what should be out, the same in every order of the facts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::IpAddr;

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::replay::describe;
use agent::world::{Dirty, World};
use bgp::PeerKey;
use bgp::config::{AddPath, Start};
use bgp::speaker::{Best, NextHop, RouteChange};
use dataplane::actual::{ActualKind, ActualRoute, Address, KernelEvent, Link};
use dataplane::want;
use model::object::{Document, parse};

/// Plans for node `n1`, and holds every order of the facts to the same result, step by step and all at once.
fn plan(objects: &str, others: Vec<Fact>) -> String {
    let mut facts: Vec<Fact> = Vec::new();
    for document in parse("test.yaml", objects).documents {
        match document {
            Document::Object(found) => facts.push(Fact::Object(Box::new(ObjectFact {
                object: found.object,
                origin: "test.yaml".into(),
                written: found.written,
            }))),
            Document::Bad(_, error) => panic!("{error}"),
        }
    }
    facts.extend(others);
    let expected = run(&facts);
    let mut seed = 7_u64;
    for _ in 0..20 {
        for i in (1..facts.len()).rev() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            facts.swap(i, (seed >> 33) as usize % (i + 1));
        }
        assert_eq!(run(&facts), expected, "the order of the facts must not matter: {facts:?}");
    }
    expected
}

fn run(facts: &[Fact]) -> String {
    let mut world = World::new("n1".parse().unwrap());
    let mut stepwise = Desired::default();
    stepwise.update(&world, &Dirty::everything(), Start::Fresh);
    for fact in facts {
        let dirty = world.learn(fact.clone());
        stepwise.update(&world, &dirty, Start::Fresh);
    }
    let mut at_once = Desired::default();
    at_once.update(&world, &Dirty::everything(), Start::Fresh);
    let text = |desired: &Desired| {
        let mut out = Vec::new();
        describe(&world, desired, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(&stepwise), text(&at_once), "one key at a time must be as all keys at once");
    assert_eq!(stepwise.table, at_once.table);
    text(&at_once)
}

fn lines(text: &str, beginning: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(beginning)).map(str::to_string).collect()
}

fn link(index: u32, name: &str) -> Fact {
    Fact::Kernel(KernelEvent::Link(Link {
        index,
        name: name.into(),
        up: true,
        carrier: true,
        mtu: 1500,
        group: 0,
        kind: None,
        mac: None,
        alias: None,
    }))
}

fn address(index: u32, address: &str, length: u8) -> Fact {
    Fact::Kernel(KernelEvent::Address(Address {
        index,
        address: address.parse().unwrap(),
        length,
        scope: 0,
        protocol: 0,
    }))
}

fn foreign(prefix: &str, gateway: Option<&str>, device: u32) -> Fact {
    let hop = match gateway {
        Some(gateway) => want::NextHop::via(gateway.parse().unwrap(), device),
        None => want::NextHop::on_link(device),
    };
    Fact::Kernel(KernelEvent::Route(ActualRoute {
        prefix: prefix.parse().unwrap(),
        metric: 0,
        protocol: 2,
        nexthop: None,
        kind: ActualKind::Unicast(want::NextHops::one(hop)),
    }))
}

fn learned(prefix: &str, next_hops: &[&str]) -> Fact {
    let hop = |text: &&str| {
        let address: IpAddr = text.parse().unwrap();
        NextHop { address, link_local: None, peer: PeerKey::new(address) }
    };
    Fact::Learned(RouteChange {
        prefix: prefix.parse().unwrap(),
        best: Some(Best {
            next_hops: next_hops.iter().map(hop).collect::<Vec<_>>().into(),
            reason: bgp::rib::Reason::OnlyPath,
        }),
    })
}

fn node(name: &str, address: &str, cidr: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{rack: r-{name}}}, annotations: \
         {{projectcalico.org/IPv4Address: {address}{more}}}}}\nspec: {{podCIDRs: [{cidr}]}}\n"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn nodes() -> String {
    node("n1", "10.0.0.1/24", "10.244.1.0/24", "")
        + &node("n2", "10.0.0.2/24", "10.244.2.0/24", "")
        + &node("n3", "10.0.9.3/24", "10.244.3.0/24", "")
}

fn uplink() -> Vec<Fact> {
    vec![
        link(2, "eth0"),
        address(2, "10.0.0.1", 24),
        foreign("10.0.0.0/24", None, 2),
        foreign("0.0.0.0/0", Some("10.0.0.254"), 2),
    ]
}

#[test]
fn nodes_peer_with_each_other_unless_told_otherwise() {
    let text = plan(&nodes(), vec![]);
    assert_eq!(lines(&text, "peer"), ["peer 10.0.0.2 as 64512 (mesh n2)", "peer 10.0.9.3 as 64512 (mesh n3)"]);
    assert_eq!(lines(&text, "originate"), ["originate 10.244.1.0/24"]);
    let off = nodes() + &object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false, asNumber: 65001}");
    let text = plan(&off, vec![]);
    assert_eq!(lines(&text, "peer"), [""; 0]);
    assert_eq!(lines(&text, "bgp"), ["bgp as 65001 router-id 10.0.0.1 port 179"]);
}

#[test]
fn a_bgppeer_by_address_wins_over_the_mesh_and_one_for_some_nodes_over_one_for_all() {
    let objects = nodes()
        + &object("BGPPeer", "all", "{peerIP: 10.0.0.254, asNumber: 65000}")
        + &object("BGPPeer", "rack", "{peerIP: 10.0.0.254, asNumber: 65009, nodeSelector: \"rack == 'r-n1'\"}")
        + &object("BGPPeer", "other", "{peerIP: 10.0.0.253, asNumber: 65009, node: n2}")
        + &object("BGPPeer", "second", "{peerIP: 10.0.0.2, asNumber: 64512, node: n1}");
    let text = plan(&objects, vec![]);
    let peers =
        ["peer 10.0.0.2 as 64512 (second)", "peer 10.0.0.254 as 65009 (rack)", "peer 10.0.9.3 as 64512 (mesh n3)"];
    assert_eq!(lines(&text, "peer"), peers);
    assert_eq!(
        lines(&text, "problem"),
        ["problem BGPPeer/all: 10.0.0.254 is peered with by BGPPeer/rack already: not used"]
    );
}

#[test]
fn a_listen_range_is_planned_once_and_not_without_its_password() {
    let objects = nodes()
        + &object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false}")
        + &object("BGPPeer", "clients", "{listenRange: 10.0.0.0/16, peerType: iBGP, maxDynamicPeers: 5000}")
        + &object("BGPPeer", "racks", "{listenRange: 'fd00::/48', peerType: eBGP}")
        + &object("BGPPeer", "twice", "{listenRange: 10.0.0.0/16, asNumber: 65000}")
        + &object("BGPPeer", "elsewhere", "{listenRange: 10.1.0.0/16, asNumber: 65000, node: n2}")
        + &object(
            "BGPPeer",
            "signed",
            "{listenRange: 10.2.0.0/16, asNumber: 65000, password: {secretKeyRef: {name: bgp, key: k}}}",
        );
    let text = plan(&objects, vec![]);
    assert_eq!(
        lines(&text, "at most"),
        [
            "at most 5000 peers from 10.0.0.0/16 as 64512 (clients)",
            "at most 1000 peers from fd00::/48 as any other than ours (racks)",
        ]
    );
    assert_eq!(
        lines(&text, "problem"),
        [
            "problem BGPPeer/signed: spec.password: Secret bgp is not there: no session with peers from 10.2.0.0/16",
            "problem BGPPeer/twice: 10.0.0.0/16 is listened for by BGPPeer/clients: not used",
        ]
    );
}

#[test]
fn two_peerings_with_one_router_differ_in_port_or_source_address() {
    let objects = nodes()
        + &object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false}")
        + &object("BGPPeer", "a", "{peerIP: 10.0.0.254, asNumber: 65000, sourceAddress: 10.0.0.1}")
        + &object("BGPPeer", "b", "{peerIP: 10.0.0.254, asNumber: 65000, sourceAddress: 10.0.0.11}")
        + &object("BGPPeer", "c", "{peerIP: '10.0.0.254:1790', asNumber: 65000}")
        + &object("BGPPeer", "d", "{peerIP: 'fe80::1%eth0', peerType: eBGP}")
        + &object("BGPPeer", "e", "{peerIP: 'fe80::1%eth9', peerType: eBGP}");
    let text = plan(&objects, uplink());
    assert_eq!(
        lines(&text, "peer"),
        [
            "peer 10.0.0.254 from 10.0.0.1 as 65000 (a)",
            "peer 10.0.0.254 from 10.0.0.11 as 65000 (b)",
            "peer 10.0.0.254:1790 as 65000 (c)",
            "peer fe80::1%2 as any other than ours (d)",
        ]
    );
    assert_eq!(
        lines(&text, "problem"),
        ["problem BGPPeer/e: spec.peerIP: there is no interface eth9: no session with fe80::1%eth9"]
    );
}

#[test]
fn a_route_reflector_leaves_the_mesh_and_its_clients_peer_back_with_it() {
    let reflector = |own: &str, other: &str| {
        node("n1", "10.0.0.1/24", "10.244.1.0/24", own)
            + &node("n2", "10.0.0.2/24", "10.244.2.0/24", other)
            + &object("BGPPeer", "reflect", "{nodeSelector: \"rack == 'r-n1'\", peerSelector: \"rack == 'r-n2'\"}")
    };
    let id = ", projectcalico.org/RouteReflectorClusterID: 244.0.0.1";
    assert_eq!(lines(&plan(&reflector("", id), vec![]), "peer"), ["peer 10.0.0.2 as 64512 (reflect)"]);
    assert_eq!(lines(&plan(&reflector(id, ""), vec![]), "peer"), ["peer 10.0.0.2 as 64512 (reflect)"]);
    let back = reflector("", "")
        .replace("r-n1'\", peer", "r-n2'\", peer")
        .replace("peerSelector: \"rack == 'r-n2'", "peerSelector: \"rack == 'r-n1'");
    assert_eq!(lines(&plan(&back, vec![]), "peer"), ["peer 10.0.0.2 as 64512 (reflect)"]);
}

#[test]
fn a_session_that_should_be_authenticated_does_not_come_up_without_its_password() {
    let peer = object(
        "BGPPeer",
        "tor",
        "{peerIP: 10.0.0.254, asNumber: 65000, password: {secretKeyRef: {name: bgp, key: tor}}}",
    );
    let text = plan(&(node("n1", "10.0.0.1/24", "10.244.1.0/24", "") + &peer), vec![]);
    assert_eq!(lines(&text, "peer"), [""; 0]);
    let problem = "problem BGPPeer/tor: spec.password: Secret bgp is not there: no session with 10.0.0.254";
    assert_eq!(lines(&text, "problem"), [problem]);
    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: bgp, namespace: kube-system}\nstringData: {tor: tiger}\n";
    let text = plan(&(node("n1", "10.0.0.1/24", "10.244.1.0/24", "") + &peer + secret), vec![]);
    assert_eq!(lines(&text, "peer"), ["peer 10.0.0.254 as 65000 (tor)"]);
    assert!(!text.contains("tiger"));
}

#[test]
fn a_peers_filters_come_in_its_order_and_one_that_does_not_exist_is_named() {
    let objects = nodes()
        + &object("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false}")
        + &object("BGPPeer", "tor", "{peerIP: 10.0.0.254, asNumber: 65000, filters: [z, a]}")
        + &object("BGPFilter", "a", "{importV4: [{action: Accept, interface: 'eth*'}], exportV6: [{action: Reject}]}");
    let uplink = || [uplink(), vec![link(9, "cali0123456789a"), address(9, "10.9.0.1", 24)]].concat();
    let text = plan(&objects, uplink());
    assert_eq!(
        lines(&text, "peer"),
        ["peer 10.0.0.254 as 65000 (tor) filter z that does not exist filter a with 2 rules"]
    );
    assert_eq!(lines(&text, "subnet"), ["subnet 10.0.0.0/24 dev eth0"], "for rules that ask for an interface");
    assert_eq!(
        lines(&text, "problem"),
        [
            "problem BGPPeer/tor: spec.filters: BGPFilter/z does not exist: nothing is accepted from 10.0.0.254 or told to it \
          until it does"
        ]
    );
    let text = plan(&(objects.replace("interface: 'eth*'", "") + &object("BGPFilter", "z", "{}")), uplink());
    assert_eq!(lines(&text, "peer"), ["peer 10.0.0.254 as 65000 (tor) filter z with 0 rules filter a with 2 rules"]);
    assert_eq!(lines(&text, "subnet"), [""; 0]);
    assert_eq!(lines(&text, "problem"), [""; 0]);
}

#[test]
fn internal_peers_are_offered_several_paths_both_ways_and_external_ones_to_receive_them() {
    let objects = nodes()
        + &object("BGPPeer", "tor", "{peerIP: 10.0.0.254, asNumber: 65000}")
        + &object("BGPPeer", "rr", "{peerIP: 10.0.0.253, asNumber: 64512}")
        + &object("BGPPeer", "own", "{peerIP: 10.0.0.252, asNumber: 65000, addPath: Send, addPathLimit: 3}");
    let mut world = World::new("n1".parse().unwrap());
    for document in parse("test.yaml", &objects).documents {
        let Document::Object(found) = document else { panic!("{document:?}") };
        let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
        world.learn(Fact::Object(Box::new(fact)));
    }
    let mut desired = Desired::default();
    desired.update(&world, &Dirty::everything(), Start::Fresh);
    let peers = desired.bgp.unwrap().config.unwrap().peers;
    let planned: Vec<_> = peers.values().map(|peer| (peer.name.as_str(), peer.add_path, peer.add_path_limit)).collect();
    use AddPath::{Both, Receive, Send};
    assert_eq!(
        planned,
        [("mesh n2", Both, 16), ("own", Send, 3), ("rr", Both, 16), ("tor", Receive, 16), ("mesh n3", Both, 16)]
    );
}

#[test]
fn a_peer_with_a_gateway_of_its_own_is_reached_by_it_and_so_is_what_lies_behind() {
    let objects = node("n1", "10.0.0.1/24", "10.244.1.0/24", "")
        + &node("n2", "10.7.0.2/24", "10.244.2.0/24", "")
        + &object("BGPPeer", "far", "{peerIP: 10.9.0.9, asNumber: 65000, reachableBy: 10.0.0.7}")
        + &object("BGPPeer", "lost", "{peerIP: 'fd00::9', asNumber: 65000, reachableBy: 'fd00::7'}")
        + &object("BGPPeer", "near", "{peerIP: 10.0.0.7, asNumber: 65000, reachableBy: 10.0.0.7}")
        + &object("BGPPeer", "nodes", "{peerSelector: \"rack == 'r-n2'\", reachableBy: 10.0.0.8}")
        + &object("BGPPeer", "other", "{peerIP: 10.9.0.8, asNumber: 65000, reachableBy: 10.0.0.7, node: n2}");
    let mut facts = uplink();
    facts.push(learned("192.0.2.0/24", &["10.9.0.9"]));
    assert_eq!(
        lines(&plan(&objects, facts), "route"),
        [
            "route 10.7.0.2/32 via 10.0.0.8 dev eth0 proto margay metric 1024",
            "route 10.9.0.9/32 via 10.0.0.7 dev eth0 proto margay metric 1024",
            "route blackhole 10.244.1.0/24 proto margay metric 1024",
            "route 192.0.2.0/24 via 10.0.0.7 dev eth0 proto margay metric 1024 # no tunnel: no IPPool covers it",
            "route fd00::9/128 not usable: next hop fd00::7 can't be reached: no route to it",
        ]
    );
}

#[test]
fn each_router_that_advertises_itself_on_a_link_is_a_peer_there_and_nowhere_else() {
    let objects = node("n1", "10.0.0.1/24", "10.244.1.0/24", "")
        + &object("BGPPeer", "up0", "{peerInterface: eth0, peerType: eBGP}")
        + &object("BGPPeer", "up1", "{peerInterface: eth1, asNumber: 65000}")
        + &object("BGPPeer", "up9", "{peerInterface: eth9, peerType: eBGP}");
    let router = |interface: u32, address: &str| Fact::Router {
        interface: interface.try_into().unwrap(),
        address: address.parse().unwrap(),
    };
    let facts = vec![
        link(2, "eth0"),
        link(3, "eth1"),
        link(4, "eth2"),
        address(2, "fe80::a", 64),
        router(2, "fe80::1"),
        router(2, "fe80::2"),
        router(2, "fe80::a"),
        router(4, "fe80::4"),
    ];
    let text = plan(&objects, facts);
    assert_eq!(
        lines(&text, "peer"),
        ["peer fe80::1%2 as any other than ours (up0)", "peer fe80::2%2 as any other than ours (up0)"]
    );
    assert_eq!(
        lines(&text, "problem"),
        [
            "problem BGPPeer/up1: spec.peerInterface: no router has advertised itself on eth1 yet",
            "problem BGPPeer/up9: spec.peerInterface: there is no interface eth9: no session",
        ]
    );
}

#[test]
fn routes_of_a_link_local_peer_go_over_its_link() {
    let hop = |address: &str, link_local: Option<&str>, scope: u32| NextHop {
        address: address.parse().unwrap(),
        link_local: link_local.map(|text| text.parse().unwrap()),
        peer: PeerKey::new("fe80::9".parse().unwrap()).on_link(scope.try_into().unwrap()),
    };
    let learned = |prefix: &str, hops: Vec<NextHop>| {
        let best = Some(Best { next_hops: hops.into(), reason: bgp::rib::Reason::OnlyPath });
        Fact::Learned(RouteChange { prefix: prefix.parse().unwrap(), best })
    };
    let facts = vec![
        link(2, "eth0"),
        link(3, "eth1"),
        learned("10.9.0.0/24", vec![hop("fe80::9", None, 2), hop("fe80::9", None, 3)]),
        learned("2001:db8:9::/64", vec![hop("2001:db8::9", Some("fe80::9"), 2)]),
        learned("10.8.0.0/24", vec![hop("fe80::9", None, 4)]),
    ];
    let none = "proto margay metric 1024 # no tunnel: no IPPool covers it";
    assert_eq!(
        lines(&plan(&node("n1", "10.0.0.1/24", "10.244.1.0/24", ""), facts), "route 1"),
        [
            "route 10.8.0.0/24 not usable: next hop fe80::9 can't be reached: no route to it # no tunnel: no IPPool covers it"
                .to_string(),
            format!(
                "route 10.9.0.0/24 nexthop via inet6 fe80::9 dev eth0 weight 1 nexthop via inet6 fe80::9 dev eth1 weight 1 \
                 {none}; no tunnel: no IPPool covers it"
            ),
        ]
    );
}

#[test]
fn a_pool_may_keep_its_blocks_from_being_announced() {
    let text = plan(&(nodes() + &object("IPPool", "p", "{cidr: 10.244.0.0/16, disableBGPExport: true}")), vec![]);
    assert_eq!(lines(&text, "originate"), [""; 0]);
}

#[test]
fn learned_routes_go_where_the_kernels_table_leads() {
    let mut facts = uplink();
    facts.push(learned("10.244.2.0/24", &["10.0.0.2"]));
    facts.push(learned("10.244.3.0/24", &["10.0.9.3"]));
    facts.push(learned("192.0.2.0/24", &["10.0.0.253", "10.0.0.254"]));
    facts.push(learned("2001:db8::/32", &["fd00::9"]));
    let text = plan(&nodes(), facts);
    assert_eq!(
        lines(&text, "route"),
        [
            "route blackhole 10.244.1.0/24 proto margay metric 1024",
            "route 10.244.2.0/24 via 10.0.0.2 dev eth0 proto margay metric 1024 # no tunnel: no IPPool covers it",
            "route 10.244.3.0/24 via 10.0.0.254 dev eth0 proto margay metric 1024 # no tunnel: no IPPool covers it",
            "route 192.0.2.0/24 nexthop via 10.0.0.253 dev eth0 weight 1 nexthop via 10.0.0.254 dev eth0 weight 1 proto \
             margay metric 1024 # no tunnel: no IPPool covers it; no tunnel: no IPPool covers it",
            "route 2001:db8::/32 not usable: next hop fd00::9 can't be reached: no route to it # no tunnel: no IPPool covers it",
        ]
    );
}

#[test]
fn the_tunnel_is_decided_for_each_route_with_its_reason() {
    let routes = |mode: &str| {
        let mut facts = uplink();
        facts.push(link(9, "tunl0"));
        facts.push(learned("10.244.2.0/24", &["10.0.0.2"]));
        facts.push(learned("10.244.3.0/24", &["10.0.9.3"]));
        facts.push(learned("10.244.9.0/24", &["10.0.0.254"]));
        let pool = object("IPPool", "p", &format!("{{cidr: 10.244.0.0/16, ipipMode: {mode}}}"));
        let text = plan(&(nodes() + &pool), facts);
        [lines(&text, "tunnel"), lines(&text, "route 10")].concat()
    };
    assert_eq!(
        routes("Always"),
        [
            "tunnel tunl0 mtu 1480 address 10.244.1.0",
            "route 10.244.2.0/24 via 10.0.0.2 dev tunl0 onlink proto margay metric 1024 # tunnel: IPPool p has ipipMode Always",
            "route 10.244.3.0/24 via 10.0.9.3 dev tunl0 onlink proto margay metric 1024 # tunnel: IPPool p has ipipMode Always",
            "route 10.244.9.0/24 via 10.0.0.254 dev eth0 proto margay metric 1024 # no tunnel: next hop 10.0.0.254 is not a \
             node, so no tunnel ends there",
        ]
    );
    assert_eq!(
        routes("CrossSubnet")[1..3],
        [
            "route 10.244.2.0/24 via 10.0.0.2 dev eth0 proto margay metric 1024 # no tunnel: next hop 10.0.0.2 is on this \
             node's subnet 10.0.0.0/24",
            "route 10.244.3.0/24 via 10.0.9.3 dev tunl0 onlink proto margay metric 1024 # tunnel: next hop 10.0.9.3 is not \
             on this node's subnet 10.0.0.0/24",
        ]
    );
    assert_eq!(lines(&routes("Never").join("\n"), "tunnel"), [""; 0]);
}

#[test]
fn masquerading_is_for_what_leaves_all_pools() {
    let pools = object("IPPool", "a", "{cidr: 10.244.0.0/16, natOutgoing: true, disabled: true}")
        + &object("IPPool", "b", "{cidr: 10.245.0.0/16}")
        + &object("IPPool", "lb", "{cidr: 10.246.0.0/16, allowedUses: [LoadBalancer], natOutgoing: true}");
    let text = plan(&(nodes() + &pools), vec![]);
    assert_eq!(lines(&text, "nat"), ["nat from { 10.244.0.0/16 } not to { 10.244.0.0/16, 10.245.0.0/16 } masquerade"]);
}

#[test]
fn a_felix_configuration_says_how_the_tunnel_is_and_whether_nodes_are_outside() {
    let pools = object("IPPool", "a", "{cidr: 10.244.0.0/16, natOutgoing: true, ipipMode: Always}");
    let felix = |name: &str, spec: &str| object("FelixConfiguration", name, spec);
    let planned = |felix: &str| {
        let text = plan(&(nodes() + &pools + felix), vec![link(2, "eth0"), address(2, "10.0.0.1", 24)]);
        [lines(&text, "tunnel"), lines(&text, "nat"), lines(&text, "forward")].concat()
    };
    let plain = planned("");
    assert_eq!(
        plain,
        [
            "tunnel tunl0 mtu 1480 address 10.244.1.0",
            "nat from { 10.244.0.0/16 } not to { 10.244.0.0/16 } masquerade",
            "forward ipv4",
        ]
    );
    let default = felix("default", "{ipipMTU: 1400, natOutgoingExclusions: IPPoolsAndHostIPs, ipForwarding: Disabled}");
    let own = felix("node.n1", "{ipipMTU: 1300}") + &felix("node.n2", "{ipipMTU: 1200}");
    assert_eq!(
        planned(&(default.clone() + &own)),
        [
            "tunnel tunl0 mtu 1300 address 10.244.1.0",
            "nat from { 10.244.0.0/16 } not to { 10.0.0.1/32, 10.0.0.2/32, 10.0.9.3/32, 10.244.0.0/16 } masquerade",
        ]
    );
    assert_eq!(planned(&felix("none", "{nodeSelector: none == 'such', ipipEnabled: false}")), plain);
    assert_eq!(
        lines(&planned(&felix("all", "{nodeSelector: all(), ipipEnabled: false}")).join("\n"), "tunnel"),
        [""; 0]
    );
}

#[test]
fn a_node_of_ipv6_alone_has_a_router_id_and_speaks_over_ipv6() {
    let v6 = |name: &str, address: &str, cidr: &str| {
        node(name, "''", cidr, &format!(", projectcalico.org/IPv6Address: \"{address}\""))
    };
    let text = plan(&(v6("n1", "fd00::1/64", "\"fd00:1::/64\"") + &v6("n2", "fd00::2/64", "\"fd00:2::/64\"")), vec![]);
    assert_eq!(lines(&text, "peer"), ["peer fd00::2 as 64512 (mesh n2)"]);
    assert_eq!(lines(&text, "originate"), ["originate fd00:1::/64"]);
    assert!(lines(&text, "bgp")[0].starts_with("bgp as 64512 router-id "));
}

#[test]
fn without_its_own_node_object_the_agent_says_what_is_missing() {
    let text = plan(&node("n2", "10.0.0.2/24", "10.244.2.0/24", ""), vec![]);
    assert_eq!(lines(&text, "bgp"), [""; 0]);
    assert_eq!(lines(&text, "problem"), ["problem there is no Node n1: its addresses and pod CIDRs are not known"]);
}

#[test]
fn a_pods_route_that_the_shim_has_just_made_is_left_to_it() {
    let lease = |plumbed: Option<u32>| {
        Fact::Lease(ipam::Record::Lease(ipam::Lease {
            attachment: model::api::Attachment { container_id: "c1".into(), ifname: "eth0".into() },
            network: "net".into(),
            pod: None,
            uid: None,
            netns: "/run/netns/c1".into(),
            host_interface: "cali0123456789a".into(),
            addresses: vec!["10.244.1.7".parse().unwrap()],
            mtu: 1500,
            since: 0,
            plumbed: plumbed.map(|host_ifindex| ipam::Plumbed { host_ifindex, mac: String::new() }),
        }))
    };
    let made = || {
        let Fact::Kernel(KernelEvent::Route(mut route)) = foreign("10.244.1.7/32", None, 7) else { panic!() };
        (route.metric, route.protocol) = (model::kernel::ROUTE_METRIC, model::kernel::ROUTE_PROTOCOL);
        Fact::Kernel(KernelEvent::Route(route))
    };
    let route = ["route 10.244.1.7/32 dev cali0123456789a proto margay metric 1024"];
    let pod_route = |facts| lines(&plan(&nodes(), facts), "route 10.244.1.7");
    assert_eq!(pod_route(vec![lease(None), link(7, "cali0123456789a")]), [""; 0], "the shim has not made it yet");
    assert_eq!(
        pod_route(vec![lease(None), link(7, "cali0123456789a"), made()]),
        route,
        "it has, and nobody deletes it"
    );
    assert_eq!(pod_route(vec![lease(Some(7)), link(7, "cali0123456789a")]), route, "flushed by hand, it comes back");
    assert_eq!(pod_route(vec![lease(Some(7))]), ["route 10.244.1.7/32 not usable: link cali0123456789a is not there"]);
}

#[test]
fn bfd_of_a_bgp_peer_is_bfd_of_the_session() {
    let objects = "{apiVersion: v1, kind: Node, metadata: {name: n1, annotations: \
                   {projectcalico.org/IPv4Address: 10.0.0.1/24}}}\n---\n\
                   {apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: tor}, \
                   spec: {peerIP: 10.0.0.254, asNumber: 65000, bfd: {minTxInterval: 50ms, multihop: true}}}\n";
    let mut world = World::new("n1".parse().unwrap());
    for document in parse("test.yaml", objects).documents {
        let Document::Object(found) = document else { panic!("{document:?}") };
        let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
        world.learn(Fact::Object(Box::new(fact)));
    }
    let config = agent::plan::bgp::bgp(&world, Start::Fresh).config.unwrap();
    let peer = &config.peers[&PeerKey::new(IpAddr::from([10, 0, 0, 254]))];
    let wanted = bgp::bfd::Config {
        min_tx: std::time::Duration::from_millis(50),
        distance: bgp::bfd::Distance::Multihop,
        ..bgp::bfd::Config::default()
    };
    assert_eq!(peer.bfd, Some(wanted));
}

#[test]
fn bmp_stations_are_those_of_the_nodes_own_configuration_or_else_of_the_default_one() {
    let stations = |objects: &str| {
        let mut world = World::new("n1".parse().unwrap());
        for document in parse("test.yaml", objects).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let object = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            let _ = world.learn(Fact::Object(Box::new(object)));
        }
        let monitoring = agent::plan::bgp::bgp(&world, Start::Fresh).config.unwrap().monitoring;
        assert_eq!(monitoring.name, "n1");
        monitoring.stations.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(stations(&nodes()), [""; 0]);
    let all = nodes() + &object("BGPConfiguration", "default", "{bmp: [{station: 10.9.0.5}]}");
    assert_eq!(stations(&all), ["10.9.0.5:11019"]);
    let own = all + &object("BGPConfiguration", "node.n1", "{bmp: [{station: 10.9.0.6, port: 5000}]}");
    assert_eq!(stations(&own), ["10.9.0.6:5000"]);
}

#[test]
fn what_nothing_inside_an_announced_aggregate_leads_to_is_dropped() {
    let objects =
        |cidr: &str| nodes() + &object("BGPConfiguration", "default", &format!("{{aggregates: [{{cidr: {cidr}}}]}}"));
    let text =
        |cidr: &str, others: Vec<Fact>| lines(&plan(&objects(cidr), [uplink(), others].concat()), "route blackhole");
    assert_eq!(
        text("10.244.0.0/16", vec![]),
        [
            "route blackhole 10.244.0.0/16 proto margay metric 1024",
            "route blackhole 10.244.1.0/24 proto margay metric 1024"
        ]
    );
    assert_eq!(
        text("10.99.0.0/16", vec![]),
        ["route blackhole 10.244.1.0/24 proto margay metric 1024"],
        "nothing is inside"
    );
    let inside = vec![learned("10.99.7.0/24", &["10.0.0.2"])];
    assert_eq!(text("10.99.0.0/16", inside).first().unwrap(), "route blackhole 10.99.0.0/16 proto margay metric 1024");
    let beside = vec![learned("10.98.7.0/24", &["10.0.0.2"]), learned("10.100.0.0/24", &["10.0.0.2"])];
    assert_eq!(text("10.99.0.0/16", beside).len(), 1);
}
