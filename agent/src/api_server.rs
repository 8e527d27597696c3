//! The API server: where it is, who we are to it, and the thread on which everything that talks to it runs.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use futures_util::FutureExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::watch;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard for so long is dead: a server bookmarks even an idle watch every minute.
const SILENCE: Duration = Duration::from_secs(90);
/// How often credentials are read anew, at most, when the server refuses them.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// How the API server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As every pod finds it: `KUBERNETES_SERVICE_HOST`, and the service account's token and CA, both read again
    /// when they are rotated.
    InCluster,
    /// `--kubeconfig`: this file's current context.
    Kubeconfig(PathBuf),
}

/// Why there can be no talk with the API server, before a single request.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file can't be read, or says something that can't be used.
    #[error("--kubeconfig {0}: {1}")]
    Kubeconfig(PathBuf, kube::config::KubeconfigError),
    /// No environment, token or CA of a pod.
    #[error("--kubernetes: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The credentials can't be used.
    #[error("the API server's client: {0}")]
    Client(#[from] kube::Error),
    /// The thread can't be made.
    #[error(transparent)]
    Thread(#[from] io::Error),
}

/// The way to the API server, shared by all hands that talk to it. They run on a thread of their own ([`Self::spawn`]):
/// neither loop waits for them.
#[derive(Clone)]
pub struct ApiServer {
    access: Access,
    runtime: tokio::runtime::Handle,
    address: String,
    namespace: String,
    /// With the time at which it was last made anew.
    current: Arc<Mutex<(Client, Option<Instant>)>>,
    /// Whether a hand has panicked.
    broken: watch::Sender<bool>,
}

impl ApiServer {
    /// Reads the credentials and starts the thread. No request is made yet: a server that is away is none the worse.
    pub fn start(access: Access) -> Result<ApiServer, Unusable> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let config = runtime.block_on(config(&access))?;
        let (address, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = runtime.block_on(async { Client::try_from(config) })?;
        let server = ApiServer {
            access,
            runtime: runtime.handle().clone(),
            address: address.trim_end_matches('/').to_string(),
            namespace,
            current: Arc::new(Mutex::new((client, None))),
            broken: watch::channel(false).0,
        };
        std::thread::Builder::new()
            .name("api-server".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(server)
    }

    /// Runs a hand on the API server's thread. It must not block.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(&self, hand: F) -> tokio::task::JoinHandle<()> {
        let broken = self.broken.clone();
        self.runtime.spawn(async move {
            if AssertUnwindSafe(hand).catch_unwind().await.is_err() {
                broken.send_replace(true);
            }
        })
    }

    /// Waits until a hand has panicked. What it did is done by nobody any more, and nothing would show it: the agent must end,
    /// and be started anew.
    pub async fn broken(&self) {
        // We hold the sender: it does not go.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }

    /// A client with the present credentials; for use on the API server's thread.
    pub fn client(&self) -> Client {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// `https://host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The agent's own namespace: its pod's, or that of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The server refused our credentials (401): they are read again, in case that the files have changed meanwhile.
    pub async fn renew(&self) {
        let before = self.current.lock().unwrap_or_else(PoisonError::into_inner).1;
        if before.is_some_and(|at| at.elapsed() < RENEWAL) {
            return;
        }
        let client = match config(&self.access).await {
            Ok(config) => Client::try_from(config).map_err(Unusable::from),
            Err(error) => Err(error),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.1 = Some(Instant::now());
        match client {
            Ok(client) => current.0 = client,
            Err(error) => tracing::warn!(%error, "the credentials can't be read again; the old ones stay"),
        }
    }
}

async fn config(access: &Access) -> Result<Config, Unusable> {
    let mut config = match access {
        Access::InCluster => Config::incluster()?,
        Access::Kubeconfig(path) => {
            let broken = |error| Unusable::Kubeconfig(path.clone(), error);
            let file = Kubeconfig::read_from(path).map_err(broken)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(broken)?
        }
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // Else a connection that sat idle in the pool fails the next request.
    config.reset_reader_on_write = true;
    // Each hand has its own patience.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("margay-agent/", env!("CARGO_PKG_VERSION")))));
    Ok(config)
}

/// What went wrong with a request, in a few words for a person; never what an object holds.
pub fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => format!("{} {}", status.code, status.reason),
        kube::Error::Api(status) => format!("{} {}", status.code, first_line(&status.message)),
        // serde quotes what it does not like.
        kube::Error::SerdeError(_) => "an answer that is not understood".into(),
        other => deepest(other),
    }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The innermost cause: "connection refused" says more than "client error".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Asks for something of which only the success counts.
pub async fn ask(client: &Client, path: &str) -> Result<(), kube::Error> {
    let request = axum::http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await.map(drop)
}

/// Some part of a time, another at each call: a thousand agents must not come at once.
pub fn part(of: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let [octet, ..] = RandomState::new().hash_one(of).to_ne_bytes();
    of.mul_f64(f64::from(octet) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_that_panics_is_noticed_and_one_that_ends_or_is_ended_is_none_such() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        let config = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}"#;
        std::fs::write(&path, config).unwrap();
        let api = ApiServer::start(Access::Kubeconfig(path)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (ended, aborted) = (api.spawn(async {}), api.spawn(std::future::pending()));
        aborted.abort();
        assert_eq!(runtime.block_on(async { (ended.await.is_ok(), aborted.await.is_err()) }), (true, true));
        assert!(!*api.broken.borrow());
        drop(api.spawn(async { panic!("as a bug would") }));
        let noticed = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), api.broken()).await });
        assert!(noticed.is_ok());
    }
}
