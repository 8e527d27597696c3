//! Requests to the API server: how they are written, and what their answers mean.

use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request};
use serde_json::Value;

use super::difference::{Change, MANAGER, OwnedByAnother, Part, Patch};
use crate::api_server::{self, ApiServer};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Metadata alone of whatever object.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// A request that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 404: there is no such object, or the API does not have its kind.
    #[error("it is not there")]
    NotThere,
    /// 409: it is there already, is another by now, or another owns what was to be written.
    #[error("{0}")]
    Conflict(String),
    /// Anything else, in a few words for a person.
    #[error("{0}")]
    Otherwise(String),
}

/// Reads an object.
pub async fn get(server: &ApiServer, collection: &str, name: &str) -> Result<Value, Refused> {
    let request = Request::builder().method(Method::GET).uri(url(collection, name, "", "")?);
    send(server, request.header(ACCEPT, "application/json"), Vec::new()).await
}

/// Reads an object's metadata.
pub async fn metadata(server: &ApiServer, collection: &str, name: &str) -> Result<Value, Refused> {
    let request = Request::builder().method(Method::GET).uri(url(collection, name, "", "")?);
    send(server, request.header(ACCEPT, METADATA), Vec::new()).await
}

/// Makes an object.
pub async fn create(server: &ApiServer, collection: &str, body: &Value) -> Result<Value, Refused> {
    let request = Request::builder().method(Method::POST).uri(format!("{collection}?fieldManager={MANAGER}"));
    send(server, request.header(CONTENT_TYPE, "application/json"), body.to_string().into_bytes()).await
}

/// Makes one change to an object.
pub async fn change(server: &ApiServer, collection: &str, name: &str, change: &Change) -> Result<Value, Refused> {
    let (content, part, force, body) = match &change.patch {
        // JSON is YAML.
        Patch::Apply { part, owned_by_another, body } => {
            ("application/apply-patch+yaml", *part, *owned_by_another == OwnedByAnother::Taken, body)
        }
        Patch::Json(body) => ("application/json-patch+json", Part::Whole, false, body),
        Patch::Merge { part, body } => ("application/merge-patch+json", *part, false, body),
    };
    let part = if part == Part::Status { "/status" } else { "" };
    let request = Request::builder().method(Method::PATCH);
    let request = request.uri(url(collection, name, part, if force { "&force=true" } else { "" })?);
    send(server, request.header(CONTENT_TYPE, content), body.to_string().into_bytes()).await
}

/// Names come from the API, which has looked at them; one that would lead elsewhere is not followed.
fn url(collection: &str, name: &str, part: &str, query: &str) -> Result<String, Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if name.is_empty() || name.starts_with("..") || !name.chars().all(plain) {
        return Err(Refused::Otherwise(format!("{name:?} is not the name of an object")));
    }
    Ok(format!("{collection}/{name}{part}?fieldManager={MANAGER}{query}"))
}

async fn send(server: &ApiServer, request: axum::http::request::Builder, body: Vec<u8>) -> Result<Value, Refused> {
    let request = request.body(body).map_err(|error| Refused::Otherwise(error.to_string()))?;
    let answer = tokio::time::timeout(PATIENCE, server.client().request::<Value>(request)).await;
    let error = match answer {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => return Err(Refused::Otherwise(format!("no answer within {} s", PATIENCE.as_secs()))),
    };
    let code = match &error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    };
    let reason = api_server::reason(&error);
    match code {
        401 => {
            server.renew().await;
            Err(Refused::Otherwise(reason))
        }
        404 => Err(Refused::NotThere),
        409 => Err(Refused::Conflict(reason)),
        _ => Err(Refused::Otherwise(reason)),
    }
}
