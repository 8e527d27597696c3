//! Reports: facts in, what the API should say out; and whose turn it is to say it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use agent::fact::{Fact, ObjectFact, Source};
use agent::plan::report::{
    Availability, GRACE, NodeReport, ReportKind, Reports, Says, Standing, Subject, Voice, reports,
};
use agent::world::World;
use dataplane::actual::{Address, KernelEvent, Link};
use ipam::{Lease, Plumbed, Record};
use model::api::Attachment;
use model::object::{Document, Kind, ObjectError, ObjectKey, parse};

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, uid: u1}\nspec: {podCIDR: 10.244.1.0/24}\n\
                    status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}\n";

fn object(text: &str) -> Fact {
    match parse("test.yaml", text).documents.pop() {
        Some(Document::Object(found)) => Fact::Object(Box::new(ObjectFact {
            object: found.object,
            origin: "test.yaml".into(),
            written: found.written,
        })),
        other => panic!("{other:?}"),
    }
}
fn node(name: &str) -> Fact {
    object(&NODE.replace("n1", name).replace("u1", &format!("u-{name}")))
}
fn pool(name: &str, spec: &str) -> Fact {
    object(&format!("apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{name: {name}}}\nspec: {spec}"))
}
fn on_link(text: &str, length: u8) -> Vec<Fact> {
    let link = Link {
        index: 2,
        name: "eth0".into(),
        up: true,
        carrier: true,
        mtu: 1500,
        group: 0,
        kind: None,
        mac: None,
        alias: None,
    };
    let address = Address { index: 2, address: text.parse().unwrap(), length, scope: 0, protocol: 0 };
    vec![Fact::Kernel(KernelEvent::Link(link)), Fact::Kernel(KernelEvent::Address(address))]
}
fn error(object: &str, field: &str, message: &str) -> ObjectError {
    ObjectError { file: "api".into(), object: object.into(), field: field.into(), message: message.into() }
}

