//! The way of a packet as it is told: objects, leases and the kernel in, hops and their reasons out.

#![allow(clippy::unwrap_used)]

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::plan::trace::{Picture, trace};
use agent::world::{Dirty, Mode, World};
use bgp::PeerKey;
use bgp::config::Start;
use bgp::speaker::{Best, NextHop, RouteChange};
use dataplane::actual::{ActualKind, ActualRoute, Address, KernelEvent, Link};
use dataplane::want;
use ipam::{Lease, Plumbed, Record};
use model::api::Attachment;
use model::api::show::{Between, Connection, TraceOutcome, TraceView};
use model::object::{Document, parse};
use model::{PodRef, Protocol};

const OBJECTS: &str = "
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24}}
spec: {podCIDRs: [10.244.1.0/24]}
---
apiVersion: v1
kind: Node
metadata: {name: n2, annotations: {projectcalico.org/IPv4Address: 10.0.0.2/24}}
spec: {podCIDRs: [10.244.2.0/24]}
---
apiVersion: v1
kind: Node
metadata: {name: n3, annotations: {projectcalico.org/IPv4Address: 10.0.9.3/24}}
spec: {podCIDRs: [10.244.3.0/24]}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.244.0.0/16, natOutgoing: true, ipipMode: CrossSubnet}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop}
spec: {nodeName: n3}
status: {podIP: 10.244.3.7, podIPs: [{ip: 10.244.3.7}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.6, podIPs: [{ip: 10.244.1.6}]}
";

/// Node `n1` with an uplink, a tunnel, two pods, and every route in the kernel that should be there.
struct Node {
    world: World,
    desired: Desired,
}

impl Node {
    fn new(more: &str) -> Node {
        let world = World::new("n1".parse().unwrap());
        let mut node = Node { world, desired: Desired::default() };
        node.objects(&format!("{OBJECTS}{more}"));
        for (index, name) in [(2, "eth0"), (3, "tunl0"), (11, "caliaaaaaaaaaaa"), (12, "calibbbbbbbbbbb")] {
            node.link(index, name, true);
        }
        let (address, length) = ("10.0.0.1".parse().unwrap(), 24);
        node.kernel(KernelEvent::Address(Address { index: 2, address, length, scope: 0, protocol: 0 }));
        node.foreign("10.0.0.0/24", None);
        node.foreign("0.0.0.0/0", Some("10.0.0.254"));
        node.lease("cart", "caliaaaaaaaaaaa", 11, "10.244.1.5");
        node.lease("web", "calibbbbbbbbbbb", 12, "10.244.1.6");
        node.learned("10.244.2.0/24", "10.0.0.2");
        node.learned("10.244.3.0/24", "10.0.9.3");
        node.settle();
        node
    }

    fn objects(&mut self, yaml: &str) {
        for document in parse("test.yaml", yaml).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            self.world.learn(Fact::Object(Box::new(fact)));
        }
    }

    fn kernel(&mut self, event: KernelEvent) {
        self.world.learn(Fact::Kernel(event));
    }

    fn link(&mut self, index: u32, name: &str, up: bool) {
        let (name, kind, mac, alias) = (name.to_string(), None, None, None);
        self.kernel(KernelEvent::Link(Link { index, name, up, carrier: up, mtu: 1450, group: 0, kind, mac, alias }));
    }

    fn foreign(&mut self, prefix: &str, gateway: Option<&str>) {
        let hop = match gateway {
            Some(gateway) => want::NextHop::via(gateway.parse().unwrap(), 2),
            None => want::NextHop::on_link(2),
        };
        self.foreign_by(prefix, [hop]);
    }

    fn foreign_by(&mut self, prefix: &str, hops: impl IntoIterator<Item = want::NextHop>) {
        let kind = ActualKind::Unicast(want::NextHops::new(hops).unwrap());
        let prefix = prefix.parse().unwrap();
        self.kernel(KernelEvent::Route(ActualRoute { prefix, metric: 0, protocol: 2, nexthop: None, kind }));
    }

    fn lease(&mut self, pod: &str, link: &str, index: u32, address: &str) {
        self.world.learn(Fact::Lease(Record::Lease(Lease {
            attachment: Attachment { container_id: pod.into(), ifname: "eth0".into() },
            network: String::new(),
            pod: Some(PodRef { namespace: "shop".into(), name: pod.into() }),
            uid: None,
            netns: String::new(),
            host_interface: link.into(),
            addresses: vec![address.parse().unwrap()],
            mtu: 1450,
            since: 0,
            plumbed: Some(Plumbed { host_ifindex: index, mac: String::new() }),
        })));
    }

    fn learned(&mut self, prefix: &str, next_hop: &str) {
        let address = next_hop.parse().unwrap();
        let next_hops = vec![NextHop { address, link_local: None, peer: PeerKey::new(address) }];
        let best = Some(Best { next_hops: next_hops.into(), reason: bgp::rib::Reason::OnlyPath });
        self.world.learn(Fact::Learned(RouteChange { prefix: prefix.parse().unwrap(), best }));
    }

    /// Plans all, and makes the routes as the hands would.
    fn settle(&mut self) {
        self.world.policies.update();
        self.desired.update(&self.world, &Dirty::everything(), Start::Fresh);
        let routes: Vec<ActualRoute> = self.desired.table.values().map(want::Route::made).collect();
        routes.into_iter().for_each(|route| self.kernel(KernelEvent::RouteReplaced(route)));
    }

    fn ask(&self, from: &str, to: &str) -> Result<TraceView, String> {
        self.ask_port(from, to, 5432)
    }

    fn ask_port(&self, from: &str, to: &str, port: u16) -> Result<TraceView, String> {
        let picture = Picture { world: &self.world, desired: &self.desired, refused: &|_| None };
        let connection = Connection { protocol: Protocol::TCP, port };
        trace(picture, &Between { from: from.into(), to: to.into(), connection })
    }

    /// Each hop as one line, and the verdict.
    #[track_caller]
    fn check(&self, from: &str, to: &str, outcome: TraceOutcome, meant: &[&str]) {
        let view = self.ask(from, to).unwrap();
        let line = |hop: &model::api::show::HopView| {
            format!("{} {}: {} | {}", hop.step.word(), hop.effect.word(), hop.what, hop.reason)
        };
        let mut told: Vec<String> = view.hops.iter().map(line).collect();
        told.push(view.verdict.clone());
        assert_eq!(told, meant, "{view:#?}");
        assert_eq!(view.outcome, outcome);
    }
}

