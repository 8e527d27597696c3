//! What the agent answers: the CNI shim and margayctl on a unix socket, Prometheus and probes over HTTP.

mod answer;
mod bounded;
mod http;
mod metrics;
mod policies;
pub mod socket;

pub use answer::Front;
pub use http::serve_http;
