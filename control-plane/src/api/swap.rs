//! `/swap-indexes`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use miroir_core::error::is_index_uid;
use serde::Deserialize;
use serde_json::Value;

use super::auth::{action, invalid_api_key};
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::indexes;
use crate::store::IndexSwap;
use crate::tasks::view;

pub fn routes() -> Router<Api> {
    Router::new().route("/swap-indexes", post(swap))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    indexes: (String, String),
    #[serde(default)]
    rename: bool,
}

async fn swap(State(api): State<Api>, request: ClientRequest) -> Result<(StatusCode, Json<Value>), Failure> {
    let access = api.authorize(&request.headers, action::INDEXES_SWAP, None).await?;
    let is_list = |body: &Value| body.as_array().is_some_and(|pairs| pairs.iter().all(Value::is_object));
    let body = request.json().filter(is_list);
    let pairs = body.and_then(|body| serde_json::from_value::<Vec<Pair>>(body).ok());
    let is_valid = |pair: &Pair| is_index_uid(&pair.indexes.0) && is_index_uid(&pair.indexes.1);
    let Some(pairs) = pairs.filter(|pairs| pairs.iter().all(is_valid)) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let swaps: Vec<IndexSwap> =
        pairs.into_iter().map(|Pair { indexes, rename }| IndexSwap { indexes, rename }).collect();
    if !swaps.iter().flat_map(IndexSwap::uids).all(|uid| access.covers(uid)) {
        return Err(invalid_api_key().into());
    }
    indexes::check_swaps(&swaps)?;
    let task = indexes::swap(&api.cluster, swaps).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}
