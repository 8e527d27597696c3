//! What lists and watches tell, and the facts that follow.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use super::super::kinds::Watched;
use super::*;

fn feed(kind: Kind, group: Group) -> Feed {
    Feed { kind, part: Watched::of(kind).unwrap().part, group, name: None }
}
fn pools(group: Group) -> Feed {
    feed(Kind::IpPool, group)
}
/// As an item of a list: without `apiVersion` and `kind`.
fn pool(name: &str, cidr: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": "7"}, "spec": {"cidr": cidr}})
}
fn told(facts: impl IntoIterator<Item = Fact>) -> Vec<String> {
    let word = |fact| match fact {
        Fact::Object(o) => format!("+ {} from {}", o.object.key(), o.origin),
        Fact::ObjectGone(key) => format!("- {key}"),
        Fact::ObjectErrors(errors) => errors.iter().map(|e| format!("! {e}")).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    };
    facts.into_iter().map(word).collect()
}

/// A whole list, from beginning to end.
fn list(reading: &mut Reading, feed: &Feed, values: Vec<Value>) -> Vec<String> {
    reading.begin(feed);
    let mut facts: Vec<Fact> = values.into_iter().filter_map(|value| reading.object(feed, value)).collect();
    facts.extend(reading.complete(feed));
    told(facts)
}

#[test]
fn a_list_anew_makes_facts_of_what_differs_and_of_nothing_else() {
    let (mut reading, pools) = (Reading::default(), pools(Group::Present));
    let first = vec![pool("a", "10.1.0.0/16"), pool("b", "10.2.0.0/16"), pool("c", "10.3.0.0/16")];
    let all = ["+ IPPool/a from API server", "+ IPPool/b from API server", "+ IPPool/c from API server"];
    assert_eq!(list(&mut reading, &pools, first), all);
    let mut later = pool("a", "10.1.0.0/16");
    later["metadata"]["resourceVersion"] = "8".into();
    let second = vec![later, pool("b", "10.2.0.0/15")];
    assert_eq!(list(&mut reading, &pools, second), ["+ IPPool/b from API server", "- IPPool/c"]);
}

#[test]
fn a_list_that_breaks_off_takes_nothing_away() {
    let (mut reading, pools) = (Reading::default(), pools(Group::Present));
    list(&mut reading, &pools, vec![pool("a", "10.1.0.0/16"), pool("b", "10.2.0.0/16")]);
    reading.begin(&pools);
    assert_eq!(reading.object(&pools, pool("a", "10.1.0.0/16")), None);
    // It begins anew, in another order.
    let second = vec![pool("b", "10.2.0.0/16"), pool("a", "10.1.0.0/16")];
    assert!(list(&mut reading, &pools, second).is_empty());
}

#[test]
fn an_object_that_changes_while_a_list_is_under_way_is_not_gone() {
    let (mut reading, pools) = (Reading::default(), pools(Group::Present));
    list(&mut reading, &pools, vec![pool("a", "10.1.0.0/16")]);
    reading.begin(&pools);
    assert_eq!(told(reading.object(&pools, pool("a", "10.9.0.0/16"))), ["+ IPPool/a from API server"]);
    assert_eq!(told(reading.gone(&pools, None, "a")), ["- IPPool/a"]);
    assert!(reading.complete(&pools).is_empty());
}

#[test]
fn the_last_good_version_of_an_object_stays_and_the_error_names_object_and_field() {
    let (mut reading, pools) = (Reading::default(), pools(Group::Present));
    list(&mut reading, &pools, vec![pool("a", "10.1.0.0/16")]);
    assert_eq!(reading.problems(), None);
    let bad = list(&mut reading, &pools, vec![pool("a", "10.1.0.1/16"), pool("b", "x")]);
    assert!(bad.is_empty(), "{bad:?}");
    let problems = told(reading.problems());
    let error = "! API server: IPPool/a: spec.cidr: 10.1.0.1/16 has host bits set: did you mean 10.1.0.0/16?\n! API server: IPPool/b: ";
    assert!(problems[0].starts_with(error), "{problems:?}");
    assert_eq!(reading.problems(), None, "told once");
    // What was never readable was never in force.
    assert_eq!(list(&mut reading, &pools, vec![]), ["- IPPool/a"]);
    assert_eq!(told(reading.problems()), [""]);
}

#[test]
fn the_older_group_is_in_force_where_the_newer_has_no_such_object() {
    let mut reading = Reading::default();
    let (present, older) = (pools(Group::Present), pools(Group::Older));
    let old = "API server (crd.projectcalico.org/v1)";
    assert_eq!(list(&mut reading, &older, vec![pool("a", "10.1.0.0/16")]), [format!("+ IPPool/a from {old}")]);
    assert_eq!(
        list(&mut reading, &present, vec![pool("a", "10.2.0.0/16")]),
        ["+ IPPool/a from API server"],
        "the newer one takes over"
    );
    let warning = "! crd.projectcalico.org/v1: IPPool/a: is also there in projectcalico.org/v3, which says something else; this one is not used";
    assert_eq!(told(reading.problems()), [warning]);
    assert_eq!(told(reading.object(&older, pool("a", "10.3.0.0/16"))), [""; 0], "it is not in force");
    assert_eq!(told(reading.gone(&present, None, "a")), [format!("+ IPPool/a from {old}")]);
    assert_eq!(told(reading.problems()), [""]);
    assert_eq!(told(reading.end(&older)), ["- IPPool/a"]);
}

