//! Blocks in an API server: several nodes claim, fill and lend them at the same time, through real requests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "blocks/api.rs"]
mod api;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use agent::apply::blocks::Hand;
use agent::fact::{Fact, ObjectFact};
use agent::plan::blocks::{Seen, wants};
use agent::plan::pods::{annotations, space};
use agent::world::World;
use api::Api;
use ipam::{Ask, Record};
use model::PodRef;
use model::api::{Attach, Attachment};
use model::object::{Document, parse};
use tokio::sync::mpsc;

/// All of an agent that blocks need: what it knows, and its hand.
struct Node {
    world: World,
    hand: Hand,
    facts: mpsc::Receiver<Fact>,
    unix_seconds: u64,
    problem: Option<String>,
    short: Vec<String>,
}

impl Node {
    fn new(api: &Api, name: &str) -> Node {
        let (sender, facts) = mpsc::channel(1024);
        let node: model::NodeName = name.parse().unwrap();
        let hand = Hand::start(&api.server(), node.clone(), sender);
        let (problem, short) = (None, Vec::new());
        let mut node = Node { world: World::new(node), hand, facts, unix_seconds: 1_800_000_000, problem, short };
        for other in ["n1", "n2", "n3"] {
            node.object(&format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: {other}, annotations: {{projectcalico.org/IPv4Address: 192.0.2.{}/24}}}}",
                &other[1..]
            ));
        }
        node
    }

    fn object(&mut self, text: &str) {
        for document in parse("test", text).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test".into(), written: found.written };
            self.world.learn(Fact::Object(Box::new(fact)));
        }
    }

    fn pool(&mut self, cidr: &str, block_size: u8) {
        self.object(&format!(
            "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{name: p}}\nspec: {{cidr: {cidr}, blockSize: {block_size}}}"
        ));
    }

    /// One list of steps, done to its end. False if there is nothing to do.
    async fn turn(&mut self) -> bool {
        let seen = Seen { unix_seconds: self.unix_seconds, ..Seen::default() };
        let plan = ipam::block::plan(&self.world.picture, &wants(&self.world, seen));
        self.short = plan.problems;
        if plan.ops.is_empty() {
            return false;
        }
        self.world.picture.issue(&plan.ops, self.world.node.as_str());
        self.hand.take(plan.ops);
        loop {
            let fact = tokio::time::timeout(Duration::from_secs(20), self.facts.recv()).await.unwrap().unwrap();
            if let Fact::BlocksDone(problem) = &fact {
                self.problem = problem.clone();
                return true;
            }
            self.world.learn(fact);
        }
    }

    async fn rest(&mut self) {
        for _ in 0..60 {
            if !self.turn().await {
                return;
            }
        }
        panic!("{} does not come to rest: {:?} {:?}", self.world.node, self.problem, self.short);
    }

    /// CNI ADD: decided here alone.
    fn add(&mut self, pod: &str) -> Result<IpAddr, String> {
        let pod = PodRef { namespace: "default".into(), name: pod.into() };
        let attach = Attach {
            attachment: Attachment { container_id: format!("{}-{}", self.world.node, pod.name), ifname: "eth0".into() },
            netns: "/run/netns/x".into(),
            pod: Some(pod.clone()),
            uid: None,
            mtu: None,
            network: "margay".into(),
            addresses: vec![],
        };
        let annotations = annotations(&self.world, Some(&pod));
        let ask = Ask { attach, annotations, mtu: 1500, unix_seconds: self.unix_seconds };
        let decision = self.world.leases.attach(&ask, &space(&self.world, Some(&pod))).map_err(|e| e.to_string())?;
        let address = decision.lease.addresses[0];
        decision.records.into_iter().for_each(|record| drop(self.world.learn(Fact::Lease(record))));
        Ok(address)
    }

    fn del(&mut self, pod: &str) {
        let container_id = format!("{}-{pod}", self.world.node);
        let attachment = Attachment { container_id, ifname: "eth0".into() };
        self.world.learn(Fact::Lease(Record::Release { attachment }));
    }

    fn pod(&mut self, name: &str, uid: &str, node: &str) {
        self.object(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: {uid}, annotations: {{margay.projectcalico.org/keep-address: '1h'}}}}\nspec: {{nodeName: {node}}}"
        ));
    }

    fn originates(&self) -> Vec<String> {
        let plan = agent::plan::bgp::bgp(&self.world, bgp::config::Start::Fresh);
        plan.config.iter().flat_map(|config| config.originate.keys()).map(|prefix| prefix.to_string()).collect()
    }
}

fn given(nodes: &[Node]) -> Vec<IpAddr> {
    nodes.iter().flat_map(|node| node.world.leases.iter()).flat_map(|lease| lease.addresses.clone()).collect()
}

