//! How long the engine takes with 10,000 policies and 5,000 pods: from nothing, and for one change. `scale` attaches all of
//! the pods, `scale --here 100` so many of them, as on a node. Build with `--release`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use model::object::{Meta, Namespace, NetworkPolicy, Object, Pod, PolicyPeer, PolicyPort, PolicyRule, PortMatch};
use model::selector::Labels;
use model::{NodeName, Protocol};
use policy::{Engine, Scope};

const NAMESPACES: usize = 50;
const PODS: usize = 100;
const POLICIES: usize = 200;
/// How often one change is made for its median.
const TIMES: usize = 301;

fn labels(pairs: &[(&str, String)]) -> Labels {
    pairs.iter().map(|(label, value)| (label.to_string(), value.clone())).collect()
}

fn pod(namespace: usize, n: usize, role: usize) -> Object {
    let number = (namespace * PODS + n) as u32;
    let labels = labels(&[("app", format!("a{n}")), ("role", format!("r{role}")), ("hash", format!("{number:x}"))]);
    let meta = Meta { name: format!("p{n}"), namespace: Some(format!("n{namespace}")), labels, ..Meta::default() };
    Object::Pod(Pod {
        meta,
        node: None,
        host_network: false,
        addresses: vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))],
        ports: Vec::new(),
        service_account: "default".into(),
        allowed_sources: Vec::new(),
        ended: false,
    })
}

/// About the pods of an application: from those of a role, from another namespace, and to a port.
fn network_policy(namespace: usize, n: usize, port: u16) -> Object {
    let selector = |text: String| text.parse().unwrap();
    let here = PolicyPeer::Pods { namespaces: None, pods: selector(format!("role == 'r{}'", n % 20)) };
    let there = PolicyPeer::Pods {
        namespaces: Some(selector(format!("name == 'n{}'", (namespace + 1) % NAMESPACES))),
        pods: selector(format!("app == 'a{}'", (n + 7) % PODS)),
    };
    let port = PolicyPort { protocol: Protocol::TCP, port: Some(PortMatch::Numbers(port..=port)) };
    let rule = PolicyRule { peers: vec![here, there], ports: vec![port] };
    let meta = Meta { name: format!("o{n}"), namespace: Some(format!("n{namespace}")), ..Meta::default() };
    let pods = selector(format!("app == 'a{}'", n % PODS));
    Object::NetworkPolicy(Box::new(NetworkPolicy { meta, pods, ingress: Some(vec![rule.clone()]), egress: None }))
}

fn median(mut change: impl FnMut(usize)) -> Duration {
    let time = |n| {
        let begun = Instant::now();
        change(n);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..TIMES).map(time).collect();
    times.sort();
    times[TIMES / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let here = arguments.iter().position(|one| one == "--here").and_then(|at| arguments.get(at + 1)?.parse().ok());
    let here: usize = here.unwrap_or(NAMESPACES * PODS);
    let mut objects = Vec::new();
    for namespace in 0..NAMESPACES {
        let labels = labels(&[("name", format!("n{namespace}"))]);
        objects.push(Object::Namespace(Namespace {
            meta: Meta { name: format!("n{namespace}"), labels, ..Meta::default() },
        }));
        objects.extend((0..PODS).map(|n| pod(namespace, n, n % 20)));
        objects.extend((0..POLICIES).map(|n| network_policy(namespace, n, 80)));
    }
    let attached = objects.iter().filter_map(|object| match object {
        Object::Pod(pod) => Some((pod.reference(), pod.addresses.clone())),
        _ => None,
    });
    // Spread over the namespaces.
    let attached: Vec<_> = attached.step_by((NAMESPACES * PODS / here.max(1)).max(1)).take(here).collect();
    let from_nothing = || {
        let begun = Instant::now();
        let mut engine = Engine::new(Scope::Node(NodeName::try_from("n".to_string()).unwrap()));
        attached.iter().for_each(|(pod, addresses)| engine.attach(pod.clone(), addresses.clone()));
        objects.iter().for_each(|object| engine.learn(object));
        engine.update();
        (begun.elapsed(), engine)
    };
    let mut runs: Vec<Duration> = (0..4).map(|_| from_nothing().0).collect();
    let (last, mut engine) = from_nothing();
    runs.push(last);
    runs.sort();
    let program = engine.program();
    let steps: usize = program.chains.values().flat_map(|chain| &chain.tiers).map(|tier| tier.items.len()).sum();
    println!(
        "{} policies, {} pods, {here} of them here: {} sets, {} chains, {steps} steps",
        NAMESPACES * POLICIES,
        NAMESPACES * PODS,
        program.sets.len(),
        program.chains.len()
    );
    println!("from nothing              {:?}", runs[2]);
    let relabelled = median(|n| {
        engine.learn(&pod(3, 5, n % 20));
        engine.update();
    });
    println!("a pod's label changed     {relabelled:?}");
    let added = median(|n| {
        engine.learn(&pod(3, PODS + n, n % 20));
        engine.update();
    });
    println!("a remote pod added        {added:?}");
    let attaching = median(|n| {
        let Object::Pod(new) = pod(4, PODS + n, n % 20) else { return };
        engine.attach(new.reference(), new.addresses.clone());
        engine.learn(&Object::Pod(new));
        engine.update();
    });
    println!("a pod of this node added  {attaching:?}");
    let changed = median(|n| {
        engine.learn(&network_policy(3, 5, 81 + n as u16));
        engine.update();
    });
    println!("a policy changed          {changed:?}");
}