#[test]
fn the_same_object_in_both_groups_is_nothing_to_tell_of_and_order_does_not_matter() {
    for order in [[Group::Present, Group::Older], [Group::Older, Group::Present]] {
        let mut reading = Reading::default();
        for group in order {
            let mut same = pool("a", "10.1.0.0/16");
            same["metadata"]["uid"] = format!("{group:?}").into();
            list(&mut reading, &pools(group), vec![same]);
        }
        assert_eq!(reading.problems(), None);
        assert_eq!(told(reading.gone(&pools(Group::Older), None, "a")), [""; 0], "the newer one is in force");
    }
}

#[test]
fn a_password_makes_its_secret_necessary_and_only_that() {
    let mut reading = Reading::default();
    let peers = feed(Kind::BgpPeer, Group::Present);
    let peer = |password: Value| {
        let mut spec = json!({"peerIP": "10.0.0.1", "asNumber": 65000});
        spec["password"] = password;
        json!({"metadata": {"name": "tor"}, "spec": spec})
    };
    reading.object(&peers, peer(json!({"secretKeyRef": {"name": "bgp", "key": "tor"}})));
    assert_eq!(reading.needs().secrets.into_iter().collect::<Vec<_>>(), ["bgp"]);
    reading.object(&peers, peer(Value::Null));
    assert!(reading.needs().is_empty());
}

#[test]
fn a_secret_that_changes_only_in_its_value_is_a_fact_and_one_that_does_not_is_none() {
    let mut reading = Reading::default();
    let secrets = Feed { name: Some("bgp".into()), ..feed(Kind::Secret, Group::Present) };
    let secret = |value: &str| json!({"metadata": {"name": "bgp", "namespace": "kube-system"}, "data": {"tor": value}});
    assert_eq!(told(reading.object(&secrets, secret("YQ=="))), ["+ Secret/kube-system/bgp from API server"]);
    assert_eq!(reading.object(&secrets, secret("YQ==")), None);
    assert_eq!(told(reading.object(&secrets, secret("Yg=="))), ["+ Secret/kube-system/bgp from API server"]);
}

#[test]
fn a_namespace_is_its_metadata_only() {
    let mut reading = Reading::default();
    let namespaces = feed(Kind::Namespace, Group::Present);
    let partial = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a", "labels": {"x": "y"}},
    });
    assert_eq!(told(reading.object(&namespaces, partial)), ["+ Namespace/a from API server"]);
}

#[test]
fn a_heartbeat_of_a_node_is_no_fact() {
    let mut reading = Reading::default();
    let nodes = feed(Kind::Node, Group::Present);
    let beat = |time: &str| {
        json!({
            "metadata": {"name": "n1", "resourceVersion": time}, "spec": {"podCIDRs": ["10.244.1.0/24"]},
            "status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": time}]},
        })
    };
    assert!(reading.object(&nodes, beat("1")).is_some());
    assert_eq!(reading.object(&nodes, beat("2")), None);
}

#[test]
fn a_pod_that_is_another_nodes_now_or_this_ones_is_not_gone_whichever_list_tells_first() {
    let (here, elsewhere) =
        (feed(Kind::Pod, Group::Present), Feed { part: Part::Elsewhere, ..feed(Kind::Pod, Group::Present) });
    let pod = |node: &str| json!({"metadata": {"name": "db-0", "namespace": "shop"}, "spec": {"nodeName": node}});
    let mut reading = Reading::default();
    assert_eq!(told(reading.object(&here, pod("n1"))), ["+ Pod/shop/db-0 from API server"]);
    assert_eq!(told(reading.object(&elsewhere, pod("n2"))), ["+ Pod/shop/db-0 from API server"]);
    assert_eq!(reading.gone(&here, Some("shop"), "db-0"), None);
    assert_eq!(told(reading.gone(&elsewhere, Some("shop"), "db-0")), ["- Pod/shop/db-0"]);
}

#[test]
fn pods_elsewhere_are_needed_by_policies_that_name_pods_and_by_no_others() {
    let policies = feed(Kind::NetworkPolicy, Group::Present);
    let policy = |spec: Value| json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
    let mut reading = Reading::default();
    let mut needs = |spec: Value| {
        reading.object(&policies, policy(spec));
        reading.needs().kinds.contains(&Kind::Pod)
    };
    assert!(!needs(json!({"podSelector": {}})), "nobody may come in: no pod is named");
    assert!(needs(json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})));
    assert!(!needs(json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]})));
    assert!(needs(json!({"podSelector": {}, "egress": [{"to": [{"namespaceSelector": {}}]}]})));
    assert!(needs(json!({"podSelector": {}, "egress": [{"ports": [{"port": "web"}]}]})), "whoever calls a port so");
    assert!(!needs(json!({"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]})), "its own");
}