#[tokio::test]
async fn nodes_that_claim_at_the_same_time_share_a_pool_without_giving_an_address_twice() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let mut nodes: Vec<Node> = ["n1", "n2", "n3"].map(|name| Node::new(&api, name)).into();
    nodes.iter_mut().for_each(|node| node.pool("10.9.0.0/27", 29));
    for round in 0..8 {
        let (a, rest) = nodes.split_at_mut(1);
        let (b, c) = rest.split_at_mut(1);
        for _ in 0..6 {
            tokio::join!(a[0].turn(), b[0].turn(), c[0].turn());
        }
        nodes.iter_mut().for_each(|node| drop(node.add(&format!("p{round}"))));
    }
    let given = given(&nodes);
    assert!(given.len() >= 20, "{given:?}");
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "{given:?}");
    for node in &mut nodes {
        node.rest().await;
        for lease in node.world.leases.iter() {
            let holder = api.holder(lease.addresses[0]);
            assert_eq!(holder, Some(format!("k8s-pod-network.{}", lease.attachment.container_id)));
        }
    }
}

#[tokio::test]
async fn a_borrowed_address_is_announced_by_itself_and_an_own_block_as_a_block() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let (mut owner, mut borrower) = (Node::new(&api, "n1"), Node::new(&api, "n2"));
    owner.pool("10.9.0.0/28", 28);
    borrower.pool("10.9.0.0/28", 28);
    owner.rest().await;
    borrower.rest().await;
    owner.add("a").unwrap();
    let borrowed = borrower.add("b").unwrap();
    assert_eq!(owner.originates(), ["10.9.0.0/28"]);
    assert_eq!(borrower.originates(), [format!("{borrowed}/32")]);
    borrower.del("b");
    assert!(borrower.originates().is_empty());
}

#[tokio::test]
async fn a_clusters_existing_blocks_count_and_are_written_where_they_are() {
    let api = Api::start(&["projectcalico.org/v3", "crd.projectcalico.org/v1"]).await;
    let taken = r#"{"cidr":"10.9.0.0/30","affinity":"host:n2","strictAffinity":false,"deleted":false,"sequenceNumber":7,
        "sequenceNumberForAllocation":{"0":3},"affinityClaimTime":"2026-01-01T00:00:00Z",
        "allocations":[0,null,null,null],"unallocated":[1,2,3],
        "attributes":[{"handle_id":"k8s-pod-network.old","secondary":{"node":"n2","pod":"old","namespace":"default"}}]}"#;
    api.put("crd.projectcalico.org/v1", "ipamblocks", "10-9-0-0-30", taken);
    let claim = r#"{"cidr":"10.9.0.0/30","node":"n2","state":"confirmed","deleted":"false","type":"host"}"#;
    api.put("crd.projectcalico.org/v1", "blockaffinities", "n2-10-9-0-0-30", claim);
    let (mut heir, mut other) = (Node::new(&api, "n2"), Node::new(&api, "n1"));
    heir.pool("10.9.0.0/29", 30);
    other.pool("10.9.0.0/29", 30);
    heir.rest().await;
    other.rest().await;
    assert_eq!(heir.world.own_blocks().iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.0/30"]);
    assert_eq!(other.world.own_blocks().iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.4/30"]);
    let block = api.get("crd.projectcalico.org/v1", "ipamblocks", "10-9-0-0-30").unwrap();
    assert_eq!(block["spec"]["affinityClaimTime"], "2026-01-01T00:00:00Z", "what nobody here knows stays");
    assert_eq!(api.holder("10.9.0.0".parse().unwrap()).as_deref(), Some("k8s-pod-network.old"));
    assert_eq!(api.count("projectcalico.org/v3", "ipamblocks"), 0);
    for pod in ["a", "b", "c"] {
        let address = heir.add(pod);
        assert_ne!(address, Ok("10.9.0.0".parse().unwrap()), "a running pod keeps its address");
        heir.rest().await;
    }
}

#[tokio::test]
async fn an_address_follows_its_pod_to_a_node_that_has_not_seen_its_block_yet() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let (mut first, mut second) = (Node::new(&api, "n1"), Node::new(&api, "n2"));
    first.pool("10.9.0.0/24", 28);
    second.pool("10.9.0.0/24", 28);
    second.rest().await;
    first.pod("db-0", "u1", "n1");
    first.rest().await;
    let address = first.add("db-0").unwrap();
    first.rest().await;
    first.del("db-0");
    second.pod("db-0", "u2", "n2");
    second.rest().await;
    assert_eq!(second.add("db-0"), Ok(address));
}

