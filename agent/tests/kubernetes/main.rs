//! The API server as the source of the objects: against a server that can do what a real one seldom does.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

mod program;
mod server;

use std::fs;
use std::time::Duration;

use agent::api_server::{Access, ApiServer};
use agent::fact::{ApiServerState, Fact, Source};
use agent::watch::kubernetes;
use serde_json::{Value, json};
use server::{Asked, Server};
use tempfile::TempDir;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);
const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/pods";
const NAMESPACES: &str = "/api/v1/namespaces";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const POOLS: &str = "/apis/projectcalico.org/v3/ippools";
const PEERS: &str = "/apis/projectcalico.org/v3/bgppeers";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Of a look for a group that is absent: the server is asked twice.
const REQUESTS: usize = 2;
const OLDER_POOLS: &str = "/apis/crd.projectcalico.org/v1/ippools";

/// The source's side: what the reconcile loop would hear.
struct Heard {
    facts: mpsc::Receiver<Fact>,
    runtime: tokio::runtime::Runtime,
    directory: TempDir,
}

impl Heard {
    fn of(server: &Server) -> Heard {
        let directory = tempfile::tempdir().expect("a directory");
        let api = ApiServer::start(Access::Kubeconfig(server.kubeconfig(directory.path()))).expect("started");
        let (sender, facts) = mpsc::channel(100);
        kubernetes::watch(&api, &"n1".parse().expect("a name"), sender);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("made");
        Heard { facts, runtime, directory }
    }

    /// All facts up to the first that is meant, that one too; in words.
    #[track_caller]
    fn until(&mut self, meant: impl Fn(&str) -> bool) -> Vec<String> {
        let mut told = Vec::new();
        let next = async {
            while let Some(fact) = self.facts.recv().await {
                told.push(word(&fact));
                if told.last().is_some_and(|word| meant(word)) {
                    return;
                }
            }
        };
        let outcome = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, next).await });
        assert!(outcome.is_ok(), "nothing like it among {told:#?}");
        told
    }

    #[track_caller]
    fn until_in_sync(&mut self) -> Vec<String> {
        self.until(|word| word == "in sync")
    }

    /// What of the objects was said; not how the server is.
    #[track_caller]
    fn objects_until(&mut self, meant: &str) -> Vec<String> {
        let told = self.until(|word| word == meant);
        told.into_iter().filter(|word| !word.starts_with("server")).collect()
    }
}

fn word(fact: &Fact) -> String {
    match fact {
        Fact::Object(o) => format!("+ {}", o.object.key()),
        Fact::ObjectGone(key) => format!("- {key}"),
        Fact::ObjectErrors(errors) => errors.iter().map(|e| format!("! {e}")).collect::<Vec<_>>().join("; "),
        Fact::InSync(Source::Objects) => "in sync".into(),
        Fact::ApiServer(ApiServerState { away: Some(why), .. }) => format!("server away: {why}"),
        Fact::ApiServer(state) => format!("server answers; unlisted {:?}; absent {:?}", state.unlisted, state.absent),
        other => format!("{other:?}"),
    }
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}
fn pool(name: &str, cidr: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"cidr": cidr}})
}
fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": node}})
}
fn peer(name: &str, secret: &str) -> Value {
    let password = json!({"secretKeyRef": {"name": secret, "key": "k"}});
    json!({"metadata": {"name": name}, "spec": {"peerIP": "10.0.0.9", "asNumber": 65000, "password": password}})
}

#[test]
fn objects_come_as_facts_and_in_sync_when_every_list_was_complete() {
    let server = Server::start();
    server.put(NODES, named("n1"));
    server.put(NAMESPACES, named("default"));
    server.put(PODS, pod("here", "n1"));
    server.put(PODS, pod("elsewhere", "n2"));
    server.put(POOLS, pool("new", "10.1.0.0/16"));
    server.put(OLDER_POOLS, pool("old", "10.2.0.0/16"));
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    let mut objects: Vec<&str> = told.iter().map(String::as_str).filter(|word| word.starts_with('+')).collect();
    objects.sort_unstable();
    assert_eq!(objects, ["+ IPPool/new", "+ IPPool/old", "+ Namespace/default", "+ Node/n1", "+ Pod/default/here"]);
    server.put(POOLS, pool("third", "10.3.0.0/16"));
    assert_eq!(heard.objects_until("+ IPPool/third"), ["+ IPPool/third"]);
    server.delete(PODS, "here");
    assert_eq!(heard.objects_until("- Pod/default/here"), ["- Pod/default/here"]);
}

