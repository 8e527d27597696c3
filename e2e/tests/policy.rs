//! What policies mean to packets: the policies that people write, ports by name and range, and what stands outside of policy.

use std::net::IpAddr;

use anyhow::Result;
use e2e::ip;
use e2e::plan::{FAMILIES, Family, NOROUTE, OUTSIDE};
use e2e::pods::{PodLab, policy};
use e2e::prober::{Expected, MachineId, Probe};
use model::Protocol;
use serde_json::{Value, json};

/// One node with pods `namespace/name`, each labelled `app: name`; namespaces are labelled `team: name`.
fn lab(pods: &[&str]) -> Result<PodLab> {
    let mut lab = PodLab::new(1)?;
    for name in pods {
        lab.attach(1, name, &[])?;
        let (namespace, app) = name.split_once('/').unwrap_or_default();
        lab.label(name, json!({"app": app}))?;
        lab.label_namespace(namespace, json!({"team": namespace}));
    }
    Ok(lab)
}

/// A probe from one pod to another in both families: (from, to, port, what ought to come of it), by TCP.
fn probes(lab: &PodLab, table: &[(&str, &str, u16, Expected)]) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for (from, to, port, expected) in table {
        for family in FAMILIES {
            let probe = lab.probe(from, to, family, Protocol::TCP, *port)?;
            probes.push(Probe { expected: *expected, ..probe });
        }
    }
    Ok(probes)
}

fn hold(lab: &mut PodLab, table: &[(&str, &str, u16, Expected)]) -> Result<()> {
    let probes = probes(lab, table)?;
    lab.prober.hold(&probes)
}

use Expected::{Answer, Silence};

/// `from` may reach pods `app: db` of namespace `shop`, and nobody else may.
fn ingress_to_db(from: Value) -> Value {
    policy("shop", "db", json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": from}]}))
}

#[test]
fn pods_with_a_label_may_come_in_on_one_port() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "shop/cron"])?;
    let spec = json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"protocol": "TCP", "port": 80}]}]});
    lab.apply(&[policy("shop", "db", spec)])?;
    let table = [
        ("shop/web", "shop/db", 80, Answer),
        ("shop/web", "shop/db", 81, Silence),
        ("shop/cron", "shop/db", 80, Silence),
        ("shop/db", "shop/web", 81, Answer),
        ("shop/cron", "shop/web", 81, Answer),
    ];
    hold(&mut lab, &table)?;
    // The label goes to another pod, and what it allows goes with it.
    lab.label("shop/web", json!({"app": "old"}))?;
    lab.label("shop/cron", json!({"app": "web"}))?;
    lab.apply(&[policy(
        "shop",
        "db",
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 80}]}]}),
    )])?;
    hold(&mut lab, &[("shop/web", "shop/db", 80, Silence), ("shop/cron", "shop/db", 80, Answer)])
}

#[test]
fn a_whole_namespace_or_pods_with_a_label_may_come_in() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "shop/cron", "ops/probe"])?;
    let from = json!([
        {"namespaceSelector": {"matchLabels": {"team": "ops"}}},
        {"podSelector": {"matchLabels": {"app": "web"}}},
    ]);
    lab.apply(&[ingress_to_db(from)])?;
    let table = [
        ("ops/probe", "shop/db", 80, Answer),
        ("shop/web", "shop/db", 80, Answer),
        ("shop/cron", "shop/db", 80, Silence),
    ];
    hold(&mut lab, &table)
}

#[test]
fn only_pods_with_a_label_in_namespaces_with_a_label_may_come_in() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "ops/web", "ops/cron"])?;
    let from = json!([{"namespaceSelector": {"matchLabels": {"team": "ops"}},
        "podSelector": {"matchLabels": {"app": "web"}}}]);
    lab.apply(&[ingress_to_db(from)])?;
    let table = [
        ("ops/web", "shop/db", 80, Answer),
        ("ops/cron", "shop/db", 80, Silence),
        ("shop/web", "shop/db", 80, Silence),
    ];
    hold(&mut lab, &table)
}