const FROM_CART: [&str; 2] = [
    "from ok: caliaaaaaaaaaaa, mtu 1450 | the link of pod shop/cart",
    "source ok: 10.244.1.5 is an address of the pod | another source address would be dropped as spoofed",
];

#[test]
fn a_pod_reaches_a_pod_of_its_node_by_the_route_to_its_link() {
    let node = Node::new("");
    let meant = [
        FROM_CART[0],
        FROM_CART[1],
        "route ok: 10.244.1.6/32 dev calibbbbbbbbbbb proto margay metric 1024 | pod shop/web",
        "egress ok: allowed | no egress policy is about it",
        "ingress ok: allowed | no ingress policy is about it",
        "to ok: calibbbbbbbbbbb | the link of pod shop/web",
        "delivered to pod shop/web",
    ];
    node.check("shop/cart", "shop/web", TraceOutcome::Delivered, &meant);
    node.check("10.244.1.5", "10.244.1.6", TraceOutcome::Delivered, &meant);
}

#[test]
fn beyond_a_router_a_pod_is_reached_by_the_tunnel_whose_outer_addresses_are_told() {
    let node = Node::new("");
    let tunnel = "tunnel changed: tunl0: 10.0.0.1 to 10.0.9.3 (IP in IP) | \
                  next hop 10.0.9.3 is not on this node's subnet 10.0.0.0/24";
    node.check(
        "shop/cart",
        "shop/db",
        TraceOutcome::Sent,
        &[
            FROM_CART[0],
            FROM_CART[1],
            "route ok: 10.244.3.0/24 via 10.0.9.3 dev tunl0 onlink proto margay metric 1024 | from 10.0.9.3: only path",
            "egress ok: allowed | no egress policy is about it",
            "ingress ?: elsewhere | decided on node n3: ask its agent",
            "masquerade ok: no | 10.244.3.7 is in 10.244.0.0/16, which is not outside",
            tunnel,
            "to ?: pod shop/db on node n3 | by 10.0.9.3, tunl0",
            "leaves this node for pod shop/db on node n3 by 10.0.9.3, tunl0",
        ],
    );
    let view = node.ask("shop/cart", "shop/db").unwrap();
    let outer = view.hops.iter().find_map(|hop| hop.outer).unwrap();
    assert_eq!((outer.source, outer.destination.to_string()), ("10.0.0.1".parse().ok(), "10.0.9.3".to_string()));
}

