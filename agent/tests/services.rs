//! Service addresses: what a node announces of them, why, and that it follows the endpoints.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::plan::services::{announced, services};
use agent::world::{Dirty, World};
use bgp::config::Start;
use dataplane::want::Strays;
use model::Prefix;
use model::object::{Document, ObjectKey, parse};

/// Node `n1`, as it learns objects; after each the plan is made anew for what that touched.
struct Node {
    world: World,
    desired: Desired,
}

impl Node {
    fn new(configuration: &str) -> Node {
        let world = World::new("n1".parse().unwrap());
        let mut node = Node { world, desired: Desired::default() };
        node.desired.update(&node.world, &Dirty::everything(), Start::Fresh);
        node.labelled("");
        node.learn(&format!(
            "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {{name: default}}\nspec: {configuration}"
        ));
        node
    }

    fn labelled(&mut self, label: &str) {
        self.learn(&format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: n1, labels: {{{label}}}, annotations: \
             {{projectcalico.org/IPv4Address: 10.0.0.1/24}}}}\nspec: {{podCIDRs: [10.244.1.0/24]}}"
        ));
    }

    fn learn(&mut self, objects: &str) -> Dirty {
        let mut dirty = Dirty::nothing();
        for document in parse("test.yaml", objects).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            dirty = dirty.and(self.world.learn(Fact::Object(Box::new(fact))));
        }
        self.desired.update(&self.world, &dirty, Start::Fresh);
        dirty
    }

    fn forget(&mut self, kind: model::object::Kind, name: &str) {
        let key = ObjectKey { kind, namespace: Some("shop".into()), name: name.into() };
        let dirty = self.world.learn(Fact::ObjectGone(key));
        self.desired.update(&self.world, &dirty, Start::Fresh);
    }

    /// What is announced beside the pod CIDR.
    fn announces(&self) -> Vec<String> {
        let plan = self.desired.bgp.as_ref().unwrap().config.as_ref().unwrap();
        let own: Prefix = "10.244.1.0/24".parse().unwrap();
        plan.originate.keys().filter(|prefix| **prefix != own).map(Prefix::to_string).collect()
    }

    /// Of each address of each Service: what leads to it, and why or why not.
    fn why(&self) -> BTreeMap<String, String> {
        let text = |p: &agent::plan::services::AddressPlan| {
            let by = p.advertised().map_or("-".to_string(), |prefix| prefix.to_string());
            (p.address.to_string(), format!("{by}: {}", p.verdict))
        };
        services(&self.world).iter().flat_map(|plan| plan.addresses.iter().map(text)).collect()
    }
}

fn service(name: &str, spec: &str, ingress: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n\
         status: {{loadBalancer: {{ingress: [{ingress}]}}}}\n"
    )
}

/// A slice of Service `web`.
fn slice(name: &str, family: &str, endpoints: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: shop, \
         labels: {{kubernetes.io/service-name: web}}}}\naddressType: {family}\nendpoints: [{endpoints}]\nports: []\n"
    )
}

fn endpoint(node: &str, conditions: &str) -> String {
    format!("{{addresses: [10.244.1.5], nodeName: {node}, conditions: {{{conditions}}}}}")
}

const ALL: &str = "{serviceClusterIPs: [{cidr: 10.96.0.0/16}, {cidr: 'fd00:96::/112'}], \
                   serviceExternalIPs: [{cidr: 203.0.113.0/24}], serviceLoadBalancerIPs: [{cidr: 198.51.100.0/24}]}";
const BLOCKS: [&str; 4] = ["10.96.0.0/16", "198.51.100.0/24", "203.0.113.0/24", "fd00:96::/112"];

fn with_blocks(more: &[&str]) -> Vec<String> {
    let mut all: Vec<Prefix> = BLOCKS.iter().chain(more).map(|text| text.parse().unwrap()).collect();
    all.sort();
    all.iter().map(Prefix::to_string).collect()
}

