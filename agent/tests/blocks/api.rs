//! A small API server: versions that only grow, and writes that fail if they name another one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use agent::api_server::{Access, ApiServer};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

type Objects = BTreeMap<(String, String, String), Value>;

#[derive(Default)]
struct Store {
    groups: Vec<String>,
    version: u64,
    objects: Objects,
}

/// The server, and a look into it.
#[derive(Clone)]
pub struct Api {
    store: Arc<Mutex<Store>>,
    kubeconfig: Arc<tempfile::NamedTempFile>,
}

impl Api {
    /// Knows the kinds of address management in these groups.
    pub async fn start(groups: &[&str]) -> Api {
        let groups = groups.iter().map(ToString::to_string).collect();
        let store = Arc::new(Mutex::new(Store { groups, ..Store::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(store.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(file.path(), config.to_string()).unwrap();
        Api { store, kubeconfig: Arc::new(file) }
    }

    /// A client of its own for each agent.
    pub fn server(&self) -> ApiServer {
        let access = Access::Kubeconfig(self.kubeconfig.path().to_path_buf());
        std::thread::spawn(|| ApiServer::start(access).unwrap()).join().unwrap()
    }

    pub fn put(&self, group: &str, plural: &str, name: &str, spec: &str) {
        let kind = if plural == "ipamblocks" { "IPAMBlock" } else { "BlockAffinity" };
        let spec: Value = serde_json::from_str(spec).unwrap();
        let mut store = self.store.lock().unwrap();
        store.version += 1;
        let version = store.version.to_string();
        let object = json!({"apiVersion": group, "kind": kind, "metadata": {"name": name, "resourceVersion": version}, "spec": spec});
        store.objects.insert((group.into(), plural.into(), name.into()), object);
    }

    pub fn get(&self, group: &str, plural: &str, name: &str) -> Option<Value> {
        self.store.lock().unwrap().objects.get(&(group.into(), plural.into(), name.into())).cloned()
    }

    pub fn count(&self, group: &str, plural: &str) -> usize {
        self.store.lock().unwrap().objects.keys().filter(|(g, p, _)| g == group && p == plural).count()
    }

    /// The handle that holds an address, by the blocks.
    pub fn holder(&self, address: IpAddr) -> Option<String> {
        let store = self.store.lock().unwrap();
        let blocks = store.objects.iter().filter(|((_, plural, _), _)| plural == "ipamblocks");
        blocks.into_iter().find_map(|(_, block)| {
            let spec: model::object::IpamBlockSpec = serde_json::from_value(block["spec"].clone()).unwrap();
            spec.holder(spec.ordinal(address)?)?.handle_id.clone()
        })
    }
}

fn ok(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn refuse(code: StatusCode, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code.as_u16()});
    (code, [(CONTENT_TYPE, "application/json")], status.to_string()).into_response()
}

async fn answer(State(store): State<Arc<Mutex<Store>>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut store = store.lock().unwrap();
    let parts: Vec<String> = uri.path().trim_matches('/').split('/').map(str::to_string).collect();
    let ["apis", group, version, rest @ ..] = &parts.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    };
    let group = format!("{group}/{version}");
    if !store.groups.contains(&group) {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let key = |plural: &str, name: &str| (group.clone(), plural.to_string(), name.to_string());
    match (method.as_str(), rest) {
        ("GET", []) => {
            let names = ["ipamblocks", "blockaffinities", "ipamhandles"].map(|name| json!({"name": name}));
            ok(&json!({"kind": "APIResourceList", "resources": names}))
        }
        ("GET", [plural]) => {
            let of_kind = store.objects.iter().filter(|((g, p, _), _)| *g == group && p == plural);
            let items: Vec<Value> = of_kind.map(|(_, object)| object.clone()).collect();
            ok(&json!({"kind": "List", "metadata": {}, "items": items}))
        }
        ("GET", [plural, name]) => match store.objects.get(&key(plural, name)) {
            Some(object) => ok(object),
            None => refuse(StatusCode::NOT_FOUND, "NotFound"),
        },
        ("POST", [plural]) => {
            let key = key(plural, body["metadata"]["name"].as_str().unwrap());
            if store.objects.contains_key(&key) {
                return refuse(StatusCode::CONFLICT, "AlreadyExists");
            }
            keep(&mut store, key, body)
        }
        ("PATCH", [plural, name]) => {
            let key = key(plural, name);
            let Some(mut object) = store.objects.get(&key).cloned() else {
                return refuse(StatusCode::NOT_FOUND, "NotFound");
            };
            let now = object["metadata"]["resourceVersion"].clone();
            for step in body.as_array().unwrap() {
                *object.pointer_mut(step["path"].as_str().unwrap()).unwrap() = step["value"].clone();
            }
            if object["metadata"]["resourceVersion"] != now {
                return refuse(StatusCode::CONFLICT, "Conflict");
            }
            keep(&mut store, key, object)
        }
        ("DELETE", [plural, name]) => {
            let key = key(plural, name);
            let Some(object) = store.objects.get(&key) else { return refuse(StatusCode::NOT_FOUND, "NotFound") };
            let expected = &body["preconditions"]["resourceVersion"];
            if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
                return refuse(StatusCode::CONFLICT, "Conflict");
            }
            store.objects.remove(&key);
            ok(&json!({"kind": "Status", "status": "Success"}))
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn keep(store: &mut Store, key: (String, String, String), mut object: Value) -> Response {
    store.version += 1;
    object["metadata"]["resourceVersion"] = store.version.to_string().into();
    store.objects.insert(key, object.clone());
    ok(&object)
}