#[test]
fn policies_of_both_sides_are_told_with_the_rule_that_decides_even_if_the_first_refuses() {
    let policy = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: cart}}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}, {from: [{podSelector: {}}]}]}
";
    let node = Node::new(policy);
    let said = "no rule matches of NetworkPolicy/shop/closed (end of tier default)";
    let egress = format!("egress DROPPED: denied | {said}");
    let verdict = format!("dropped by egress policy: {said}");
    node.check(
        "shop/cart",
        "shop/web",
        TraceOutcome::Dropped,
        &[
            FROM_CART[0],
            FROM_CART[1],
            "route ok: 10.244.1.6/32 dev calibbbbbbbbbbb proto margay metric 1024 | pod shop/web",
            &egress,
            "ingress ok: allowed | NetworkPolicy/shop/web ingress[1] allows it",
            &verdict,
        ],
    );
    let view = node.ask("shop/cart", "shop/web").unwrap();
    let judged: Vec<_> = view.hops.iter().filter_map(|hop| hop.judged.clone()).collect();
    assert_eq!(judged[0].unmatched, ["NetworkPolicy/shop/closed"]);
    assert_eq!((judged[1].object.as_deref(), judged[1].rule), (Some("NetworkPolicy/shop/web"), Some(1)));
    assert_eq!(judged[1].tier.as_deref(), Some("default"));
}

#[test]
fn outside_the_pools_a_pod_is_seen_with_the_nodes_address() {
    let node = Node::new("");
    let view = node.ask("shop/cart", "192.0.2.80").unwrap();
    let masquerade = view.hops.iter().find(|hop| hop.step.word() == "masquerade").unwrap();
    assert_eq!(masquerade.what, "leaves with the address of eth0");
    assert_eq!(masquerade.reason, "pool 10.244.0.0/16 has natOutgoing, and 192.0.2.80 is in no pool");
    assert_eq!(view.verdict, "leaves this node for 192.0.2.80 by 10.0.0.254, eth0");
}

#[test]
fn what_drops_a_packet_is_the_last_hop_and_says_why() {
    let mut node = Node::new("");
    let nobody =
        "route DROPPED: blackhole 10.244.1.0/24 proto margay metric 1024 | own block: what no pod has is dropped here";
    let into_nothing = "dropped by the route: it leads into nothing";
    node.check("shop/cart", "10.244.1.99", TraceOutcome::Dropped, &[FROM_CART[0], FROM_CART[1], nobody, into_nothing]);
    node.link(11, "caliaaaaaaaaaaa", false);
    node.check(
        "shop/cart",
        "shop/web",
        TraceOutcome::Dropped,
        &["from DROPPED: caliaaaaaaaaaaa | link caliaaaaaaaaaaa is down", "link caliaaaaaaaaaaa is down"],
    );
}

#[test]
fn a_route_that_should_be_there_and_is_not_is_told_beside_the_one_that_packets_follow() {
    let mut node = Node::new("");
    let key = want::RouteKey { prefix: "10.244.2.0/24".parse().unwrap(), metric: 1024 };
    let route = node.world.kernel.at(&key)[0].clone();
    node.kernel(KernelEvent::RouteGone(route));
    let view = node.ask("shop/cart", "10.244.2.9").unwrap();
    let hop = view.hops.iter().find(|hop| hop.step.word() == "route").unwrap();
    assert_eq!(hop.prefix, "0.0.0.0/0".parse().ok());
    assert_eq!(hop.reason, "followed instead of 10.244.2.0/24: the route to 10.244.2.0/24 is about to be made");
}

#[test]
fn the_host_reaches_its_pods_whatever_their_policies_say_and_pods_reach_the_host() {
    let node = Node::new("");
    node.check(
        "host",
        "shop/web",
        TraceOutcome::Delivered,
        &[
            "from ok: this node itself | ",
            "route ok: 10.244.1.6/32 dev calibbbbbbbbbbb proto margay metric 1024 | pod shop/web",
            "ingress ok: allowed | what the node itself sends to its own pods is never cut",
            "to ok: calibbbbbbbbbbb | the link of pod shop/web",
            "delivered to pod shop/web",
        ],
    );
    let view = node.ask("shop/cart", "host").unwrap();
    assert_eq!((view.outcome, view.verdict.as_str()), (TraceOutcome::Delivered, "delivered to node n1 itself"));
}

