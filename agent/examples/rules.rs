//! Packet rules of many pods, for benches: the agent's own compiler, planner and committer, told on standard input what to do.
//!
//! ```text
//! rules caliA=10.0.0.1 caliB=10.0.0.2        two pods that are really there; the first sends to the second
//!
//! load PODS                       policies of so many pods, those two among them; 0: no policies
//! begin POLICIES PODS HERE        policies of a cluster's pods, of which some are here
//! hold POLICIES PODS HERE         the same, each object made when it is taken in: what is kept of them is all the memory
//! pod                             another pod's policy changes
//! member                          a pod elsewhere enters or leaves a set
//! ```
//! Each line is answered by one of JSON: milliseconds, operations, rules, octets of memory. It works in the network namespace
//! that it was started in, from an empty table.

use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::plan::firewall::{Firewall, base};
use agent::world::{Dirty, World};
use anyhow::{Context, Result, bail};
use bgp::config::Start;
use dataplane::linux::netlink::Netlink;
use dataplane::linux::nft;
use dataplane::ruleset::Ruleset;
use ipam::{Lease, Record};
use model::PodRef;
use model::api::Attachment;
use model::object::{Document, read_value};
use serde_json::{Value, json};

/// Pods of a namespace, and groups that its pods are in.
const CROWD: usize = 10;

fn main() -> Result<()> {
    let mut node = Node::new()?;
    let real: Vec<(String, IpAddr)> = std::env::args().skip(1).map(|word| pod_of(&word)).collect::<Result<_>>()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<usize> = words.iter().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
        let took = match (words.first().copied(), numbers.as_slice()) {
            (Some("load"), [pods]) => node.take_in(loaded(&real, *pods)?),
            (Some("begin"), [policies, pods, here]) => {
                let facts: Vec<Fact> = begun(*policies, *pods, *here).collect::<Result<_>>()?;
                node.take_in(facts.into_iter().map(Ok))
            }
            (Some("hold"), [policies, pods, here]) => node.take_in(begun(*policies, *pods, *here)),
            (Some("pod"), []) => {
                node.turns += 1;
                node.take_in([policy(0, 1000 + node.turns)])
            }
            (Some("member"), []) => {
                node.turns += 1;
                let group = if node.turns % 4 < 2 { 0 } else { CROWD };
                node.take_in([pod(0, "far", group, [10, 250, 0, 1].into(), "n2")])
            }
            _ => bail!("{line:?} is not understood"),
        };
        println!("{}", took?);
    }
    Ok(())
}

/// The node, whose table is changed by what each fact touches, as the reconciler does.
struct Node {
    world: World,
    desired: Desired,
    firewall: Firewall,
    /// The table as it was left; None where it has to be read.
    have: Option<Ruleset>,
    netlink: Netlink,
    turns: usize,
}

impl Node {
    fn new() -> Result<Node> {
        let world = World::new("n1".parse()?);
        let (desired, firewall) = (Desired::default(), Firewall::default());
        let mut node = Node { world, desired, firewall, have: None, netlink: Netlink::netfilter()?, turns: 0 };
        let metadata = json!({"name": "n1", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}});
        let itself =
            json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"podCIDR": "10.60.0.0/16"}});
        node.world.learn(fact(itself)?);
        Ok(node)
    }

    /// Takes facts in and makes the kernel's table so; what that took.
    fn take_in(&mut self, facts: impl IntoIterator<Item = Result<Fact>>) -> Result<Value> {
        let begun = Instant::now();
        let mut dirty = if self.have.is_none() { Dirty::everything() } else { Dirty::nothing() };
        for fact in facts {
            dirty = dirty.and(self.world.learn(fact?));
        }
        let delta = self.world.policies.update();
        let compiled = begun.elapsed();
        self.desired.update(&self.world, &dirty, Start::Fresh);
        let program = self.world.policies.program();
        if self.have.is_none() {
            let base = base(&self.world, program, &self.desired);
            self.firewall.lay_base(&base, program);
        }
        self.firewall.follow(program, &delta, &self.world.endpoints);
        self.firewall.follow_interfaces(&dirty.interfaces, &self.world.endpoints);
        let touched = self.firewall.take_touched();
        let (planned, committed, operations) = match &mut self.have {
            None => {
                let planned = begun.elapsed();
                nft::settle(&mut self.netlink, Some(self.firewall.table()))?;
                (planned, begun.elapsed(), 0)
            }
            Some(have) => {
                let change = self.firewall.transaction(have, &touched);
                let planned = begun.elapsed();
                nft::commit(&mut self.netlink, &change)?;
                have.apply(&change);
                (planned, begun.elapsed(), change.ops().len())
            }
        };
        if self.have.is_none() {
            self.have = Some(self.firewall.table().clone());
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let rules: usize = self.firewall.table().chains.values().map(|chain| chain.rules.len()).sum();
        Ok(json!({
            "compile": milliseconds(compiled),
            "plan": milliseconds(planned - compiled),
            "commit": milliseconds(committed - planned),
            "operations": operations,
            "rules": rules,
            "resident": resident()?,
        }))
    }
}