#[tokio::test]
async fn an_address_kept_for_one_pod_is_given_to_no_other_however_short_addresses_are() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let mut node = Node::new(&api, "n1");
    node.pool("10.9.0.0/29", 29);
    node.rest().await;
    node.pod("db-0", "u1", "n1");
    // While it is being written which address is kept, others take all that is left.
    let seen = Seen { unix_seconds: node.unix_seconds, ..Seen::default() };
    let plan = ipam::block::plan(&node.world.picture, &wants(&node.world, seen));
    node.world.picture.issue(&plan.ops, "n1");
    let others: Vec<IpAddr> = (0..8).filter_map(|n| node.add(&format!("before-{n}")).ok()).collect();
    assert!(!others.is_empty() && others.len() < 8, "{others:?}");
    node.rest().await;
    let kept = node.add("db-0").unwrap();
    assert!(!others.contains(&kept), "{kept} was given to another while it was being kept");
    node.rest().await;
    node.del("db-0");
    node.world.learn(Fact::ObjectGone("default/db-0".parse_pod()));
    node.rest().await;
    for n in 0..8 {
        assert_ne!(node.add(&format!("after-{n}")), Ok(kept));
        node.rest().await;
    }
}

#[tokio::test]
async fn a_pod_that_asks_for_it_has_the_same_address_on_another_node_and_its_route_follows() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let (mut first, mut second) = (Node::new(&api, "n1"), Node::new(&api, "n2"));
    first.pool("10.9.0.0/24", 28);
    second.pool("10.9.0.0/24", 28);
    first.rest().await;
    second.rest().await;
    first.pod("db-0", "u1", "n1");
    assert!(first.add("db-0").is_err(), "not before it is written that it is kept");
    first.rest().await;
    let address = first.add("db-0").unwrap();
    first.rest().await;
    assert_eq!(api.holder(address).as_deref(), Some("margay-keep.default.db-0"));
    // The pod goes, and comes back elsewhere.
    first.del("db-0");
    first.world.learn(Fact::ObjectGone("default/db-0".parse_pod()));
    first.rest().await;
    assert_ne!(first.add("other"), Ok(address));
    second.pod("db-0", "u2", "n2");
    assert!(second.add("db-0").is_err());
    second.rest().await;
    assert_eq!(second.add("db-0"), Ok(address));
    assert!(second.originates().contains(&format!("{address}/32")), "{:?}", second.originates());
    assert!(!first.originates().contains(&format!("{address}/32")));
    // Gone for longer than it is kept.
    second.del("db-0");
    second.world.learn(Fact::ObjectGone("default/db-0".parse_pod()));
    second.rest().await;
    second.unix_seconds += 3599;
    second.rest().await;
    assert!(api.holder(address).is_some());
    second.unix_seconds += 1;
    second.rest().await;
    assert_eq!(api.holder(address), None);
}

#[tokio::test]
async fn what_a_vanished_node_left_is_cleared_away() {
    let api = Api::start(&["projectcalico.org/v3"]).await;
    let (mut gone, mut other) = (Node::new(&api, "n3"), Node::new(&api, "n1"));
    gone.pool("10.9.0.0/24", 28);
    other.pool("10.9.0.0/24", 28);
    gone.rest().await;
    let left = gone.add("a").unwrap();
    gone.rest().await;
    other.rest().await;
    assert!(other.world.picture.hosts().contains("n3"));
    other.world.picture.look_again();
    for _ in 0..20 {
        let seen = Seen { unix_seconds: 1_800_000_000, gone: BTreeSet::from(["n3".to_string()]), ..Seen::default() };
        let plan = ipam::block::plan(&other.world.picture, &wants(&other.world, seen));
        if plan.ops.is_empty() {
            break;
        }
        other.hand.take(plan.ops);
        while let Some(fact) = other.facts.recv().await {
            if matches!(fact, Fact::BlocksDone(_)) {
                break;
            }
            other.world.learn(fact);
        }
    }
    assert_eq!(api.holder(left), None);
    assert_eq!(
        (api.count("projectcalico.org/v3", "ipamblocks"), api.count("projectcalico.org/v3", "blockaffinities")),
        (1, 1)
    );
}

#[tokio::test]
async fn without_the_kinds_it_is_said_what_is_missing_and_pods_wait() {
    let api = Api::start(&[]).await;
    let mut node = Node::new(&api, "n1");
    node.pool("10.9.0.0/24", 28);
    node.turn().await;
    assert!(node.problem.as_ref().is_some_and(|p| p.contains("knows no IPAMBlock")), "{:?}", node.problem);
    assert!(node.add("a").is_err());
}

trait ParsePod {
    fn parse_pod(&self) -> model::object::ObjectKey;
}
impl ParsePod for str {
    fn parse_pod(&self) -> model::object::ObjectKey {
        let (namespace, name) = self.split_once('/').unwrap();
        model::object::ObjectKey {
            kind: model::object::Kind::Pod,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }
}
