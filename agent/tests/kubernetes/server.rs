//! An API server of some hundred lines: lists, watches, discovery, tokens; and what goes wrong with them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What a request asked for: path with query, `Accept`, `User-Agent`.
pub type Asked = (String, String, String);

/// One thing that happened: version, path of the list, type, object.
type Event = (u64, String, &'static str, Value);

#[derive(Default)]
struct Cluster {
    /// By the path of their list, by name.
    lists: BTreeMap<String, BTreeMap<String, Value>>,
    events: Vec<Event>,
    version: u64,
    /// Versions before this one are forgotten.
    oldest: u64,
    token: String,
    ready: bool,
    /// Paths that are answered with 403.
    forbidden: Vec<String>,
    asked: Vec<Asked>,
    /// Somebody has asked for something.
    heard: Arc<Condvar>,
}

/// The server. It may be stopped and started.
pub struct Server {
    cluster: Arc<Mutex<Cluster>>,
    changed: watch::Sender<u64>,
    address: SocketAddr,
    /// None while it is stopped. With it go all its connections.
    serving: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Cluster>>, watch::Receiver<u64>);

impl Server {
    /// A server that is ready and has Kubernetes' own kinds only.
    pub fn start() -> Server {
        let cluster = Cluster { version: 1, token: "first".into(), ready: true, ..Cluster::default() };
        let mut server = Server {
            cluster: Arc::new(Mutex::new(cluster)),
            changed: watch::channel(0).0,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            serving: None,
        };
        ["nodes", "pods", "namespaces"].iter().for_each(|kind| server.define(&format!("/api/v1/{kind}")));
        server.define("/apis/networking.k8s.io/v1/networkpolicies");
        server.resume();
        server
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("whole")
    }

    /// Answers again, at the same address as before.
    pub fn resume(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).expect("bound");
        listener.set_nonblocking(true).expect("set");
        self.address = listener.local_addr().expect("bound");
        let shared = Shared(self.cluster.clone(), self.changed.subscribe());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, Router::new().fallback(answer).with_state(shared)).await.expect("served");
        });
        self.serving = Some(runtime);
    }

    /// Hangs up on everybody and answers no more.
    pub fn stop(&mut self) {
        drop(self.serving.take().expect("running"));
    }

    /// Knows a kind, by the path of its list.
    pub fn define(&self, list: &str) {
        self.cluster().lists.entry(list.to_string()).or_default();
    }

    /// Creates or changes an object.
    pub fn put(&self, list: &str, mut object: Value) {
        let mut cluster = self.cluster();
        cluster.version += 1;
        let version = cluster.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let name = object["metadata"]["name"].as_str().expect("a name").to_string();
        let before = cluster.lists.entry(list.to_string()).or_default().insert(name, object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        cluster.events.push((version, list.to_string(), kind, object));
        drop(cluster);
        self.changed.send_replace(version);
    }

    /// Deletes an object.
    pub fn delete(&self, list: &str, name: &str) {
        let mut cluster = self.cluster();
        cluster.version += 1;
        let version = cluster.version;
        let mut object = cluster.lists.get_mut(list).and_then(|list| list.remove(name)).expect("it is there");
        object["metadata"]["resourceVersion"] = version.to_string().into();
        cluster.events.push((version, list.to_string(), "DELETED", object));
        drop(cluster);
        self.changed.send_replace(version);
    }

    /// Forgets what happened until now: who comes with an older version is told 410.
    pub fn compact(&self) {
        let mut cluster = self.cluster();
        cluster.version += 1;
        cluster.oldest = cluster.version;
        cluster.events.clear();
    }

    /// From now on only this token is good.
    pub fn accept(&self, token: &str) {
        self.cluster().token = token.into();
    }

    /// Whether `/readyz` says so.
    pub fn ready(&self, ready: bool) {
        self.cluster().ready = ready;
    }

    /// Answers this path with 403, or does so no longer.
    pub fn forbid(&self, paths: &[&str]) {
        self.cluster().forbidden = paths.iter().map(ToString::to_string).collect();
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.cluster().asked.clone()
    }

    /// Waits until the requests are such; false if they are not within this time.
    pub fn until_asked(&self, within: Duration, holds: impl Fn(&[Asked]) -> bool) -> bool {
        let heard = self.cluster().heard.clone();
        let waited = heard.wait_timeout_while(self.cluster(), within, |cluster| !holds(&cluster.asked));
        !waited.expect("whole").1.timed_out()
    }

    /// Writes a kubeconfig and a token file, as a user of this server in the namespace `kube-system`.
    pub fn kubeconfig(&self, directory: &Path) -> std::path::PathBuf {
        let token = directory.join("token");
        std::fs::write(&token, "first").expect("written");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "x", "user": {"tokenFile": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x", "namespace": "kube-system"}}],
        });
        let path = directory.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("written");
        path
    }
}