fn local() -> String {
    service(
        "web",
        "{type: LoadBalancer, clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10, 'fd00:96::10'], \
         externalIPs: [203.0.113.10, 192.0.2.10], externalTrafficPolicy: Local}",
        "{ip: 198.51.100.10}, {hostname: lb.example}, {ip: 198.51.100.11, ipMode: Proxy}",
    )
}

#[test]
fn blocks_are_announced_by_every_node_and_addresses_of_policy_cluster_by_their_block() {
    let mut node = Node::new(ALL);
    node.learn(&service(
        "web",
        "{type: LoadBalancer, clusterIP: 10.96.0.10, externalIPs: [203.0.113.9]}",
        "{ip: 198.51.100.10}",
    ));
    assert_eq!(node.announces(), with_blocks(&[]));
    assert_eq!(node.why()["10.96.0.10"], "10.96.0.0/16: in 10.96.0.0/16, which every node announces");
    assert_eq!(node.why()["203.0.113.9"], "203.0.113.0/24: in 203.0.113.0/24, which every node announces");
}

#[test]
fn an_address_of_policy_local_is_announced_where_an_endpoint_is_ready() {
    let mut node = Node::new(ALL);
    node.learn(&local());
    assert_eq!(node.announces(), with_blocks(&[]), "no endpoint");
    node.learn(&slice("web-1", "IPv4", &endpoint("n1", "")));
    let of_ipv4 = ["10.96.0.10/32", "198.51.100.10/32", "203.0.113.10/32"];
    assert_eq!(node.announces(), with_blocks(&of_ipv4), "ready, as it is not said that it is not; of that family");
    assert_eq!(node.why()["192.0.2.10"], "-: in none of serviceExternalIPs of BGPConfiguration default");
    assert!(!node.why().contains_key("198.51.100.11"), "{:?}", node.why());
    node.learn(&slice("web-2", "IPv6", &endpoint("n1", "ready: true")));
    assert_eq!(node.announces(), with_blocks(&[&of_ipv4[..], &["fd00:96::10/128"]].concat()));
    assert_eq!(
        node.why()["198.51.100.10"],
        "198.51.100.10/32: externalTrafficPolicy is Local, and an endpoint on this node is ready"
    );
}

#[test]
fn who_is_not_ready_or_terminates_or_is_elsewhere_attracts_nothing() {
    let mut node = Node::new("{serviceExternalIPs: [{cidr: 203.0.113.0/24}]}");
    node.learn(&local());
    for endpoint in [
        endpoint("n1", "ready: false"),
        endpoint("n1", "ready: false, serving: true, terminating: true"),
        endpoint("n2", "ready: true"),
        "{addresses: [10.244.1.5]}".to_string(),
    ] {
        node.learn(&slice("web-1", "IPv4", &endpoint));
        assert_eq!(node.announces(), ["203.0.113.0/24"], "{endpoint}");
    }
    let both = [endpoint("n1", "ready: false"), endpoint("n1", "ready: true")].join(", ");
    node.learn(&slice("web-1", "IPv4", &both));
    assert_eq!(node.announces(), ["203.0.113.0/24", "203.0.113.10/32"]);
}

#[test]
fn the_last_ready_endpoint_takes_the_address_with_it_however_it_goes() {
    let mut node = Node::new("{serviceExternalIPs: [{cidr: 203.0.113.0/24}]}");
    let there = ["203.0.113.0/24", "203.0.113.10/32"];
    let up = |node: &mut Node| {
        node.learn(
            &(local() + &slice("web-1", "IPv4", &endpoint("n1", "")) + &slice("web-2", "IPv4", &endpoint("n1", ""))),
        );
        assert_eq!(node.announces(), there);
    };
    up(&mut node);
    node.forget(model::object::Kind::EndpointSlice, "web-1");
    assert_eq!(node.announces(), there, "another slice has one");
    node.forget(model::object::Kind::EndpointSlice, "web-2");
    assert_eq!(node.announces(), ["203.0.113.0/24"], "the slices are gone");
    up(&mut node);
    node.forget(model::object::Kind::Service, "web");
    assert_eq!(node.announces(), ["203.0.113.0/24"], "the Service is gone");
    up(&mut node);
    node.labelled("node.kubernetes.io/exclude-from-external-load-balancers: ''");
    assert_eq!(node.announces(), [""; 0], "the node is excluded");
    assert!(node.why()["203.0.113.10"].contains("exclude-from-external-load-balancers"), "{:?}", node.why());
    node.labelled("node.kubernetes.io/exclude-from-external-load-balancers: 'false'");
    assert_eq!(node.announces(), there);
}