#[test]
fn of_a_service_it_is_said_who_translates_it_and_of_an_address_without_one_that_it_goes_no_further() {
    let node = Node::new(
        "
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {serviceClusterIPs: [{cidr: 10.96.0.0/16}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10}
",
    );
    let view = node.ask("shop/cart", "service/shop/web").unwrap();
    let hop = view.hops.last().unwrap();
    assert_eq!(hop.what, "kube-proxy translates 10.96.0.10 to an endpoint of shop/web");
    assert_eq!(view.outcome, TraceOutcome::Unknown);
    let view = node.ask("shop/cart", "10.96.0.99").unwrap();
    assert_eq!(view.outcome, TraceOutcome::Dropped);
    let said = "dropped: 10.96.0.99 is in service addresses 10.96.0.0/16, and no Service has it: kube-proxy did not \
                translate it";
    assert_eq!(view.verdict, said);
}

#[test]
fn who_is_not_known_is_an_error_that_says_how_to_ask() {
    let node = Node::new("");
    let said = node.ask("shop/nobody", "host").unwrap_err();
    assert!(said.starts_with("no pod shop/nobody is known here: `margayctl pod list` shows this node's"), "{said}");
    let said = node.ask("shop/cart", "2001:db8::1").unwrap_err();
    assert_eq!(said, "shop/cart and 2001:db8::1 have no addresses of the same family");
}

const UPLINK: &str = "
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: uplink, labels: {role: node}}
spec: {node: n1, interfaceName: eth0}
";

/// What closes the uplink but for port 80, and a neighbour.
const CLOSED: &str = "
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'node'
  types: [Ingress, Egress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
  egress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: router}
spec: {peerIP: 10.0.0.254, asNumber: 64512}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {asNumber: 64513, nodeToNodeMeshEnabled: false}
";

/// A HostEndpoint on an interface, closed so.
fn closed_at(interface: &str) -> String {
    let uplink = UPLINK.replace("interfaceName: eth0", &format!("interfaceName: '{interface}'"));
    format!("{uplink}{CLOSED}")
}

impl Node {
    /// What is said about HostEndpoints, and the outcome.
    fn of_hosts(&self, from: &str, to: &str, port: u16) -> (Vec<String>, TraceOutcome) {
        let view = self.ask_port(from, to, port).unwrap();
        let of_hosts = view.hops.iter().filter(|hop| hop.step.word() == "host");
        (of_hosts.map(|hop| format!("{} | {}", hop.what, hop.reason)).collect(), view.outcome)
    }
}

#[test]
fn a_host_endpoints_policies_are_asked_of_the_link_that_a_packet_comes_by_or_leaves_by() {
    let node = Node::new(&closed_at("eth0"));
    let allowed =
        |way: &str| vec![format!("allowed | HostEndpoint uplink on eth0: GlobalNetworkPolicy/web {way}[0] allows it")];
    let denied = || {
        vec![
            "denied | HostEndpoint uplink on eth0: no rule matches of GlobalNetworkPolicy/web (end of tier default)"
                .to_string(),
        ]
    };
    assert_eq!(node.of_hosts("192.0.2.9", "host", 80), (allowed("ingress"), TraceOutcome::Delivered));
    assert_eq!(node.of_hosts("192.0.2.9", "host", 81), (denied(), TraceOutcome::Dropped));
    assert_eq!(node.of_hosts("host", "192.0.2.9", 80), (allowed("egress"), TraceOutcome::Sent));
    assert_eq!(node.of_hosts("host", "192.0.2.9", 81), (denied(), TraceOutcome::Dropped));
    let verdict = node.ask("192.0.2.9", "host").unwrap().verdict;
    assert!(
        verdict.starts_with("dropped by the policies of HostEndpoint uplink on eth0: no rule matches"),
        "{verdict}"
    );
}

#[test]
fn no_host_endpoint_closes_a_node_to_its_pods_its_peers_and_failsafe_ports() {
    let node = Node::new(&closed_at("eth0"));
    let none = Vec::<String>::new;
    assert_eq!(node.of_hosts("host", "shop/web", 81), (none(), TraceOutcome::Delivered));
    assert_eq!(node.of_hosts("shop/web", "host", 81).0, none());
    assert_eq!(node.of_hosts("host", "host", 81), (none(), TraceOutcome::Delivered));
    // What is forwarded is asked about by policies that apply on forward alone.
    assert_eq!(node.of_hosts("shop/web", "192.0.2.9", 81), (none(), TraceOutcome::Sent));
    let opened = |why: &str| vec![format!("allowed | HostEndpoint uplink on eth0: {why}: no policy closes it")];
    let failsafe = opened("a failsafe port");
    assert_eq!(node.of_hosts("192.0.2.9", "host", 22), (failsafe, TraceOutcome::Delivered));
    let session = opened("a session of the node's with its peer");
    assert_eq!(node.of_hosts("10.0.0.254", "host", 179), (session.clone(), TraceOutcome::Delivered));
    assert_eq!(node.of_hosts("host", "10.0.0.254", 179), (session, TraceOutcome::Sent));
}

