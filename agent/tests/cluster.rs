//! The hand that says things to the API, before an API server that only remembers what it is asked and fails on demand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::api_server::{Access, ApiServer};
use agent::apply::cluster::{self, Witness, problems};
use agent::plan::report::{
    Availability, Event, Network, NodeReport, Regarding, Report, Reports, Says, Subject, Survey,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use model::NodeName;
use model::api::show::{NodeStatusView, ReportState, ReportView};
use model::object::{Kind, ObjectKey, StatusClass};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the server holds, what it was asked, and what it answers instead.
#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Value>,
    asked: Vec<String>,
    refuses: Option<StatusCode>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Held>>);

impl Server {
    async fn start(self) -> ApiServer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::task::spawn_blocking(move || connect(address)).await.unwrap()
    }
    fn hold(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.into(), object);
    }
    fn refuse(&self, with: Option<StatusCode>) {
        self.0.lock().unwrap().refuses = with;
    }
    fn writes(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.iter().filter(|line| !line.starts_with("GET")).cloned().collect()
    }
    fn reads(&self) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|line| line.starts_with("GET")).count()
    }
}

fn connect(address: SocketAddr) -> ApiServer {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    ApiServer::start(Access::Kubeconfig(file.path().to_path_buf())).unwrap()
}

/// Server-side apply is taken as if nobody else owned anything: conditions and annotations are put in place.
async fn answer(State(server): State<Server>, method: Method, uri: Uri, body: Bytes) -> axum::response::Response {
    let mut held = server.0.lock().unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let force = if uri.query().unwrap_or_default().contains("force=true") { " force" } else { "" };
    held.asked.push(format!("{method} {}{force} {body}", uri.path()));
    if let Some(code) = held.refuses {
        return (code, status(code).to_string()).into_response();
    }
    let path = uri.path().trim_end_matches("/status").to_string();
    if method == Method::POST {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("{path}/{name}");
        if held.objects.contains_key(&path) {
            return (StatusCode::CONFLICT, status(StatusCode::CONFLICT).to_string()).into_response();
        }
        held.objects.insert(path, body.clone());
        return (StatusCode::CREATED, body.to_string()).into_response();
    }
    let Some(object) = held.objects.get_mut(&path) else {
        return (StatusCode::NOT_FOUND, status(StatusCode::NOT_FOUND).to_string()).into_response();
    };
    if method == Method::PATCH && body.is_object() {
        for field in ["status", "series"] {
            if !body[field].is_null() {
                object[field] = body[field].clone();
            }
        }
    }
    object.to_string().into_response()
}

fn status(code: StatusCode) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "as told", "reason": "Told",
        "code": code.as_u16() })
}

/// Knows how the node is, and passes on how the reports stand.
struct Bystander(watch::Sender<Vec<ReportView>>);