#[test]
fn an_address_that_two_services_have_stays_while_either_has_a_reason() {
    let mut node = Node::new("{serviceExternalIPs: [{cidr: 203.0.113.10/32}]}");
    assert_eq!(node.announces(), [""; 0], "one address is announced with a Service only");
    node.learn(&local());
    node.learn(&service("other", "{clusterIP: 10.96.0.11, externalIPs: [203.0.113.10]}", ""));
    assert_eq!(node.announces(), ["203.0.113.10/32"]);
    node.learn(&slice("web-1", "IPv4", &endpoint("n1", "")));
    node.forget(model::object::Kind::Service, "other");
    assert_eq!(node.announces(), ["203.0.113.10/32"], "an endpoint of the first is here");
    node.forget(model::object::Kind::EndpointSlice, "web-1");
    assert_eq!(node.announces(), [""; 0]);
}

#[test]
fn addresses_of_load_balancers_are_announced_one_by_one_without_aggregation() {
    let configuration = "{serviceLoadBalancerIPs: [{cidr: 198.51.100.0/24}], serviceLoadBalancerAggregation: Disabled}";
    let mut node = Node::new(configuration);
    assert_eq!(node.announces(), [""; 0]);
    node.learn(&service("web", "{type: LoadBalancer, clusterIP: 10.96.0.10}", "{ip: 198.51.100.10}, {ip: 192.0.2.1}"));
    assert_eq!(node.announces(), ["198.51.100.10/32"]);
    node.learn(&service("web", "{type: ClusterIP, clusterIP: 10.96.0.10}", "{ip: 198.51.100.10}"));
    assert_eq!(node.announces(), [""; 0], "no load balancer's any more");
    node.learn(&local());
    assert_eq!(node.announces(), [""; 0], "Local, and nobody here");
}

#[test]
fn what_has_no_address_is_passed_over() {
    let mut node =
        Node::new("{serviceClusterIPs: [{cidr: 10.96.0.0/16}], serviceExternalIPs: [{cidr: 203.0.113.10/32}]}");
    node.learn(&service("web", "{clusterIP: None, clusterIPs: [None], externalIPs: [203.0.113.10]}", ""));
    node.learn(&service("named", "{type: ExternalName, externalName: a.example, externalIPs: [203.0.113.10]}", ""));
    node.learn(&slice("web-1", "IPv4", &endpoint("n1", "")));
    assert_eq!((node.announces(), node.why().len()), (vec!["10.96.0.0/16".to_string()], 0));
}

#[test]
fn a_cluster_ip_of_internal_policy_local_is_announced_where_an_endpoint_is_ready() {
    let mut node = Node::new("{serviceClusterIPs: [{cidr: 10.96.0.0/16}]}");
    node.learn(&service("web", "{clusterIP: 10.96.0.10, internalTrafficPolicy: Local}", ""));
    assert_eq!(node.why()["10.96.0.10"], "-: internalTrafficPolicy is Local, and no endpoint on this node is ready");
    node.learn(&slice("web-1", "IPv4", &endpoint("n1", "")));
    assert_eq!(node.announces(), ["10.96.0.0/16", "10.96.0.10/32"]);
}

#[test]
fn endpoints_of_other_nodes_are_neither_kept_nor_planned_with() {
    let mut node = Node::new(ALL);
    node.learn(&slice("web-1", "IPv4", &[endpoint("n2", ""), endpoint("n1", "")].join(", ")));
    let kept = node.world.objects.endpoint_slices().next().unwrap();
    assert_eq!(kept.ready_on.len(), 1);
    let again = node.learn(&slice("web-1", "IPv4", &[endpoint("n3", ""), endpoint("n1", "ready: true")].join(", ")));
    assert_eq!(again, Dirty { policies: true, ..Dirty::nothing() }, "only policies may name them");
}