struct Case {
    world: World,
    voice: Voice,
    not_ready: Option<(&'static str, Duration)>,
    peering: Vec<String>,
}

impl Case {
    fn on(name: &str, facts: impl IntoIterator<Item = Fact>) -> Case {
        let mut world = World::new(name.parse().unwrap());
        facts.into_iter().for_each(|fact| drop(world.learn(fact)));
        Case { world, voice: Voice::default(), not_ready: None, peering: vec![] }
    }
    fn reports(&self) -> Reports {
        let standing = Standing { not_ready: self.not_ready, peering: &self.peering };
        reports(&self.world, standing, &self.voice)
    }
    fn of_node(&self) -> NodeReport {
        match self.reports().remove(&Subject::Node(self.world.node.clone())).map(|report| report.says) {
            Some(Says::Node(report)) => report,
            None => NodeReport::default(),
            other => panic!("{other:?}"),
        }
    }
    /// Object, reason and note of each event, with its turn in seconds.
    fn events(&self) -> Vec<(String, u64)> {
        let event = |(_, report): (Subject, agent::plan::report::Report)| match report.says {
            Says::Event(e) => Some((format!("{} {} {}", e.regarding, e.reason, e.note), report.turn.as_secs())),
            _ => None,
        };
        self.reports().into_iter().filter_map(event).collect()
    }
}

#[test]
fn the_network_is_there_once_pods_can_be_attached_and_gone_only_after_a_grace() {
    let mut case = Case::on("n1", [node("n1")]);
    let status = |case: &Case| case.of_node().network.map(|network| (network.availability, network.reason));
    assert_eq!(status(&case), Some((Availability::Available, "MargayIsUp")));
    case.not_ready = Some(("still reading the kernel", GRACE - Duration::from_secs(1)));
    assert_eq!(status(&case), None, "an agent that starts leaves the condition as it is");
    case.not_ready = Some(("no address can be given", GRACE));
    assert_eq!(status(&case), Some((Availability::Unavailable, "MargayIsNotReady")));
    assert!(case.of_node().network.unwrap().message.ends_with("no address can be given"));
    case.world.learn(Fact::ObjectGone(ObjectKey { kind: Kind::Node, namespace: None, name: "n1".into() }));
    assert_eq!(status(&case), Some((Availability::Unavailable, "MargayIsNotReady")), "even before its Node is known");
}

#[test]
fn the_startup_taint_goes_when_the_node_is_ready_and_not_before() {
    let mut case = Case::on("n1", [node("n1")]);
    assert_eq!(case.of_node().without_taint.as_deref(), Some("node.margay.io/agent-not-ready"));
    case.not_ready = Some(("still reading the objects", GRACE));
    assert_eq!(case.of_node().without_taint, None);
    case.not_ready = None;
    case.voice.startup_taint = "example.org/wait".into();
    assert_eq!(case.of_node().without_taint.as_deref(), Some("example.org/wait"));
    case.voice.startup_taint = String::new();
    assert_eq!(case.of_node().without_taint, None);
}

#[test]
fn the_nodes_address_is_annotated_with_the_length_that_its_link_has() {
    let annotations = |case: &Case| {
        let found = case.of_node().annotations.unwrap();
        found.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let mut facts = vec![node("n1")];
    assert!(annotations(&Case::on("n1", facts.clone())).is_empty(), "on no link: nothing is known of its subnet");
    facts.extend(on_link("10.0.0.1", 20));
    assert_eq!(
        annotations(&Case::on("n1", facts.clone())),
        ["margay.projectcalico.org/IPv4Address=10.0.0.1/20", "projectcalico.org/IPv4Address=10.0.0.1/20"]
    );
    facts.push(pool("p", "{cidr: 10.244.0.0/16, ipipMode: CrossSubnet}"));
    let both = [
        "margay.projectcalico.org/IPv4Address=10.0.0.1/20",
        "projectcalico.org/IPv4Address=10.0.0.1/20",
        "projectcalico.org/IPv4IPIPTunnelAddr=10.244.1.0",
    ];
    assert_eq!(annotations(&Case::on("n1", facts)), both);
}

#[test]
fn what_is_not_to_be_said_is_not_said() {
    let facts =
        [node("n1"), pool("p", "{cidr: 10.244.0.0/16}"), Fact::ObjectErrors(vec![error("IPPool/p", "", "bad")])];
    let mut case = Case::on("n1", facts);
    assert_eq!(case.reports().len(), 3, "{:?}", case.reports());
    case.voice.silent = ReportKind::ALL.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(case.reports(), Reports::new());
    case.voice.silent = BTreeSet::from([ReportKind::Condition, ReportKind::Events, ReportKind::Pools]);
    let report = case.of_node();
    assert!(report.network.is_none() && report.without_taint.is_some() && case.reports().len() == 1);
    assert_eq!("pools".parse::<ReportKind>(), Ok(ReportKind::Pools));
    assert!("pool".parse::<ReportKind>().is_err());
}

#[test]
fn an_object_that_is_wrong_gets_an_event_that_one_node_writes_and_the_others_would_one_by_one() {
    let names: Vec<String> = (0..50).map(|i| format!("n{i}")).collect();
    let wrong = Fact::ObjectErrors(vec![error("BGPPeer/tor", "spec.asNumber", "is not an AS number")]);
    let turns: BTreeSet<u64> = names
        .iter()
        .map(|own| {
            let facts = names.iter().map(|name| node(name)).chain([wrong.clone()]);
            let (text, turn) =
                Case::on(own, facts).events().into_iter().find(|(t, _)| t.starts_with("BGPPeer")).unwrap();
            assert_eq!(text, "BGPPeer/tor NotInForce spec.asNumber: is not an AS number");
            turn
        })
        .collect();
    assert_eq!(turns, (0..50).collect(), "each node has a second of its own");
}

#[test]
fn what_is_wrong_on_this_node_alone_is_told_of_its_node_at_once() {
    let others = [("n2", "10.0.0.2"), ("n3", "10.0.0.3")];
    let others = others.map(|(name, address)| object(&NODE.replace("n1", name).replace("10.0.0.1", address)));
    let mut case = Case::on("n1", others.into_iter().chain([node("n1"), Fact::InSync(Source::Kernel)]));
    case.peering = vec!["BGPPeer/tor: Secret bgp is not there".into()];
    let errors = vec![
        error("Node/n1", "metadata.annotations[x]", "bad"),
        error("Node/n2", "", "not ours to tell"),
        error("Secret/ns/bgp", "", "forbidden"),
    ];
    case.world.learn(Fact::ObjectErrors(errors));
    let mut events = case.events();
    events.sort();
    let at_once = |text: &str| (text.to_string(), 0);
    assert_eq!(
        events,
        [
            at_once(
                "Node/n1 NodeAddress Node n1: its address 10.0.0.1 (InternalIP) is on none of its links: no packet for it \
                 comes in here"
            ),
            at_once("Node/n1 NotInForce metadata.annotations[x]: bad"),
            at_once("Node/n1 Peering BGPPeer/tor: Secret bgp is not there"),
        ]
    );
}

#[test]
fn events_are_bounded_in_number_and_length() {
    let errors = (0..1000).map(|i| error(&format!("BGPPeer/p{i}"), "spec", &"ü".repeat(5000))).collect();
    let mut case = Case::on("n1", [node("n1"), Fact::ObjectErrors(errors)]);
    case.peering = (0..1000).map(|i| format!("problem {i}")).collect();
    let events = case.events();
    assert_eq!(events.len(), 40);
    let longest = case.reports().into_values().filter_map(|report| match report.says {
        Says::Event(event) => Some(event.note.len()),
        _ => None,
    });
    assert_eq!(longest.max(), Some(1024), "an event's note has at most 1 KiB");
}

#[test]
fn a_pool_says_whether_it_gives_addresses() {
    let facts = [
        pool("a", "{cidr: 10.1.0.0/16}"),
        pool("b", "{cidr: 10.1.0.0/16}"),
        pool("c", "{cidr: 10.1.2.0/24, disabled: true}"),
        pool("d", "{cidr: 10.1.4.0/24}"),
    ];
    let said: Vec<String> = Case::on("n1", facts)
        .reports()
        .into_iter()
        .filter_map(|(subject, report)| match report.says {
            Says::Pool(pool) => Some(format!("{subject} {}", pool.gives.reason())),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["IPPool/a CIDROverlap", "IPPool/b OK", "IPPool/c PoolDisabled", "IPPool/d OK"]);
}

#[test]
fn only_what_a_node_is_asked_for_is_filled_and_not_too_often() {
    let asked = |name: &str, spec: &str| {
        object(&format!(
            "apiVersion: projectcalico.org/v3\nkind: CalicoNodeStatus\nmetadata: {{name: {name}}}\nspec: {spec}"
        ))
    };
    let facts = [
        asked("a", "{node: n1, classes: [BGP], updatePeriodSeconds: 1}"),
        asked("b", "{node: n2, classes: [BGP]}"),
        asked("c", "{node: n1, classes: [Agent, Routes]}"),
        asked("d", "{node: n1, classes: [Agent], updatePeriodSeconds: 0}"),
        asked("e", "{node: n1}"),
    ];
    let said: Vec<String> = Case::on("n1", facts)
        .reports()
        .into_iter()
        .filter_map(|(subject, report)| match report.says {
            Says::NodeStatus { classes, period } => Some(format!("{subject} {classes:?} {period:?}")),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["CalicoNodeStatus/a [Bgp] 5s", "CalicoNodeStatus/c [Agent, Routes] 10s"]);
}

#[test]
fn a_pods_addresses_are_written_on_it_where_that_is_wanted_once_it_is_plumbed() {
    let pod = |annotations: &str| {
        object(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: ns, uid: u, annotations: {annotations}}}\n\
             spec: {{nodeName: n1}}"
        ))
    };
    let attachment = Attachment { container_id: "c1".into(), ifname: "eth0".into() };
    let mut lease = Lease {
        attachment,
        network: "margay".into(),
        pod: Some(model::PodRef { namespace: "ns".into(), name: "p".into() }),
        uid: None,
        netns: String::new(),
        host_interface: "cali1".into(),
        addresses: vec!["10.244.1.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        mtu: 1500,
        since: 1,
        plumbed: None,
    };
    let mut case = Case::on("n1", [pod("{}"), Fact::Lease(Record::Lease(lease.clone()))]);
    let said = |case: &Case| {
        let pods = case.reports().into_values().filter_map(|report| match report.says {
            Says::Pod(pod) => Some(pod.annotations.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>()),
            _ => None,
        });
        pods.flatten().collect::<Vec<_>>()
    };
    case.voice.silent.clear();
    assert!(said(&case).is_empty(), "not yet plumbed");
    lease.plumbed = Some(Plumbed { host_ifindex: 7, mac: String::new() });
    case.world.learn(Fact::Lease(Record::Lease(lease.clone())));
    let all = [
        "cni.projectcalico.org/containerID=c1",
        "cni.projectcalico.org/podIP=10.244.1.7/32",
        "cni.projectcalico.org/podIPs=10.244.1.7/32,fd00::7/128",
    ];
    assert_eq!(said(&case), all);
    let written = "{cni.projectcalico.org/podIP: 10.244.1.7/32, cni.projectcalico.org/podIPs: '10.244.1.7/32,fd00::7/128', \
                   cni.projectcalico.org/containerID: c1}";
    case.world.learn(pod(written));
    assert!(said(&case).is_empty(), "its object says so already");
    case.world.learn(Fact::Lease(Record::Release { attachment: lease.attachment }));
    let emptied =
        ["cni.projectcalico.org/containerID=", "cni.projectcalico.org/podIP=", "cni.projectcalico.org/podIPs="];
    assert_eq!(said(&case), emptied, "another may have the address by now");
    case.voice = Voice::default();
    assert!(said(&case).is_empty(), "off unless it is asked for");
}
