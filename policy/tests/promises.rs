//! What single policies promise, asked of the program and of the slow evaluator.
#![allow(clippy::unwrap_used, clippy::panic)]

use model::Protocol;
use model::object::{Document, Object, parse};
use policy::oracle::{Oracle, Whose};
use policy::{Direction, EndpointKey, Engine, Packet, Verdict};

fn objects(yaml: &str) -> Vec<Object> {
    let read = |document| match document {
        Document::Object(found) => found.object,
        Document::Bad(_, error) => panic!("{error}"),
    };
    parse("f.yaml", yaml).documents.into_iter().map(read).collect()
}

/// What pod `default/p` at 10.0.0.1 may do on a TCP port, as both say.
fn verdict(objects: &[Object], direction: Direction, other: &str, port: u16) -> Verdict {
    let pod = objects.iter().find_map(|object| match object {
        Object::Pod(pod) if pod.meta.name == "p" => Some(pod),
        _ => None,
    });
    let pod = pod.unwrap();
    let (own, other) = ("10.0.0.1".parse().unwrap(), other.parse().unwrap());
    let (from, to) = match direction {
        Direction::Ingress => (other, own),
        Direction::Egress => (own, other),
    };
    let packet = Packet::to_port(from, to, Protocol::TCP, port);
    let engine = Engine::of(objects);
    let fast = engine.program().decide(&EndpointKey::Pod(pod.reference()), direction, &packet);
    let slow = Oracle(objects).decide(Whose::Pod(pod), direction, &packet);
    assert_eq!(fast.verdict(), slow, "{packet:?}: {fast}");
    slow
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {a: x}}
spec: {}
status: {podIPs: [{ip: 10.0.0.1}]}
";

fn policy(name: &str, tier: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{tier: {tier}, selector: all(), {spec}}}\n"
    )
}

#[test]
fn a_policy_of_a_tier_that_is_not_there_is_asked_last_and_its_end_denies() {
    let missing = policy("m", "missing", "ingress: [{action: Allow, source: {nets: [10.0.0.2/32]}}]");
    let with = |more: &str| objects(&format!("{POD}{missing}{more}"));
    let of = |objects: &[Object], other: &str| verdict(objects, Direction::Ingress, other, 80);
    let alone = with("");
    assert_eq!(of(&alone, "10.0.0.2"), Verdict::Allowed, "its rules are asked");
    assert_eq!(of(&alone, "10.0.0.3"), Verdict::Blocked, "it does not fail open");

    let last = "---\napiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: zz}\nspec: {}\n";
    let of_last = policy("l", "zz", "ingress: [{action: Allow, source: {nets: [10.0.0.3/32]}}, {action: Deny}]");
    let after = with(&format!("{last}{of_last}"));
    assert_eq!(of(&after, "10.0.0.3"), Verdict::Allowed, "a tier without order is asked before it");
    assert_eq!(of(&after, "10.0.0.2"), Verdict::Blocked, "and decides before it");

    let there =
        "---\napiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: missing}\nspec: {defaultAction: Pass}\n";
    assert_eq!(of(&with(there), "10.0.0.3"), Verdict::Allowed, "once it is there, it says what its end is");
}

#[test]
fn a_rule_of_the_cluster_with_a_peer_that_is_not_known_accepts_nothing_and_denies_everything() {
    let rule = |action: &str| {
        let spec = format!(
            "{POD}---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: c}}\n\
             spec: {{tier: Admin, priority: 1, subject: {{pods: {{}}}}, egress: [\
             {{action: {action}, to: [{{networks: [10.0.0.2/32]}}, {{strangers: {{}}}}]}}, \
             {{action: Deny, to: [{{networks: [10.0.0.2/32]}}]}}]}}\n\
             ---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: default}}\n"
        );
        ["10.0.0.2", "192.0.2.1"].map(|other| verdict(&objects(&spec), Direction::Egress, other, 80))
    };
    assert_eq!(rule("Accept"), [Verdict::Blocked, Verdict::Allowed], "nobody: the next rule decides");
    assert_eq!(rule("Deny"), [Verdict::Blocked; 2]);
    assert_eq!(rule("Pass"), [Verdict::Blocked; 2]);
}

#[test]
fn endpoints_of_a_service_without_ports_are_its_endpoints_too() {
    let text = policy("s", "default", "PLACE: [{action: Allow, SIDE: {services: {name: v, namespace: default}}}]");
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
        metadata: {name: v-1, namespace: default, labels: {kubernetes.io/service-name: v}}\n\
        endpoints: [{addresses: [10.0.0.2]}]\n";
    let with = |place: &str, side: &str| {
        objects(&format!("{POD}{}{slice}", text.replace("PLACE", place).replace("SIDE", side)))
    };
    let of =
        |objects: &[Object], direction| ["10.0.0.2", "10.0.0.3"].map(|other| verdict(objects, direction, other, 80));
    assert_eq!(of(&with("ingress", "source"), Direction::Ingress), [Verdict::Allowed, Verdict::Blocked]);
    assert_eq!(of(&with("egress", "destination"), Direction::Egress), [Verdict::Blocked; 2], "to no port of it");
}

#[test]
fn nodes_are_peers_at_every_address_of_their_status() {
    let text = format!(
        "{POD}---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: c}}\n\
         spec: {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, egress: [{{action: Deny, to: [{{nodes: {{}}}}]}}]}}\n\
         ---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: default}}\n\
         ---\napiVersion: v1\nkind: Node\nmetadata: {{name: n}}\nstatus: {{addresses: [{{type: InternalIP, address: 10.0.0.2}}, \
         {{type: ExternalIP, address: 192.0.2.1}}, {{type: Hostname, address: n}}]}}\n"
    );
    let verdicts = ["10.0.0.2", "192.0.2.1", "192.0.2.2"].map(|to| verdict(&objects(&text), Direction::Egress, to, 80));
    assert_eq!(verdicts, [Verdict::Blocked, Verdict::Blocked, Verdict::Allowed]);
}
