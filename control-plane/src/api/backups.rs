//! `/dumps` and `/snapshots`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

use super::auth::action;
use super::{Api, Failure};
use crate::instance::backups;
use crate::tasks::view;

type Accepted = Result<(StatusCode, Json<Value>), Failure>;

pub fn routes() -> Router<Api> {
    Router::new().route("/dumps", post(dump)).route("/snapshots", post(snapshot))
}

async fn dump(State(api): State<Api>, headers: HeaderMap) -> Accepted {
    api.authorize(&headers, action::DUMPS_CREATE, None).await?;
    let task = backups::dump(&api.cluster).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}

async fn snapshot(State(api): State<Api>, headers: HeaderMap) -> Accepted {
    api.authorize(&headers, action::SNAPSHOTS_CREATE, None).await?;
    let task = backups::snapshot(&api.cluster).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}