/// Hosts behind the router, which knows the way to the pods: the first is in the network that is allowed, the second is not.
fn hosts_outside(lab: &mut PodLab) -> Result<[MachineId; 2]> {
    let plan = lab.trial.plan.clone();
    let node = plan.uplink(1, 1).host;
    let (v4, v6) = plan.pod_cidrs(1);
    ip::batch_in(
        &plan.tor_netns(1),
        &[format!("route add {v4} via {}", node.0), format!("route add {v6} via {}", node.1)],
    )?;
    let router = e2e::plan::Plan::noroute_link(1).router;
    ip::batch_in(
        &plan.noroute_netns(),
        &[
            format!("route add {v4} via {} src {}", router.0, NOROUTE.0),
            format!("route add {v6} via {} src {}", router.1, NOROUTE.1),
        ],
    )?;
    let inside = lab.prober.add("outside", &plan.outside_netns(), &[80, 81])?;
    Ok([inside, lab.prober.add("noroute", &plan.noroute_netns(), &[80, 81])?])
}

#[test]
fn a_network_outside_or_pods_with_a_label_in_namespaces_with_a_label_may_come_in() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "ops/web", "ops/cron"])?;
    let [near, far] = hosts_outside(&mut lab)?;
    let from = json!([
        {"ipBlock": {"cidr": "10.200.0.0/16", "except": ["10.200.2.0/24"]}},
        {"ipBlock": {"cidr": "fd00:200::/32", "except": ["fd00:200:2::/48"]}},
        {"namespaceSelector": {"matchLabels": {"team": "ops"}}, "podSelector": {"matchLabels": {"app": "web"}}},
    ]);
    let outside = |lab: &PodLab, expected: Expected| -> Result<Vec<Probe>> {
        let to = lab.pod("shop/db")?.addresses;
        let pair = |from, expected| to.map(|to| Probe { expected, ..Probe::answered(from, to, Protocol::TCP, 80) });
        Ok([pair(near, Answer), pair(far, expected)].concat())
    };
    lab.apply(&[])?;
    let open = outside(&lab, Answer)?;
    lab.prober.hold(&open)?;
    lab.apply(&[ingress_to_db(from)])?;
    let table = [
        ("ops/web", "shop/db", 80, Answer),
        ("ops/cron", "shop/db", 80, Silence),
        ("shop/web", "shop/db", 80, Silence),
    ];
    let all = [probes(&lab, &table)?, outside(&lab, Silence)?].concat();
    lab.prober.hold(&all)
}

#[test]
fn a_pod_goes_out_only_where_its_policy_lets_it_and_answers_come_back() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "ops/web"])?;
    let [near, far] = hosts_outside(&mut lab)?;
    let spec = json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [
        {"to": [{"podSelector": {}}]},
        {"to": [{"ipBlock": {"cidr": "10.200.1.0/24"}}, {"ipBlock": {"cidr": "fd00:200:1::/48"}}], "ports": [{"port": 81}]},
    ]});
    lab.apply(&[policy("shop", "web", spec)])?;
    let table = [
        ("shop/web", "shop/db", 80, Answer),
        ("shop/web", "ops/web", 80, Silence),
        ("ops/web", "shop/web", 80, Answer),
        ("ops/web", "shop/db", 80, Answer),
    ];
    let mut all = probes(&lab, &table)?;
    let from = lab.pod("shop/web")?.machine;
    for family in FAMILIES {
        let to = |host| family.of(host);
        all.push(Probe::answered(from, to(OUTSIDE), Protocol::TCP, 81));
        all.push(Probe::silent(from, to(OUTSIDE), Protocol::TCP, 80));
        all.push(Probe::silent(from, to(NOROUTE), Protocol::TCP, 81));
    }
    let to = lab.pod("shop/web")?.addresses;
    all.extend([near, far].into_iter().flat_map(|from| to.map(|to| Probe::answered(from, to, Protocol::TCP, 80))));
    lab.prober.hold(&all)
}

