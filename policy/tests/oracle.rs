//! The program beside the slow evaluator, on random clusters.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::ops::RangeInclusive;

use model::object::{
    ContainerPort, Meta, Namespace, NetworkPolicy, Object, Pod, PolicyPeer, PolicyPort, PolicyRule, PortMatch,
};
use model::selector::{Labels, Selector};
use model::{Prefix, Protocol};
use policy::oracle::Objects;
use policy::rules::Direction;
use policy::{EndpointKey, Engine, Packet};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn labels() -> impl Strategy<Value = Labels> {
    btree_map("[ab]", "[xy]", 0..3)
}
fn selector() -> impl Strategy<Value = Selector> {
    let terms = ["all()", "a == 'x'", "a == 'y'", "has(b)", "!has(a)", "a in {'x', 'y'}", "b not in {'x'}"];
    vec(prop::sample::select(terms.to_vec()), 1..3).prop_map(|terms| terms.join(" && ").parse().unwrap())
}
fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP])
}
fn namespace() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["n1".to_string(), "n2".into(), "n3".into()])
}
/// Few addresses, so that much meets: 10.0.0.0 to 10.0.0.15 and the same of IPv6.
fn address() -> impl Strategy<Value = IpAddr> {
    (0u8..16, any::<bool>())
        .prop_map(|(n, v6)| if v6 { format!("fd00::{n:x}") } else { format!("10.0.0.{n}") }.parse().unwrap())
}
fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0u8..6).prop_map(|(a, up)| Prefix::masked(a, if a.is_ipv4() { 32 } else { 128 } - up).unwrap())
}
fn range() -> impl Strategy<Value = RangeInclusive<u16>> {
    (1u16..8, 0u16..4).prop_map(|(first, more)| first..=first + more)
}
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["http".to_string(), "dns".into()])
}
fn peer() -> impl Strategy<Value = PolicyPeer> {
    prop_oneof![
        (option::of(selector()), selector()).prop_map(|(namespaces, pods)| PolicyPeer::Pods { namespaces, pods }),
        (prefix(), vec(prefix(), 0..3)).prop_map(|(cidr, except)| {
            let except = except.into_iter().filter(|e| cidr.covers(e)).collect();
            PolicyPeer::Net { cidr, except }
        }),
    ]
}
fn port() -> impl Strategy<Value = PolicyPort> {
    let which = prop_oneof![range().prop_map(PortMatch::Numbers), name().prop_map(PortMatch::Name)];
    (protocol(), option::of(which)).prop_map(|(protocol, port)| PolicyPort { protocol, port })
}
fn rules() -> impl Strategy<Value = Option<Vec<PolicyRule>>> {
    let rule = (vec(peer(), 0..3), vec(port(), 0..3)).prop_map(|(peers, ports)| PolicyRule { peers, ports });
    option::of(vec(rule, 0..3))
}
fn network_policy() -> impl Strategy<Value = NetworkPolicy> {
    (namespace(), "[p-z]{4}", selector(), rules(), rules()).prop_map(|(namespace, name, pods, ingress, egress)| {
        let meta = Meta { name, namespace: Some(namespace), ..Meta::default() };
        NetworkPolicy { meta, pods, ingress, egress }
    })
}
fn pod() -> impl Strategy<Value = Pod> {
    let ports = vec((name(), protocol(), 1u16..8), 0..3);
    let state = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (namespace(), "[a-f]", labels(), ports, state).prop_map(
        |(namespace, name, labels, ports, (host_network, ended))| {
            let port = |(name, protocol, port)| ContainerPort { name, protocol, port };
            let meta = Meta { name, namespace: Some(namespace), labels, ..Meta::default() };
            let ports = ports.into_iter().map(port).collect();
            let service_account = "default".to_string();
            let (addresses, allowed_sources) = (Vec::new(), Vec::new());
            Pod { meta, node: None, host_network, addresses, ports, service_account, allowed_sources, ended }
        },
    )
}
/// Pods by name, each with addresses of its own.
fn pods() -> impl Strategy<Value = Vec<Pod>> {
    vec(pod(), 1..8).prop_map(|mut pods| {
        pods.sort_by_key(Pod::reference);
        pods.dedup_by_key(|pod| pod.reference());
        for (n, pod) in pods.iter_mut().enumerate() {
            pod.addresses = [format!("10.0.0.{n}"), format!("fd00::{n:x}")].map(|a| a.parse().unwrap()).to_vec();
        }
        pods
    })
}
fn objects() -> impl Strategy<Value = Objects> {
    let namespaces = btree_map(namespace(), labels(), 0..4).prop_map(|namespaces| {
        let meta = |(name, labels)| Namespace { meta: Meta { name, labels, ..Meta::default() } };
        namespaces.into_iter().map(meta).collect::<Vec<_>>()
    });
    (pods(), namespaces, vec(network_policy(), 0..6)).prop_map(|(pods, namespaces, mut policies)| {
        policies.sort_by(|a, b| (a.namespace(), &a.meta.name).cmp(&(b.namespace(), &b.meta.name)));
        policies.dedup_by(|a, b| a.namespace() == b.namespace() && a.meta.name == b.meta.name);
        Objects { pods, namespaces, policies }
    })
}

fn engine(objects: &Objects) -> Engine {
    let pods = objects.pods.iter().cloned().map(Object::Pod);
    let namespaces = objects.namespaces.iter().cloned().map(Object::Namespace);
    let policies = objects.policies.iter().cloned().map(|policy| Object::NetworkPolicy(Box::new(policy)));
    let all: Vec<Object> = pods.chain(namespaces).chain(policies).collect();
    Engine::of(&all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_says_what_the_slow_evaluator_says(
        objects in objects(),
        packets in vec((address(), protocol(), 1u16..12), 8),
    ) {
        let engine = engine(&objects);
        let program = engine.program();
        for pod in objects.pods.iter().filter(|pod| !pod.host_network && !pod.ended) {
            for (other, protocol, port) in &packets {
                let Some(own) = pod.addresses.iter().find(|a| a.is_ipv4() == other.is_ipv4()) else { continue };
                for (direction, from, to) in [(Direction::Ingress, *other, *own), (Direction::Egress, *own, *other)] {
                    let packet = Packet::to_port(from, to, *protocol, *port);
                    let fast = program.decide(&EndpointKey::Pod(pod.reference()), direction, &packet);
                    prop_assert_eq!(fast.verdict(), objects.decide(pod, direction, &packet), "{:?} {} {:?}: {:?}", pod.reference(), direction, packet, fast);
                }
            }
        }
    }
}
