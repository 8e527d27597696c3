//! The program beside truth tables that others made.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;

use model::object::{Document, Object, read_value};
use model::{PodRef, Protocol};
use policy::{EndpointKey, Engine, Verdict, matrix};
use serde_json::{Value, json};

fn cases() -> Vec<Value> {
    let packed: &[u8] = include_bytes!("cases/cases.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn object(value: Value) -> Object {
    match read_value("case", value) {
        Document::Object(found) => found.object,
        Document::Bad(_, error) => panic!("{error}"),
    }
}

/// The objects of a step, as a cluster would hold them.
fn objects(step: &Value) -> Vec<Object> {
    let namespaces = step["namespaces"].as_object().unwrap().iter().map(|(name, labels)| {
        object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
    });
    let pods = list(step, "pods").iter().map(|pod| {
        let rename =
            |port: &Value| json!({"name": port["name"], "containerPort": port["port"], "protocol": port["protocol"]});
        let ports: Vec<Value> = list(pod, "ports").iter().map(rename).collect();
        object(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": pod["ns"], "name": pod["name"], "labels": pod["labels"]},
            "spec": {"containers": [{"ports": ports}]},
            "status": {"podIPs": [{"ip": pod["ip"]}]},
        }))
    });
    // Some come without the words that say what they are.
    let policies = list(step, "policies").iter().cloned().map(|mut policy| {
        policy["apiVersion"] = json!("networking.k8s.io/v1");
        policy["kind"] = json!("NetworkPolicy");
        object(policy)
    });
    namespaces.chain(pods).chain(policies).collect()
}

#[test]
fn every_verdict_of_every_case_is_as_the_truth_table_has_it() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases() {
        for step in list(&case, "steps") {
            let engine = Engine::of(&objects(step));
            let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
            let rows = matrix(&engine, &protocols, &[80, 81]);
            let rows = rows.into_iter().map(|row| ((row.from.clone(), row.to.clone(), row.protocol, row.port), row));
            let rows: BTreeMap<_, _> = rows.collect();
            for expected in list(step, "expect") {
                let text = |key: &str| expected[key].as_str().unwrap().to_string();
                let (from, to) = (text("from"), text("to"));
                if from == to {
                    continue;
                }
                let port = u16::try_from(expected["port"].as_u64().unwrap()).unwrap();
                let row = &rows[&(from, to, text("protocol").parse().unwrap(), port)];
                let told = [row.ingress, row.egress, row.combined].map(|verdict| verdict.to_string());
                compared += 1;
                if told != ["ingress", "egress", "combined"].map(text) {
                    wrong.push(format!("{}: {row:?}, expected {expected}", case["description"]));
                }
            }
        }
    }
    assert!(compared > 50_000, "only {compared} were compared");
    assert!(
        wrong.is_empty(),
        "{} of {compared} are wrong, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
}

#[test]
fn a_rule_is_named_as_the_reason() {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "x", "name": "web"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}, {"ports": [{"port": "http"}]}]}});
    let pod = |name: &str, ip: &str, labels: Value| {
        object(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": name, "labels": labels},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}, "status": {"podIP": ip}}),
        )
    };
    let engine = Engine::of(&[
        object(policy),
        pod("one", "10.0.0.1", json!({"a": "b"})),
        pod("two", "10.0.0.2", json!({})),
        pod("three", "10.0.0.3", json!({"a": "b"})),
    ]);
    let one = EndpointKey::Pod(PodRef { namespace: "x".into(), name: "one".into() });
    let decide = |from: &str, port| {
        let packet = policy::Packet::to_port(from.parse().unwrap(), "10.0.0.1".parse().unwrap(), Protocol::TCP, port);
        engine.program().decide(&one, policy::rules::Direction::Ingress, &packet)
    };
    let rule = |decision| match decision {
        policy::Decision::Allowed(rule) => rule.index,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule(decide("10.0.0.3", 1)), 0, "a pod with the label");
    assert_eq!(rule(decide("10.0.0.2", 8080)), 1, "the port of that name");
    assert_eq!(decide("10.0.0.2", 80).verdict(), Verdict::Blocked);
    assert!(matches!(decide("192.0.2.1", 80), policy::Decision::TierEnd { policies, .. } if policies.len() == 1));
}