/// The pods that are really there, and so many more, each with a policy; pod 0 is another.
fn loaded(real: &[(String, IpAddr)], pods: usize) -> Result<Vec<Result<Fact>>> {
    let mut facts = Vec::new();
    for (number, (link, address)) in real.iter().enumerate() {
        let name = format!("real-{number}");
        let metadata = json!({"namespace": "real", "name": name, "labels": {"app": name}});
        facts.push(fact(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": "n1"}, "status": {"podIP": address}})));
        facts.push(Ok(lease("real", &name, link.clone(), *address)));
    }
    if pods == 0 {
        return Ok(facts);
    }
    let any_port = json!([{"port": 1, "endPort": 65535}, {"protocol": "UDP", "port": 1, "endPort": 65535}]);
    let peer = |name: &str| json!([{"podSelector": {"matchLabels": {"app": name}}}]);
    facts.push(network_policy(
        "real",
        "in",
        json!({"podSelector": {"matchLabels": {"app": "real-1"}},
        "ingress": [{"from": peer("other")}, {"from": peer("real-0"), "ports": any_port}]}),
    ));
    facts.push(network_policy(
        "real",
        "out",
        json!({"podSelector": {"matchLabels": {"app": "real-0"}},
        "policyTypes": ["Egress"], "egress": [{"to": peer("other")}, {"to": peer("real-1"), "ports": any_port}]}),
    ));
    let others = pods.saturating_sub(real.len());
    facts.extend(begun(others, others, others));
    Ok(facts)
}

/// So many policies about so many pods, in namespaces of a few; the first pods are here. Each is made when it is asked for.
fn begun(policies: usize, pods: usize, here: usize) -> impl Iterator<Item = Result<Fact>> {
    let namespaces = (0..pods.div_ceil(CROWD)).map(|number| {
        let metadata = json!({"name": format!("ns-{number}"), "labels": {"team": format!("t{number}")}});
        fact(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    });
    let leases = (0..here).map(|number| {
        Ok(lease(&namespace(number), &format!("p{number}"), format!("cali{number:011x}"), address(number)))
    });
    let pods_of_nodes = (0..pods).map(move |number| {
        let node = if number < here { "n1" } else { "n2" };
        pod(number, &format!("p{number}"), number % CROWD, address(number), node)
    });
    let about_them = (0..policies).map(move |number| {
        let mut of_pod = policy(number % pods.max(1), number)?;
        if let Fact::Object(object) = &mut of_pod
            && let model::object::Object::NetworkPolicy(policy) = &mut object.object
        {
            policy.meta.name = format!("of-{number}");
        }
        Ok(of_pod)
    });
    namespaces.chain(pods_of_nodes).chain(leases).chain(about_them)
}

fn address(pod: usize) -> IpAddr {
    IpAddr::from(Ipv4Addr::from(u32::try_from(pod).unwrap_or(u32::MAX).saturating_add(0x0a40_0000)))
}

fn namespace(pod: usize) -> String {
    format!("ns-{}", pod / CROWD)
}

/// A pod that has a policy of its own, and is one of a group that others name.
fn pod(number: usize, name: &str, group: usize, address: IpAddr, node: &str) -> Result<Fact> {
    let labels = json!({"app": name, "group": format!("g{group}"), "tier": "web", "version": "1"});
    let metadata = json!({"namespace": namespace(number), "name": name, "labels": labels});
    fact(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"nodeName": node}, "status": {"podIPs": [{"ip": address}]}}))
}

/// The policy of a pod: a group of its namespace may come in, and it may go out to another and to a network.
fn policy(pod: usize, port: usize) -> Result<Fact> {
    let group = |number: usize| json!({"podSelector": {"matchLabels": {"group": format!("g{}", number % CROWD)}}});
    let port = json!([{"port": 1 + port % 60_000}]);
    let block = json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}});
    network_policy(
        &namespace(pod),
        &format!("of-{pod}"),
        json!({
            "podSelector": {"matchLabels": {"app": format!("p{pod}")}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [group(pod)], "ports": port}],
            "egress": [{"to": [group(pod + 1)], "ports": port}, {"to": [block], "ports": [{"port": 443}]}],
        }),
    )
}

fn network_policy(namespace: &str, name: &str, spec: Value) -> Result<Fact> {
    let metadata = json!({"namespace": namespace, "name": name});
    fact(json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}))
}

fn fact(object: Value) -> Result<Fact> {
    match read_value("bench", object) {
        Document::Object(found) => {
            let fact = ObjectFact { object: found.object, origin: String::new(), written: found.written };
            Ok(Fact::Object(Box::new(fact)))
        }
        Document::Bad(_, error) => bail!("{error}"),
    }
}

fn lease(namespace: &str, name: &str, link: String, address: IpAddr) -> Fact {
    Fact::Lease(Record::Lease(Lease {
        attachment: Attachment { container_id: format!("{namespace}-{name}"), ifname: "eth0".into() },
        network: String::new(),
        pod: Some(PodRef { namespace: namespace.into(), name: name.into() }),
        uid: None,
        netns: String::new(),
        host_interface: link,
        addresses: vec![address],
        mtu: 1500,
        since: 0,
        plumbed: None,
    }))
}

fn pod_of(word: &str) -> Result<(String, IpAddr)> {
    let (link, address) = word.split_once('=').with_context(|| format!("{word} is not LINK=ADDRESS"))?;
    Ok((link.into(), address.parse()?))
}

/// In octets.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
