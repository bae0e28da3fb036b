//! How far the rebalance is; pausing, resuming and canceling it.

use axum::Json;
use axum::extract::State;

use super::Admin;
use super::openapi::Error;
use super::reply::Refused;
use crate::rebalance::{Status, cancel as cancel_rebalance, pause as pause_rebalance, status as now};

/// Tells how far the rebalance and the repairs of replicas are.
#[utoipa::path(
    get, path = "/_miroir/rebalance", tag = "rebalance", operation_id = "getRebalance",
    responses((status = 200, body = Status), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn status(State(admin): State<Admin>) -> Result<Json<Status>, Refused> {
    Ok(Json(now(&admin.cluster).await?))
}

/// Lets nothing more be moved until it is resumed. Replicas that missed writes are still repaired.
#[utoipa::path(
    post, path = "/_miroir/rebalance/pause", tag = "rebalance", operation_id = "pauseRebalance",
    responses((status = 200, body = Status), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn pause(State(admin): State<Admin>) -> Result<Json<Status>, Refused> {
    pause_rebalance(&admin.cluster, true).await?;
    status(State(admin)).await
}

/// Lets a paused rebalance go on.
#[utoipa::path(
    post, path = "/_miroir/rebalance/resume", tag = "rebalance", operation_id = "resumeRebalance",
    responses((status = 200, body = Status), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn resume(State(admin): State<Admin>) -> Result<Json<Status>, Refused> {
    pause_rebalance(&admin.cluster, false).await?;
    status(State(admin)).await
}

/// Takes back what is not cut over yet. What was stays where it is now; `POST /_miroir/rebalance` begins anew.
#[utoipa::path(
    post, path = "/_miroir/rebalance/cancel", tag = "rebalance", operation_id = "cancelRebalance",
    responses((status = 200, body = Status), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn cancel(State(admin): State<Admin>) -> Result<Json<Status>, Refused> {
    cancel_rebalance(&admin.cluster).await?;
    status(State(admin)).await
}
