//! `/batches` and `/batches/{uid}`.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use miroir_core::error::{ApiError, ErrorType};
use serde_json::Value;

use super::auth::action;
use super::request::ClientRequest;
use super::tasks::{Page, is_visible, list};
use super::{Api, Failure};
use crate::store::TaskQuery;
use crate::tasks::batch;

pub fn routes() -> Router<Api> {
    Router::new().route("/batches", get(get_many)).route("/batches/{uid}", get(get_one))
}

async fn get_many(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    list(api, request, read).await
}

async fn read(api: Api, query: TaskQuery) -> Result<Page, Failure> {
    let page = api.cluster.store.batches(&query).await?;
    Ok(Page {
        results: join_all(page.batches.iter().map(|batch| batch::view(&api.cluster, batch))).await,
        from: page.batches.first().map(|batch| batch.uid),
        total: page.total,
        next: page.next,
    })
}

async fn get_one(
    State(api): State<Api>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&headers, action::TASKS_GET, None).await?;
    let Ok(number) = uid.parse::<u32>() else {
        let message = format!("Batch uid `{uid}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(400, "invalid_batch_uids", ErrorType::InvalidRequest, message).into());
    };
    let query = TaskQuery { limit: 1, batch_uids: Some(vec![number.into()]), ..TaskQuery::default() };
    let batch = api.cluster.store.batches(&query).await?.batches.pop();
    match batch.filter(|batch| batch.tasks.iter().any(|task| is_visible(task, &access))) {
        Some(batch) => Ok(Json(batch::view(&api.cluster, &batch).await)),
        None => {
            let message = format!("Batch `{number}` not found.");
            Err(ApiError::new(404, "batch_not_found", ErrorType::InvalidRequest, message).into())
        }
    }
}
