//! Objects of address management over HTTP, in whichever of Calico's two groups the cluster has them.

use std::collections::BTreeSet;

use axum::http::Request;
use kube::Client;
use serde_json::{Value, json};

/// Objects in one page of a list.
const PAGE: usize = 100;

/// Where the cluster has its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// `projectcalico.org/v3`.
    Present,
    /// `crd.projectcalico.org/v1`: a cluster of Calico's, whose blocks count.
    Older,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPAMBlock.
    Block,
    /// BlockAffinity.
    Affinity,
    /// IPAMHandle.
    Handle,
}

/// What came of a write.
pub enum Wrote {
    /// It is done; the object as it is now.
    Now(Value),
    /// Another was faster: the object is there already, is another version, or is gone.
    Other,
}

/// One page of a list.
pub struct Page {
    /// The objects.
    pub items: Vec<Value>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Kind {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Block => ("IPAMBlock", "ipamblocks"),
            Kind::Affinity => ("BlockAffinity", "blockaffinities"),
            Kind::Handle => ("IPAMHandle", "ipamhandles"),
        }
    }
}

/// There is no place for blocks.
#[derive(Debug, thiserror::Error)]
pub enum NoStorage {
    /// No definition of the kinds.
    #[error("the API server knows no IPAMBlock: the CustomResourceDefinitions are missing")]
    Absent,
    /// It can't be asked.
    #[error("{0}")]
    Unanswered(String),
}

impl Storage {
    /// The older storage where it has blocks already, or where there is no other; else the present one. What is decided
    /// by what every node sees is decided alike by all.
    pub async fn find(client: &Client) -> Result<Storage, NoStorage> {
        let failed = |error: kube::Error| NoStorage::Unanswered(crate::api_server::reason(&error));
        let present = Storage::Present.is_there(client).await.map_err(failed)?;
        let older = Storage::Older.is_there(client).await.map_err(failed)?;
        match (present, older) {
            (true, false) => Ok(Storage::Present),
            (false, true) => Ok(Storage::Older),
            (false, false) => Err(NoStorage::Absent),
            (true, true) => {
                let page = Storage::Older.list(client, Kind::Block, None).await.map_err(failed)?;
                Ok(if page.items.is_empty() { Storage::Present } else { Storage::Older })
            }
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Storage::Present => "projectcalico.org/v3",
            Storage::Older => "crd.projectcalico.org/v1",
        }
    }

    async fn is_there(self, client: &Client) -> Result<bool, kube::Error> {
        let found = answer(client, "GET", &format!("/apis/{}", self.group()), None, JSON).await;
        let resources = match found {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
            other => other?,
        };
        let names = resources.get("resources").and_then(Value::as_array).into_iter().flatten();
        let names: BTreeSet<&str> = names.filter_map(|it| it.get("name")?.as_str()).collect();
        Ok([Kind::Block, Kind::Affinity, Kind::Handle].iter().all(|kind| names.contains(kind.names().1)))
    }

    fn path(self, kind: Kind, name: &str) -> String {
        let (group, plural) = (self.group(), kind.names().1);
        if name.is_empty() { format!("/apis/{group}/{plural}") } else { format!("/apis/{group}/{plural}/{name}") }
    }

    /// An object; none if it is not there.
    pub async fn get(self, client: &Client, kind: Kind, name: &str) -> Result<Option<Value>, kube::Error> {
        match answer(client, "GET", &self.path(kind, name), None, JSON).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of all objects.
    pub async fn list(self, client: &Client, kind: Kind, from: Option<&str>) -> Result<Page, kube::Error> {
        let from = from.map(|token| format!("&continue={token}")).unwrap_or_default();
        let path = format!("{}?limit={PAGE}{from}", self.path(kind, ""));
        let mut list = answer(client, "GET", &path, None, JSON).await?;
        let next = list.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty());
        let next = next.map(str::to_string);
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        // Items of a list come without these.
        let named = items.into_iter().map(|mut item| {
            if let Some(map) = item.as_object_mut() {
                map.insert("apiVersion".into(), self.group().into());
                map.insert("kind".into(), kind.names().0.into());
            }
            item
        });
        Ok(Page { items: named.collect(), next })
    }

    /// Makes an object that is not there.
    pub async fn create(self, client: &Client, kind: Kind, name: &str, spec: Value) -> Result<Wrote, kube::Error> {
        let object = json!({
            "apiVersion": self.group(), "kind": kind.names().0, "metadata": {"name": name}, "spec": spec,
        });
        outcome(answer(client, "POST", &self.path(kind, ""), Some(object), JSON).await)
    }

    /// Replaces an object's `spec` if it is still of that version; whatever else it holds stays.
    pub async fn replace(
        self,
        client: &Client,
        kind: Kind,
        name: &str,
        version: &str,
        spec: Value,
    ) -> Result<Wrote, kube::Error> {
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec", "value": spec},
        ]);
        outcome(answer(client, "PATCH", &self.path(kind, name), Some(patch), "application/json-patch+json").await)
    }

    /// Deletes an object, if a version is given only that one. One that is not there, or is another, is left as it is.
    pub async fn delete(
        self,
        client: &Client,
        kind: Kind,
        name: &str,
        version: Option<&str>,
    ) -> Result<(), kube::Error> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": version.map(|version| json!({"resourceVersion": version})),
        });
        outcome(answer(client, "DELETE", &self.path(kind, name), Some(options), JSON).await).map(drop)
    }
}

const JSON: &str = "application/json";

fn outcome(answer: Result<Value, kube::Error>) -> Result<Wrote, kube::Error> {
    match answer {
        Ok(value) => Ok(Wrote::Now(value)),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(Wrote::Other),
        Err(error) => Err(error),
    }
}

async fn answer(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<Value>,
    content: &str,
) -> Result<Value, kube::Error> {
    let body = match body {
        Some(body) => serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?,
        None => Vec::new(),
    };
    let request = Request::builder().method(method).uri(path).header("Content-Type", content).body(body);
    client.request::<Value>(request.map_err(kube::Error::HttpError)?).await
}
