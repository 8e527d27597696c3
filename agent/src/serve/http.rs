//! Metrics and probes over HTTP.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use model::api::show::Show;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::Front;
use super::bounded::Bounded;
use super::metrics::Seen;

/// A loop that does not answer for so long is not alive.
const ALIVE: Duration = Duration::from_secs(5);

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// How long one may last: several scrapes, and no more.
const LIFETIME: Duration = Duration::from_secs(60);

/// Serves `/metrics`, `/livez` and `/readyz` for ever.
///
/// # Errors
/// Those of `accept`.
pub async fn serve_http(listener: TcpListener, front: Front) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(front);
    axum::serve(Bounded::new(listener, CONNECTIONS, LIFETIME), router).await
}

async fn metrics(State(front): State<Front>) -> impl IntoResponse {
    let seen = async {
        let peers = front.peers().await?;
        let pods = front.view(Show::Pods).await?;
        let policies = front.policy_totals().await?;
        let (status, refused) = (front.status(), front.refused());
        Ok::<Seen, model::api::Refusal>(Seen { status, peers, pods, refused, policies })
    };
    let plain = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    match timeout(ALIVE, seen).await {
        Ok(Ok(seen)) => match front.metrics.text(&seen) {
            Ok(text) => (StatusCode::OK, plain, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, plain, format!("{error}\n")),
        },
        Ok(Err(refusal)) => (StatusCode::SERVICE_UNAVAILABLE, plain, format!("{}\n", refusal.message)),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, plain, "a loop of the agent does not answer\n".to_string()),
    }
}

/// Both loops answer.
async fn livez(State(front): State<Front>) -> (StatusCode, String) {
    let asked = async { front.peers().await.and(front.view::<serde_json::Value>(Show::ObjectErrors).await) };
    match timeout(ALIVE, asked).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n".into()),
        Ok(Err(refusal)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", refusal.message)),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "a loop of the agent does not answer\n".into()),
    }
}

/// An ADD can be served, and the runtime knows whom to ask.
async fn readyz(State(front): State<Front>) -> (StatusCode, String) {
    let status = front.status();
    match status.not_ready.or(status.not_installed) {
        None => (StatusCode::OK, "ok\n".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