#[test]
fn policies_that_apply_on_forward_before_dnat_and_untracked_are_asked_in_the_kernels_order() {
    let policies = "
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: forwarded}
spec: {selector: role == 'node', applyOnForward: true, types: [Ingress], ingress: [{action: Deny, source: {nets: [192.0.2.0/24]}}, {action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first}
spec: {selector: role == 'node', applyOnForward: true, preDNAT: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}, {action: Deny, protocol: TCP, destination: {ports: [81]}}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: raw}
spec: {selector: role == 'node', applyOnForward: true, doNotTrack: true, types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [82]}}]}
";
    let node = Node::new(&format!("{UPLINK}{policies}"));
    let said = |name: &str, rule: usize, does: &str| {
        let verdict = if does == "allows" { "allowed" } else { "denied" };
        format!("{verdict} | HostEndpoint uplink on eth0: GlobalNetworkPolicy/{name} ingress[{rule}] {does} it")
    };
    let asked = |port| node.of_hosts("192.0.2.9", "shop/web", port);
    assert_eq!(asked(80), (vec![said("first", 0, "allows")], TraceOutcome::Delivered));
    assert_eq!(asked(81), (vec![said("first", 1, "denies")], TraceOutcome::Dropped));
    assert_eq!(asked(82), (vec![said("raw", 0, "denies")], TraceOutcome::Dropped));
    assert_eq!(asked(83), (vec![said("forwarded", 0, "denies")], TraceOutcome::Dropped));
}

#[test]
fn a_pod_meets_what_all_links_have_on_its_way_to_the_node_only_where_its_own_policies_have_not_the_last_word() {
    let said = |action: &str| {
        let felix = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}";
        let spec = format!("spec: {{defaultEndpointToHostAction: {action}}}");
        Node::new(&format!("{}---\n{felix}\n{spec}\n", closed_at("*"))).of_hosts("shop/web", "host", 81)
    };
    assert_eq!(said("Accept"), (vec![], TraceOutcome::Delivered));
    assert_eq!(said("Drop"), (vec![], TraceOutcome::Dropped));
    let rule = "no rule matches of GlobalNetworkPolicy/web (end of tier default)";
    let denied = format!("denied | HostEndpoint uplink on calibbbbbbbbbbb: {rule}");
    assert_eq!(said("Return"), (vec![denied], TraceOutcome::Dropped));
}

#[test]
fn beside_another_plugin_too_a_node_is_never_cut_from_its_own_pods() {
    let pod = "
---
apiVersion: v1
kind: Pod
metadata: {name: bridged, namespace: shop}
spec: {nodeName: n1}
status: {podIP: 10.244.1.77, podIPs: [{ip: 10.244.1.77}]}
";
    let mut node = Node::new(&closed_at("eth0"));
    node.foreign("10.244.1.77/32", None);
    assert_eq!(node.of_hosts("host", "10.244.1.77", 81).1, TraceOutcome::Dropped);
    node.world.learn(Fact::Mode(Mode::PolicyOnly));
    node.objects(pod);
    node.settle();
    assert_eq!(node.of_hosts("host", "shop/bridged", 81), (vec![], TraceOutcome::Sent));
}

#[test]
fn of_several_links_all_are_asked_and_of_an_unknown_one_that_is_said() {
    let mut node = Node::new(&closed_at("eth1"));
    node.link(4, "eth1", true);
    let via = |index| want::NextHop::via("10.0.0.254".parse().unwrap(), index);
    node.foreign_by("203.0.113.0/24", [via(2), via(4)]);
    let rule = "no rule matches of GlobalNetworkPolicy/web (end of tier default)";
    let denied = format!("denied | HostEndpoint uplink on eth1: {rule}");
    assert_eq!(node.of_hosts("host", "203.0.113.9", 81), (vec![denied.clone()], TraceOutcome::Unknown));
    assert_eq!(node.of_hosts("203.0.113.9", "host", 81), (vec![denied], TraceOutcome::Unknown));
    let unknown = "elsewhere | by which link it comes is not known, nor what the policies of HostEndpoints say there";
    assert_eq!(node.of_hosts("10.244.1.99", "host", 81), (vec![unknown.to_string()], TraceOutcome::Delivered));
}