async fn answer(State(Shared(cluster, changed)): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (path, query) = (request.uri().path().to_string(), request.uri().query().unwrap_or_default().to_string());
    let mut known = cluster.lock().expect("whole");
    let header = |name| text(request.headers(), name);
    known.asked.push((format!("{path}?{query}"), header(header::ACCEPT), header(header::USER_AGENT)));
    known.heard.notify_all();
    if header(header::AUTHORIZATION) != format!("Bearer {}", known.token) {
        return status(401, "Unauthorized");
    }
    if path == "/readyz" {
        return if known.ready { reply(StatusCode::OK, json!("ok")) } else { status(500, "not ready") };
    }
    if known.forbidden.contains(&path) {
        return status(403, "forbidden: not for you");
    }
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    };
    let selector = parameter("fieldSelector");
    if let Some(list) = known.lists.get(&path) {
        if parameter("watch").is_some() {
            let version = parameter("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or_default();
            drop(known);
            return follow(cluster, changed, path, version, selector);
        }
        let items: Vec<&Value> = list.values().filter(|object| is_chosen(object, selector.as_deref())).collect();
        let version = known.version.to_string();
        return reply(
            StatusCode::OK,
            json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": items}),
        );
    }
    let of_group = known.lists.keys().filter_map(|list| list.strip_prefix(&format!("{path}/")));
    let resources: Vec<Value> = of_group
        .map(|plural| json!({"name": plural, "kind": "K", "namespaced": false, "singularName": "", "verbs": ["list", "watch"]}))
        .collect();
    if path.starts_with("/apis/") && !resources.is_empty() {
        return reply(
            StatusCode::OK,
            json!({"groupVersion": path.trim_start_matches("/apis/"), "resources": resources}),
        );
    }
    status(404, "the server could not find the requested resource")
}

/// A watch: all events of a list after a version, for as long as the server runs.
fn follow(
    cluster: Arc<Mutex<Cluster>>,
    changed: watch::Receiver<u64>,
    path: String,
    version: u64,
    selector: Option<String>,
) -> Response<Body> {
    let begun = (cluster, changed, version, false);
    let events = futures_util::stream::unfold(begun, move |(cluster, mut changed, version, ended)| {
        let (path, selector) = (path.clone(), selector.clone());
        async move {
            if ended {
                return None;
            }
            loop {
                changed.mark_unchanged();
                let (line, version, ended) = {
                    let known = cluster.lock().expect("whole");
                    if version < known.oldest {
                        let gone = json!({"type": "ERROR", "object": status_of(410, "too old resource version")});
                        (format!("{gone}\n"), version, true)
                    } else {
                        let news = known.events.iter().filter(|(at, list, _, object)| {
                            *at > version && *list == path && is_chosen(object, selector.as_deref())
                        });
                        let lines =
                            news.map(|(_, _, kind, object)| format!("{}\n", json!({"type": kind, "object": object})));
                        (lines.collect::<String>(), known.version, false)
                    }
                };
                if !line.is_empty() {
                    let line: Result<Bytes, std::io::Error> = Ok(line.into());
                    return Some((line, (cluster, changed, version, ended)));
                }
                changed.changed().await.ok()?;
            }
        }
    });
    Response::new(Body::from_stream(events))
}

fn is_chosen(object: &Value, selector: Option<&str>) -> bool {
    let holds = |term: &str| {
        let Some((field, value)) = term.split_once('=') else { return true };
        let (field, not) = (field.trim_end_matches('!'), field.ends_with('!'));
        let text = object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str);
        (text.unwrap_or_default() == value) != not
    };
    selector.is_none_or(|selector| selector.split(',').all(holds))
}

fn decoded(value: &str) -> String {
    value.replace("%3D", "=").replace("%21", "!").replace("%2C", ",")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
}

fn status_of(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "X", "code": code})
}

fn status(code: u16, message: &str) -> Response<Body> {
    reply(StatusCode::from_u16(code).expect("a code"), status_of(code, message))
}

fn reply(code: StatusCode, body: Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = code;
    response
}
