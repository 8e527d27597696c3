//! Makes a new cluster's first pools, once, if there is no pool at all when the agent begins.

use std::time::Duration;

use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::sync::watch;

use crate::api_server::{ApiServer, part, reason};
use crate::plan::first_pool::FirstPools;
use crate::reconcile::Status;

const POOLS: &str = "/apis/projectcalico.org/v3/ippools";
/// Between two attempts; less some part of it, as all nodes of a new cluster come at once.
const AGAIN: Duration = Duration::from_secs(5);

/// Waits until the objects are known, and makes the pools if there is none. Another node may have been first.
pub async fn make(api: ApiServer, pools: FirstPools, mut status: watch::Receiver<Status>) {
    let Ok(known) = status.wait_for(|status| status.pools.is_some()).await.map(|status| status.pools) else { return };
    if known != Some(0) {
        return;
    }
    for pool in pools.objects() {
        while let Err(error) = create(&api, &pool).await {
            tracing::warn!(pool = %pool["spec"]["cidr"], %error, "the first pool can't be made; trying again");
            if error.starts_with("401") {
                api.renew().await;
            }
            tokio::time::sleep(AGAIN - part(AGAIN / 2)).await;
        }
    }
}

async fn create(api: &ApiServer, pool: &Value) -> Result<(), String> {
    let request = Request::post(POOLS).header(CONTENT_TYPE, "application/json").body(pool.to_string().into_bytes());
    let request = request.map_err(|error| error.to_string())?;
    match api.client().request::<Value>(request).await {
        Ok(_) => {
            tracing::info!(pool = %pool["spec"]["cidr"], "there was no pool: made the first one");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}