impl Witness for Bystander {
    async fn survey(&self) -> Option<Survey> {
        let node = NodeStatusView {
            policy_only: false,
            node: "n1".into(),
            version: "1".into(),
            since: "2027-01-15T08:00:00Z".into(),
            configured: None,
            asn: "64512".parse().ok(),
            router_id: "10.0.0.1".parse().ok(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            ready: true,
            own_addresses: vec![],
            problems: vec![],
            advice: vec![],
            api_server: None,
            drain: None,
            peers: vec![],
            reports: vec![],
        };
        Some(Survey { node, paths: vec![], kernel: vec![] })
    }
    fn stand(&self, reports: Vec<ReportView>) {
        self.0.send_replace(reports);
    }
}

struct Trial {
    server: Server,
    api: ApiServer,
    want: watch::Sender<Reports>,
    stand: watch::Receiver<Vec<ReportView>>,
}

impl Trial {
    async fn new() -> Trial {
        let server = Server::default();
        let api = server.clone().start().await;
        let (want, reports) = watch::channel(Reports::new());
        let (told, stand) = watch::channel(Vec::new());
        cluster::start(&api, name("n1"), reports, Bystander(told));
        Trial { server, api, want, stand }
    }
    /// Waits until every report, of which there are some, is in such a state.
    async fn all(&mut self, state: ReportState) -> Vec<ReportView> {
        let there = self.stand.wait_for(|views| !views.is_empty() && views.iter().all(|view| view.state == state));
        tokio::time::timeout(Duration::from_secs(20), there).await.expect("in time").unwrap().clone()
    }
    fn wants(&self, subject: Subject, says: Says) {
        self.want.send_modify(|reports| {
            reports.insert(subject, Report { says, turn: Duration::ZERO });
        });
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}
fn up() -> NodeReport {
    let network = Network { availability: Availability::Available, reason: "MargayIsUp", message: "well".into() };
    NodeReport { network: Some(network), ..NodeReport::default() }
}
fn wrong(note: &str) -> (Subject, Says) {
    let key = ObjectKey { kind: Kind::IpPool, namespace: None, name: "p".into() };
    let event = Event { regarding: Regarding { key }, reason: "NotInForce", note: note.into() };
    (Subject::Event("IPPool/p".into(), event.id()), Says::Event(event))
}
const NODE: &str = "/api/v1/nodes/n1";
const POOL: &str = "/apis/projectcalico.org/v3/ippools/p";

fn node() -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "uid": "u1" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_says_already_is_not_written_again() {
    let mut trial = Trial::new().await;
    trial.server.hold(NODE, node());
    trial.wants(Subject::Node(name("n1")), Says::Node(up()));
    let stand = trial.all(ReportState::Said).await;
    assert_eq!(
        (stand[0].report.as_str(), stand[0].info.as_str()),
        ("Node/n1", "NetworkUnavailable=False (MargayIsUp)")
    );
    let writes = trial.server.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].starts_with("PATCH /api/v1/nodes/n1/status force {"), "{writes:?}");
    // A node that registers anew is looked at anew, and found as it should be.
    let reads = trial.server.reads();
    trial.wants(Subject::Node(name("n1")), Says::Node(NodeReport { uid: Some("u1".into()), ..up() }));
    trial.stand.wait_for(|views| views[0].info.is_empty()).await.unwrap();
    assert_eq!((trial.server.writes().len(), trial.server.reads()), (1, reads + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_is_told_with_the_reason_and_tried_again() {
    let mut trial = Trial::new().await;
    trial.server.hold(NODE, node());
    trial.server.refuse(Some(StatusCode::FORBIDDEN));
    trial.wants(Subject::Node(name("n1")), Says::Node(up()));
    let stand = trial.all(ReportState::Failed).await;
    assert_eq!(problems(&stand), ["the API is not told: Node/n1: 403 as told"]);
    trial.server.refuse(None);
    let stand = trial.all(ReportState::Said).await;
    assert!(problems(&stand).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_one_writes_the_event_and_the_others_find_it_there() {
    let mut first = Trial::new().await;
    first.server.hold(POOL, json!({ "metadata": { "name": "p", "uid": "u" } }));
    let (subject, says) = wrong("spec.cidr: has host bits");
    first.wants(subject.clone(), says.clone());
    first.all(ReportState::Said).await;
    let (want, reports) = watch::channel(Reports::from([(subject, Report { says, turn: Duration::ZERO })]));
    let (told, mut stand) = watch::channel(Vec::new());
    cluster::start(&first.api, name("n2"), reports, Bystander(told));
    let said = stand.wait_for(|views: &Vec<ReportView>| views.iter().any(|v| v.state == ReportState::Said)).await;
    assert_eq!(said.unwrap()[0].info, "spec.cidr: has host bits (said by another node)");
    drop(want);
    let held = first.server.0.lock().unwrap();
    let events: Vec<&Value> = held.objects.values().filter(|object| object["kind"] == "Event").collect();
    assert_eq!(events.len(), 1);
    let event = events[0];
    assert_eq!(
        (&event["reportingInstance"], &event["type"], &event["reason"]),
        (&json!("n1"), &json!("Warning"), &json!("NotInForce"))
    );
    let regarding = json!({ "apiVersion": "projectcalico.org/v3", "kind": "IPPool", "name": "p", "uid": "u" });
    assert_eq!((&event["regarding"], &event["metadata"]["namespace"]), (&regarding, &json!("default")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_written_about_an_object_that_is_gone() {
    let mut trial = Trial::new().await;
    let (subject, says) = wrong("bad");
    trial.wants(subject, says);
    assert_eq!(trial.all(ReportState::Said).await[0].info, "the object is gone");
    assert!(trial.server.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_status_is_filled_and_not_written_again_while_it_says_the_same() {
    let mut trial = Trial::new().await;
    let path = "/apis/projectcalico.org/v3/caliconodestatuses/s";
    trial.server.hold(path, json!({ "metadata": { "name": "s" } }));
    let says = Says::NodeStatus { classes: vec![StatusClass::Agent], period: Duration::from_millis(20) };
    trial.wants(Subject::NodeStatus("s".into()), says);
    let again = trial.stand.wait_for(|views| views.iter().any(|view| view.info == "as it was a moment ago"));
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("in time").unwrap();
    assert_eq!(trial.server.writes().len(), 1);
    let held = trial.server.0.lock().unwrap();
    let status = &held.objects[path]["status"];
    assert_eq!(status["agent"]["birdV4"]["state"], "Ready");
    assert_eq!(status["agent"]["birdV6"]["state"], "NotReady");
    assert_eq!(status["agent"]["birdV4"]["routerID"], "10.0.0.1");
    assert!(status["lastUpdated"].as_str().is_some_and(|text| text.ends_with('Z')));
    assert!(status.get("bgp").is_none(), "only what was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farewell_says_that_the_network_is_gone() {
    let trial = Trial::new().await;
    assert_eq!(cluster::say_farewell(&trial.api, &name("n1")).await, Ok(()), "no Node is none to say it of");
    let whose = |reason: &str| {
        let mut node = node();
        node["status"]["conditions"] = json!([{"type": "NetworkUnavailable", "status": "False", "reason": reason}]);
        trial.server.hold(NODE, node);
    };
    whose("FlannelIsUp");
    assert_eq!(cluster::say_farewell(&trial.api, &name("n1")).await, Ok(()));
    assert_eq!(trial.server.writes(), Vec::<String>::new(), "the network is another's, and is there");
    whose("MargayIsUp");
    assert_eq!(cluster::say_farewell(&trial.api, &name("n1")).await, Ok(()));
    assert!(
        trial.server.writes()[0].contains(r#""reason":"MargayIsGone","status":"True""#),
        "{:?}",
        trial.server.writes()
    );
    trial.server.refuse(Some(StatusCode::FORBIDDEN));
    assert_eq!(cluster::say_farewell(&trial.api, &name("n1")).await, Err("403 as told".into()));
}