#[test]
fn requests_say_who_asks_and_ask_for_no_more_than_is_needed() {
    let server = Server::start();
    let mut heard = Heard::of(&server);
    heard.until_in_sync();
    for (asked, accept, agent) in server.asked() {
        assert_eq!(agent, concat!("margay-agent/", env!("CARGO_PKG_VERSION")));
        let (path, query) = asked.split_once('?').expect("a query");
        assert!(path != PODS || query.contains("fieldSelector=spec.nodeName%3Dn1"), "{asked}");
        assert!(path != NAMESPACES || accept.contains("as=PartialObjectMetadata"), "{asked}: {accept}");
    }
}

#[test]
fn kinds_that_a_ready_server_does_not_know_are_not_waited_for_and_are_read_when_they_come() {
    let server = Server::start();
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    let last = told.iter().rev().find(|word| word.starts_with("server")).expect("a word");
    assert!(last.contains("unlisted []") && last.contains("IPPool"), "{last}");
    server.put(POOLS, pool("a", "10.1.0.0/16"));
    assert_eq!(heard.objects_until("+ IPPool/a"), ["+ IPPool/a"]);
}

#[test]
fn policies_of_the_cluster_are_missed_by_nobody_and_read_when_their_kind_comes() {
    let server = Server::start();
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    let last = told.iter().rev().find(|word| word.starts_with("server")).expect("a word");
    assert!(last.contains("unlisted []") && !last.contains("ClusterNetworkPolicy"), "{last}");
    let spec = json!({"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}});
    let policies = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
    server.put(policies, json!({"metadata": {"name": "a"}, "spec": spec}));
    assert_eq!(heard.objects_until("+ ClusterNetworkPolicy/a"), ["+ ClusterNetworkPolicy/a"]);
}

#[test]
fn a_kind_is_looked_for_when_a_definition_of_its_group_comes_or_changes_and_not_when_its_turn_comes() {
    let server = Server::start();
    server.define(DEFINITIONS);
    let mut heard = Heard::of(&server);
    heard.until_in_sync();
    let of_version = |asked: &[Asked], version: &str| {
        let path = format!("/apis/{version}?");
        asked.iter().filter(|(asked, ..)| *asked == path).count()
    };
    let looks = |version: &str| of_version(&server.asked(), version);
    let (announced, other) = ("policy.networking.k8s.io/v1alpha2", "crd.projectcalico.org/v1");
    let (first, others_first) = (looks(announced), looks(other));
    // Their turns come after times that double, alike for both: so many of them would take minutes.
    for _ in 0..6 {
        let before = looks(announced);
        server.put(DEFINITIONS, named("clusternetworkpolicies.policy.networking.k8s.io"));
        assert!(server.until_asked(PATIENCE, |asked| of_version(asked, announced) >= before + REQUESTS));
    }
    let (looks, others) = (looks(announced) - first, looks(other) - others_first);
    assert!(others + REQUESTS < looks, "{others} requests for a group that nobody announced, {looks} for the other");
    for (asked, accept, _) in server.asked().iter().filter(|(asked, ..)| asked.starts_with(DEFINITIONS)) {
        assert!(accept.contains("as=PartialObjectMetadata"), "{asked}: {accept}");
    }
}

#[test]
fn an_agent_that_may_not_watch_definitions_is_in_sync_all_the_same_and_finds_a_new_kind_by_looking() {
    let server = Server::start();
    server.forbid(&[DEFINITIONS]);
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    assert!(!told.iter().any(|word| word.contains("forbidden")), "{told:#?}");
    server.put(POOLS, pool("a", "10.1.0.0/16"));
    assert_eq!(heard.objects_until("+ IPPool/a"), ["+ IPPool/a"]);
    let asked = server.asked().iter().filter(|(asked, ..)| asked.starts_with(DEFINITIONS)).count();
    assert!((1..=3).contains(&asked), "asked {asked} times for what it may not have");
}

#[test]
fn policies_of_the_older_storage_go_by_the_names_that_users_gave_them() {
    let server = Server::start();
    let (present, older) = ["projectcalico.org/v3", "crd.projectcalico.org/v1"]
        .map(|group| format!("/apis/{group}/globalnetworkpolicies"))
        .into();
    let policy = |name: &str, order: u32| json!({"metadata": {"name": name}, "spec": {"order": order}});
    server.put(&older, policy("default.dns", 1));
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    assert!(told.contains(&"+ GlobalNetworkPolicy/dns".to_string()), "{told:#?}");
    // The newer group's is another object by its stored name, and the same to users.
    server.put(&present, policy("dns", 2));
    heard.objects_until("+ GlobalNetworkPolicy/dns");
    server.delete(&present, "dns");
    heard.objects_until("+ GlobalNetworkPolicy/dns");
    server.delete(&older, "default.dns");
    heard.objects_until("- GlobalNetworkPolicy/dns");
}

#[test]
fn a_server_that_has_just_begun_makes_no_kind_absent() {
    let server = Server::start();
    server.ready(false);
    let mut heard = Heard::of(&server);
    // Everything else is listed, and still it is not in sync.
    let told = heard.until(|word| word.contains("unlisted") && !word.contains("\"Node\"") && word.contains("IPPool"));
    assert!(!told.contains(&"in sync".to_string()), "{told:#?}");
    server.put(POOLS, pool("a", "10.1.0.0/16"));
    server.ready(true);
    let told = heard.until_in_sync();
    assert!(told.contains(&"+ IPPool/a".to_string()), "{told:#?}");
}

#[test]
fn objects_stay_while_the_server_is_away_and_a_list_anew_makes_only_differences() {
    let mut server = Server::start();
    ["a", "b", "c"].iter().for_each(|name| server.put(NODES, named(name)));
    server.put(POOLS, pool("p", "10.1.0.0/16"));
    let mut heard = Heard::of(&server);
    heard.until_in_sync();
    server.stop();
    let told = heard.until(|word| word.starts_with("server away"));
    assert!(told.iter().all(|word| word.starts_with("server")), "{told:#?}");
    server.delete(NODES, "b");
    server.put(NODES, named("d"));
    // So long that the server has forgotten what happened.
    server.compact();
    server.resume();
    let told = heard.objects_until("- Node/b");
    assert_eq!(told, ["+ Node/d", "- Node/b"]);
    server.put(NODES, named("e"));
    assert_eq!(heard.objects_until("+ Node/e"), ["+ Node/e"]);
}

#[test]
fn a_watch_that_breaks_goes_on_where_it_was() {
    let mut server = Server::start();
    server.put(NODES, named("a"));
    let mut heard = Heard::of(&server);
    heard.until_in_sync();
    let lists =
        |server: &Server| server.asked().iter().filter(|(a, ..)| a.starts_with(NODES) && !a.contains("watch")).count();
    assert_eq!(lists(&server), 1);
    server.stop();
    heard.until(|word| word.starts_with("server away"));
    server.put(NODES, named("b"));
    server.resume();
    assert_eq!(heard.objects_until("+ Node/b"), ["+ Node/b"]);
    assert_eq!(lists(&server), 1);
}

#[test]
fn a_token_that_was_rotated_is_read_again_when_the_old_one_is_refused() {
    let server = Server::start();
    server.put(NODES, named("a"));
    server.accept("second");
    let mut heard = Heard::of(&server);
    let told = heard.until(|word| word.starts_with("server away: 401"));
    assert!(!told.contains(&"in sync".to_string()));
    fs::write(heard.directory.path().join("token"), "second").expect("written");
    let told = heard.until_in_sync();
    assert!(told.contains(&"+ Node/a".to_string()), "{told:#?}");
}

#[test]
fn a_secret_is_asked_for_by_name_once_something_refers_to_it_and_let_go_after() {
    let server = Server::start();
    let secret =
        |name: &str| json!({"metadata": {"name": name, "namespace": "kube-system"}, "data": {"k": "aHVudGVyMg=="}});
    ["bgp", "other"].iter().for_each(|name| server.put(SECRETS, secret(name)));
    server.put(PEERS, peer("tor", "bgp"));
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    assert!(told.contains(&"+ Secret/kube-system/bgp".to_string()), "in sync before the password was there: {told:#?}");
    server.delete(PEERS, "tor");
    assert_eq!(heard.objects_until("- Secret/kube-system/bgp"), ["- BGPPeer/tor", "- Secret/kube-system/bgp"]);
    let asked = server.asked();
    let mut of_secrets = asked.iter().map(|(asked, ..)| asked).filter(|asked| asked.contains("secrets"));
    assert!(of_secrets.all(|asked| asked.contains("fieldSelector=metadata.name%3Dbgp")), "{asked:#?}");
}

#[test]
fn services_are_asked_for_while_their_addresses_are_announced_and_known_before_anything_is_said() {
    const SERVICES: &str = "/api/v1/services";
    const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
    const CONFIGURATIONS: &str = "/apis/projectcalico.org/v3/bgpconfigurations";
    let server = Server::start();
    let in_shop =
        |name: &str| json!({"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}});
    server.put(SERVICES, json!({"metadata": in_shop("web"), "spec": {"clusterIP": "10.96.0.10"}}));
    let endpoint = json!({"addresses": ["10.244.1.5"], "nodeName": "n1", "conditions": {"ready": true}});
    server.put(SLICES, json!({"metadata": in_shop("web-1"), "addressType": "IPv4", "endpoints": [endpoint]}));
    let blocks = json!({"serviceClusterIPs": [{"cidr": "10.96.0.0/16"}]});
    server.put(CONFIGURATIONS, json!({"metadata": {"name": "default"}, "spec": blocks}));
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    for object in ["+ Service/shop/web", "+ EndpointSlice/shop/web-1"] {
        assert!(told.contains(&object.to_string()), "a restart would withdraw for a moment: {told:#?}");
    }
    server.delete(SLICES, "web-1");
    assert_eq!(heard.objects_until("- EndpointSlice/shop/web-1"), ["- EndpointSlice/shop/web-1"]);
    server.put(CONFIGURATIONS, json!({"metadata": {"name": "default"}, "spec": {}}));
    let told = heard.objects_until("- Service/shop/web");
    assert_eq!(told, ["+ BGPConfiguration/default", "- Service/shop/web"]);
}

#[test]
fn pods_of_other_nodes_are_known_before_anything_is_said_where_a_policy_names_pods_and_not_otherwise() {
    const POLICIES: &str = "/apis/networking.k8s.io/v1/networkpolicies";
    let policy = |from: Value| {
        let spec = json!({"podSelector": {}, "ingress": [{"from": from}]});
        json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    };
    let server = Server::start();
    let mut ended = pod("ended", "n2");
    ended["status"] = json!({"phase": "Succeeded"});
    for pod in [pod("here", "n1"), pod("there", "n2"), json!({"metadata": {"name": "nowhere"}}), ended] {
        server.put(PODS, pod);
    }
    server.put(POLICIES, policy(json!([{"podSelector": {}}])));
    let mut heard = Heard::of(&server);
    let told = heard.until_in_sync();
    let pods: Vec<&String> = told.iter().filter(|word| word.contains("Pod/")).collect();
    assert_eq!(pods.len(), 2, "{told:#?}");
    assert!(["+ Pod/default/here", "+ Pod/default/there"].iter().all(|pod| pods.iter().any(|told| told == pod)));
    server.put(POLICIES, policy(json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}])));
    let told = heard.objects_until("- Pod/default/there");
    assert_eq!(told, ["+ NetworkPolicy/default/web", "- Pod/default/there"]);
}

#[test]
fn a_kind_that_may_not_be_listed_is_waited_for_and_named_but_a_secret_is_not_waited_for() {
    let server = Server::start();
    server.define(POOLS);
    server.put(PEERS, peer("tor", "bgp"));
    server.forbid(&[POOLS, SECRETS]);
    let mut heard = Heard::of(&server);
    let told = heard.until(|word| word.contains("unlisted [\"IPPool (403 forbidden: not for you)\"]"));
    assert!(!told.contains(&"in sync".to_string()), "{told:#?}");
    server.forbid(&[SECRETS]);
    let told = heard.until_in_sync();
    let errors = told.iter().rev().find(|word| word.starts_with('!'));
    assert_eq!(errors.map(String::as_str), Some("! API server: Secret/bgp: 403 forbidden: not for you"), "{told:#?}");
}

#[test]
fn an_object_whose_newest_version_cannot_be_read_stays_as_it_was() {
    let server = Server::start();
    server.put(POOLS, pool("a", "10.1.0.0/16"));
    let mut heard = Heard::of(&server);
    heard.until_in_sync();
    server.put(POOLS, pool("a", "10.1.0.1/16"));
    let told = heard.until(|word| word.starts_with('!'));
    assert_eq!(told, ["! API server: IPPool/a: spec.cidr: 10.1.0.1/16 has host bits set: did you mean 10.1.0.0/16?"]);
    server.put(POOLS, pool("a", "10.1.0.0/16"));
    assert_eq!(heard.until(|word| word.is_empty()), [""], "no fact but that there is no error");
}
