//! Comparing replicas, on demand.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use miroir_core::error::{ApiError, ErrorType};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Admin;
use super::changes::Body;
use super::openapi::Error;
use super::reply::Refused;
use crate::anti_entropy::{self, Report, check};

/// What is to be compared.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Whether what is found is to be repaired, too.
    #[serde(default)]
    repair: bool,
    /// The index; all if not given.
    #[serde(default)]
    index_uid: Option<String>,
}

/// Begins to compare all replicas of each shard, and looks for documents where they should not be.
#[utoipa::path(
    post, path = "/_miroir/anti-entropy", tag = "rebalance", operation_id = "checkReplicas", request_body = Order,
    responses((status = 202, body = Object), (status = 404, body = Error), (status = 409, body = Error), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn begin(
    State(admin): State<Admin>,
    Body(order): Body<Order>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    if let Some(uid) = &order.index_uid
        && admin.cluster.store.index(uid).await?.is_none()
    {
        return Err(Refused(miroir_core::error::index_not_found(uid)));
    }
    let cluster = admin.cluster;
    let begun = anti_entropy::begin(&cluster, order.repair).await?;
    tokio::spawn(async move { check(&cluster, begun, order.index_uid.as_deref()).await });
    Ok((StatusCode::ACCEPTED, Json(json!({"message": "GET /_miroir/anti-entropy tells what is found."}))))
}

/// Tells what the last check has found, or the one that runs has by now.
#[utoipa::path(
    get, path = "/_miroir/anti-entropy", tag = "rebalance", operation_id = "getCheck",
    responses((status = 200, body = Report), (status = 404, body = Error), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn report(State(admin): State<Admin>) -> Result<Json<Report>, Refused> {
    admin.cluster.anti_entropy.last().map(Json).ok_or_else(|| {
        let message = "The replicas were not compared since the control plane started: POST here to begin.";
        Refused(ApiError::new(404, "not_found", ErrorType::InvalidRequest, message))
    })
}
