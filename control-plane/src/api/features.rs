//! `/experimental-features`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::instance::features;

type Answer = Result<Json<Map<String, Value>>, Failure>;

pub fn routes() -> Router<Api> {
    Router::new().route("/experimental-features", get(show).patch(update))
}

async fn show(State(api): State<Api>, headers: HeaderMap) -> Answer {
    api.authorize(&headers, action::EXPERIMENTAL_FEATURES_GET, None).await?;
    Ok(Json(features::get(&api.cluster).await?))
}

async fn update(State(api): State<Api>, request: ClientRequest) -> Answer {
    api.authorize(&request.headers, action::EXPERIMENTAL_FEATURES_UPDATE, None).await?;
    let Some(changes) = request.json() else { return Err(request.refusal(&api.cluster).await) };
    Ok(Json(features::update(&api.cluster, &changes).await?))
}
