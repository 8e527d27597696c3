//! Leases that were read back from the kernel, as without a journal: whose they are, and what leads to their links meanwhile.

#![allow(clippy::unwrap_used, clippy::panic)]

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::plan::firewall::{Firewall, base};
use agent::world::{Dirty, World};
use ipam::{Lease, PodLink, Record};
use model::api::Attachment;
use model::object::{Document, Kind, ObjectKey, parse};
use model::{PodRef, pod_link};

const WEB: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\n\
                   spec: {podSelector: {matchLabels: {app: web}}}";

/// Node `n1` after the loss of its journal.
struct Node {
    world: World,
    firewall: Firewall,
}

impl Node {
    fn new() -> Node {
        let mut node = Node { world: World::new("n1".parse().unwrap()), firewall: Firewall::default() };
        let program = node.world.policies.program();
        node.firewall.lay_base(&base(&node.world, program, &Desired::default()), program);
        node
    }

    fn settle(&mut self, dirty: Dirty) {
        let delta = if dirty.policies { self.world.policies.update() } else { policy::Delta::default() };
        self.firewall.follow(self.world.policies.program(), &delta, &self.world.endpoints);
        self.firewall.follow_interfaces(&dirty.interfaces, &self.world.endpoints);
    }

    fn learn(&mut self, object: &str) {
        for document in parse("test.yaml", object).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            let dirty = self.world.learn(Fact::Object(Box::new(fact)));
            self.settle(dirty);
        }
    }

    fn recover(&mut self, links: &[PodLink]) {
        for record in ipam::recover::recover(links).records {
            self.record(record);
        }
    }

    fn record(&mut self, record: Record) {
        let dirty = self.world.learn(Fact::Lease(record));
        self.settle(dirty);
    }

    fn lease(&self, link: &str) -> &Lease {
        self.world.leases.iter().find(|lease| lease.host_interface == link).unwrap()
    }

    /// Whether packets to a link, and from it, are let through whatever policies say.
    fn is_open(&self, link: &str) -> [bool; 2] {
        let interface = self.world.endpoints.interface(link).unwrap();
        let endpoint = interface.pod.clone().map(policy::EndpointKey::Pod);
        let chains = endpoint.and_then(|endpoint| self.world.policies.program().endpoints.get(&endpoint));
        let table = self.firewall.table().to_string();
        let leads = |verdict: &str| table.contains(&format!("\"{link}\" : {verdict}"));
        let open = [chains.is_none_or(|c| c.ingress.is_none()), chains.is_none_or(|c| c.egress.is_none())];
        assert_eq!(open, [leads("accept"), leads("continue")], "{table}");
        open
    }
}

fn shop(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into() }
}

fn pod(name: &str, app: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}\nspec: {{nodeName: n1}}"
    )
}

fn attachment(ifname: &str) -> Attachment {
    Attachment { container_id: "0a1b".into(), ifname: ifname.into() }
}

fn link(name: &str, alias: Option<&Attachment>, address: &str) -> PodLink {
    let alias = alias.and_then(|attachment| pod_link::mark(attachment, "pods"));
    PodLink::new(name, 7, 1500, alias.as_deref(), vec![address.parse().unwrap()])
}

/// The first link of `shop/a`.
fn link_of_a() -> (String, PodLink) {
    let name = pod_link::name(Some(&shop("a")), "0a1b");
    let link = link(&name, Some(&attachment("eth0")), "10.244.1.2");
    (name, link)
}

#[test]
fn a_recovered_lease_is_its_pods_whichever_is_known_first_and_policies_are_about_it() {
    let (name, found) = link_of_a();
    for pod_first in [true, false] {
        let mut node = Node::new();
        node.learn(WEB);
        if pod_first {
            node.learn(&pod("a", "web"));
        }
        node.recover(std::slice::from_ref(&found));
        if !pod_first {
            node.learn(&pod("a", "web"));
        }
        assert_eq!(node.lease(&name).pod, Some(shop("a")));
        assert_eq!(node.world.endpoints.interface(&name).unwrap().pod, Some(shop("a")));
        assert_eq!(node.is_open(&name), [false, true], "as its policy says; pod first: {pod_first}");
        node.learn(&pod("a", "other"));
        assert_eq!(node.is_open(&name), [true, true], "no policy is about it any more");
    }
}

#[test]
fn a_recovered_link_whose_pod_nobody_has_told_of_is_closed_where_a_policy_may_be_about_it() {
    let (name, found) = link_of_a();
    let mut node = Node::new();
    node.recover(&[found]);
    assert_eq!(node.is_open(&name), [true, true], "there are no policies");
    node.learn(WEB);
    assert_eq!(node.is_open(&name), [false, true], "it may be of any namespace");
    node.learn(&pod("b", "web"));
    assert_eq!(node.lease(&name).pod, None, "another pod does not claim it");
    let gone = ObjectKey { kind: Kind::NetworkPolicy, namespace: Some("shop".into()), name: "web".into() };
    let dirty = node.world.learn(Fact::ObjectGone(gone));
    node.settle(dirty);
    assert_eq!(node.is_open(&name), [true, true]);
}

#[test]
fn a_recovered_link_that_is_named_after_its_container_has_no_pod_and_stays_open() {
    let name = pod_link::name(None, "0a1b");
    let mut node = Node::new();
    node.learn(WEB);
    node.recover(&[link(&name, Some(&attachment("eth0")), "10.244.1.2")]);
    assert_eq!(node.is_open(&name), [true, true]);
}

#[test]
fn pods_elsewhere_and_on_their_hosts_network_claim_nothing() {
    let (name, found) = link_of_a();
    let mut node = Node::new();
    node.recover(&[found]);
    node.learn(&pod("a", "web").replace("n1", "n2"));
    assert_eq!(node.lease(&name).pod, None);
    node.learn(&pod("a", "web").replace("n1", "n1, hostNetwork: true"));
    assert_eq!(node.lease(&name).pod, None);
}

#[test]
fn a_further_link_of_a_pod_is_claimed_too() {
    let name = pod_link::further_name(Some(&shop("a")), &attachment("net1"));
    let further = link(&name, Some(&attachment("net1")), "10.244.1.3");
    for pod_first in [true, false] {
        let mut node = Node::new();
        if pod_first {
            node.learn(&pod("a", "web"));
        }
        node.recover(std::slice::from_ref(&further));
        node.learn(&pod("a", "web"));
        assert_eq!(node.lease(&name).pod, Some(shop("a")));
    }
}

#[test]
fn what_stood_for_a_link_without_a_mark_goes_when_its_container_asks() {
    let (name, _) = link_of_a();
    let mut node = Node::new();
    node.learn(WEB);
    node.recover(&[link(&name, None, "10.244.1.2")]);
    let stood_in = node.lease(&name).clone();
    let netns = "/run/netns/a".to_string();
    let claimed = Lease { attachment: attachment("eth0"), pod: Some(shop("a")), netns, since: 1, ..stood_in };
    node.record(Record::Lease(claimed));
    assert_eq!(node.world.endpoints.interface(&name).unwrap().pod, Some(shop("a")));
    node.record(Record::Release { attachment: attachment("eth0") });
    assert_eq!(node.world.endpoints.interface(&name), None, "nothing is left of it");
    assert!(!node.world.policies.program().endpoints.keys().any(|key| key.to_string().contains(&name)));
}