#[test]
fn ports_are_named_and_ranged_in_every_protocol() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "shop/cache"])?;
    for (name, port) in [("shop/db", 81), ("shop/cache", 80)] {
        let ports = ["TCP", "UDP", "SCTP"].map(|protocol| {
            json!({"name": format!("data-{}", protocol.to_lowercase()), "containerPort": port, "protocol": protocol})
        });
        lab.name_ports(name, ports.into())?;
    }
    let spec = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "cache"]}]},
        "ingress": [{"ports": [{"port": "data-tcp"}, {"port": "data-udp", "protocol": "UDP"},
            {"port": 81, "endPort": 90, "protocol": "SCTP"}]}]});
    lab.apply(&[policy("shop", "named", spec)])?;
    let mut all = Vec::new();
    for family in FAMILIES {
        for (to, port, tcp, udp, sctp) in [
            ("shop/db", 80, Silence, Silence, Silence),
            ("shop/db", 81, Answer, Answer, Answer),
            ("shop/cache", 80, Answer, Answer, Silence),
            ("shop/cache", 81, Silence, Silence, Answer),
        ] {
            for (protocol, expected) in [(Protocol::TCP, tcp), (Protocol::UDP, udp), (Protocol::SCTP, sctp)] {
                all.push(Probe { expected, ..lab.probe("shop/web", to, family, protocol, port)? });
            }
        }
    }
    lab.prober.hold(&all)
}

#[test]
fn an_address_of_one_family_says_nothing_of_the_other() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web"])?;
    for (family, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let web = lab.pod("shop/web")?.addresses;
        let address: IpAddr = if family == Family::V4 { web[0] } else { web[1] };
        let length = if family == Family::V4 { 32 } else { 128 };
        lab.apply(&[ingress_to_db(json!([{"ipBlock": {"cidr": format!("{address}/{length}")}}]))])?;
        let allowed = lab.probe("shop/web", "shop/db", family, Protocol::TCP, 80)?;
        let mut other = lab.probe("shop/web", "shop/db", other, Protocol::TCP, 80)?;
        other.expected = Silence;
        lab.prober.hold(&[allowed, other])?;
    }
    Ok(())
}

/// Nothing in or out, for every pod of a namespace.
fn nothing(namespace: &str) -> Value {
    policy(namespace, "nothing", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
}

#[test]
fn a_node_reaches_its_own_pods_whatever_policies_say() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web"])?;
    lab.apply(&[nothing("shop")])?;
    let hosts = lab.probes_of_hosts()?;
    let all = [hosts, probes(&lab, &[("shop/web", "shop/db", 80, Silence)])?].concat();
    lab.prober.hold(&all)
}

#[test]
fn a_pod_reaches_its_node_as_its_egress_policies_say_and_if_there_are_none() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web", "ops/web"])?;
    let node = lab.node_addresses(1);
    let spec = json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
        "egress": [{"to": node.map(|address| {
            let length = if address.is_ipv4() { 32 } else { 128 };
            json!({"ipBlock": {"cidr": format!("{address}/{length}")}})
        }), "ports": [{"port": 80}]}]});
    lab.apply(&[
        policy("shop", "web", spec),
        policy(
            "shop",
            "db",
            json!({"podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Egress"]}),
        ),
    ])?;
    let mut all = Vec::new();
    for (from, port, expected) in
        [("shop/web", 80, Answer), ("shop/web", 81, Silence), ("shop/db", 80, Silence), ("ops/web", 81, Answer)]
    {
        let from = lab.pod(from)?.machine;
        all.extend(node.map(|to| Probe { expected, ..Probe::answered(from, to, Protocol::TCP, port) }));
    }
    lab.prober.hold(&all)
}

#[test]
fn a_pod_reaches_itself_whatever_policies_say() -> Result<()> {
    let mut lab = lab(&["shop/db", "shop/web"])?;
    lab.apply(&[nothing("shop")])?;
    hold(&mut lab, &[("shop/db", "shop/db", 80, Answer), ("shop/web", "shop/db", 80, Silence)])
}