#[test]
fn communities_go_with_service_addresses_as_with_blocks() {
    let mut node = Node::new(
        "{serviceExternalIPs: [{cidr: 203.0.113.0/24}], prefixAdvertisements: [{cidr: 203.0.113.0/24, communities: ['65000:1']}]}",
    );
    node.learn(&(local() + &slice("web-1", "IPv4", &endpoint("n1", ""))));
    let plan = node.desired.bgp.as_ref().unwrap().config.as_ref().unwrap();
    for prefix in announced(&node.world) {
        assert_eq!(plan.originate[&prefix].communities, [65000 << 16 | 1], "{prefix}");
    }
}

#[test]
fn what_no_service_translates_ends_where_it_would_be_forwarded_and_a_reflector_passes_blocks_on() {
    let mut node = Node::new(ALL);
    let blocks: Vec<String> = node.desired.nat.services.iter().map(Prefix::to_string).collect();
    assert_eq!(blocks, BLOCKS.iter().map(|block| block.to_string()).collect::<Vec<_>>());
    let plan = node.desired.bgp.as_ref().unwrap().config.as_ref().unwrap();
    assert!(BLOCKS.iter().all(|block| plan.pools.contains(&block.parse().unwrap())), "{:?}", plan.pools);
    node.labelled("node.kubernetes.io/exclude-from-external-load-balancers: ''");
    assert_eq!(node.desired.nat.services.len(), 4, "an excluded node forwards no more of it");
    for (prevention, blocks, strays) in
        [("reject", 4, Strays::Reject), ("Disabled", 0, Strays::Drop), ("Drop", 4, Strays::Drop)]
    {
        node.learn(&format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\n\
             spec: {{serviceLoopPrevention: {prevention}}}"
        ));
        let nat = &node.desired.nat;
        assert_eq!((nat.services.len(), nat.strays), (blocks, strays), "{prevention}");
    }
    node.learn("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {}");
    assert!(node.desired.nat.services.is_empty());
}

#[test]
fn without_blocks_no_service_is_looked_at() {
    let mut node = Node::new("{}");
    node.learn(&(local() + &slice("web-1", "IPv4", &endpoint("n1", ""))));
    assert_eq!((node.announces(), node.why().len()), (vec![], 0));
}

#[test]
fn a_learned_route_to_service_addresses_is_kept_from_the_kernel() {
    let mut node = Node::new("{serviceClusterIPs: [{cidr: 10.96.0.0/16}]}");
    let next_hop = std::net::IpAddr::from([10, 0, 0, 2]);
    for prefix in ["10.96.0.0/16", "10.96.0.10/32", "10.97.0.0/16"] {
        let hop = bgp::speaker::NextHop { address: next_hop, link_local: None, peer: bgp::PeerKey::new(next_hop) };
        let best = bgp::speaker::Best { next_hops: vec![hop].into(), reason: bgp::rib::Reason::OnlyPath };
        let change = bgp::speaker::RouteChange { prefix: prefix.parse().unwrap(), best: Some(best) };
        let dirty = node.world.learn(Fact::Learned(change));
        node.desired.update(&node.world, &dirty, Start::Fresh);
    }
    let refused = |node: &Node, prefix: &str| match &node.desired.routes[&prefix.parse::<Prefix>().unwrap()].route {
        Err(unusable) => unusable.to_string(),
        Ok(route) => panic!("{route}"),
    };
    for prefix in ["10.96.0.0/16", "10.96.0.10/32"] {
        let reason = "lies in service addresses 10.96.0.0/16, which every node's own kube-proxy serves";
        assert_eq!(refused(&node, prefix), reason);
    }
    assert_eq!(refused(&node, "10.97.0.0/16"), "next hop 10.0.0.2 can't be reached: no route to it");
    node.learn("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {}");
    assert!(refused(&node, "10.96.0.10/32").starts_with("next hop"), "no block of services any more");
}
