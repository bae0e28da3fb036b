//! What the filter says to the control plane, see [`miroir_core::control`].

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use miroir_core::control::{
    BEGIN_WRITE_PATH, BeginWrite, BegunWrite, PartOutcome, REGISTER_WRITE_PATH, RegisterWrite, TOKEN_HEADER,
    WriteKind, WritePart,
};
use miroir_core::error::{ApiError, ErrorType, routing_stale};
use miroir_core::shard::ShardId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{Api, Failure};
use crate::cluster::Cluster;
use crate::indexes;
use crate::store::{Fence, StoreError, TaskPart};
use crate::tasks::{self, kind, view};

pub fn routes() -> Router<Api> {
    Router::new().route(BEGIN_WRITE_PATH, post(begin_write)).route(REGISTER_WRITE_PATH, post(register_write))
}

async fn begin_write(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BegunWrite>, Failure> {
    check_token(&api.cluster, &headers)?;
    let write: BeginWrite = parse(&body)?;
    let access = api.authorize(&headers, &write.action, Some(&write.index)).await?;
    let write = BeginWrite { create: write.create && access.may_create, ..write };
    Ok(Json(indexes::ensure(&api.cluster, &write).await?))
}

async fn register_write(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    check_token(&api.cluster, &headers)?;
    let write: RegisterWrite = parse(&body)?;
    let missed = missed(&write.parts);
    if !write.acknowledged && write.error.is_none() {
        mark_stale(&api.cluster, &missed).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (kind, details) = describe(&write);
    if let Some(error) = write.error {
        let details = failed(kind, details);
        let task = tasks::register_failed(&api.cluster, &write.index, kind, details, error).await?;
        return Ok(Json(view::summary(&task)).into_response());
    }
    let fence = Fence { epoch: write.epoch, missed };
    let some_missed = !fence.missed.is_empty();
    let parts = write.parts.into_iter().map(task_part).collect();
    let task = match tasks::register(&api.cluster, &write.index, kind, details, parts, Some(fence)).await {
        Ok(task) => task,
        Err(StoreError::EpochRetired(_)) => return Err(ApiError { status: 409, ..routing_stale() }.into()),
        Err(error) => return Err(error.into()),
    };
    if some_missed {
        // Before the client hears of its write: whoever reads after that must not read a stale replica.
        api.cluster.publish_everywhere().await?;
    }
    Ok(Json(view::summary(&task)).into_response())
}

fn check_token(cluster: &Cluster, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = headers.get(TOKEN_HEADER).map(|token| token.as_bytes()).unwrap_or_default();
    match token.ct_eq(cluster.filter_token.as_bytes()).into() {
        true => Ok(()),
        false => {
            let message = "This route is for Miroir's filter alone.";
            Err(ApiError::new(403, "invalid_api_key", ErrorType::Auth, message))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(400, "bad_request", ErrorType::InvalidRequest, error.to_string()))
}

async fn mark_stale(cluster: &Cluster, missed: &[(String, Vec<ShardId>)]) -> Result<(), StoreError> {
    if missed.is_empty() {
        return Ok(());
    }
    for (node, shards) in missed {
        cluster.store.mark_stale(node, shards).await?;
    }
    cluster.publish_everywhere().await
}

/// The owners that missed the write, with the shards they missed.
fn missed(parts: &[WritePart]) -> Vec<(String, Vec<ShardId>)> {
    let missed = parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Missed(_)));
    missed.map(|part| (part.node.clone(), part.shards.clone())).collect()
}

fn task_part(part: WritePart) -> TaskPart {
    TaskPart { counted: part.counted, shards: part.shards, ..TaskPart::new(part.node, part.outcome) }
}

/// The task's type and details while it is not done.
fn describe(write: &RegisterWrite) -> (&'static str, Value) {
    match (write.kind, write.provided_ids) {
        (WriteKind::DocumentAdditionOrUpdate, _) => {
            let received = write.received_documents.unwrap_or(0);
            (kind::DOCUMENT_ADDITION, json!({"receivedDocuments": received, "indexedDocuments": null}))
        }
        (WriteKind::DocumentDeletion, Some(ids)) => {
            let details = json!({"providedIds": ids, "deletedDocuments": null, "originalFilter": null});
            (kind::DOCUMENT_DELETION, details)
        }
        (WriteKind::DocumentDeletion, None) => (kind::DOCUMENT_DELETION, json!({"deletedDocuments": null})),
    }
}

fn failed(kind: &str, mut details: Value) -> Value {
    let count = if kind == kind::DOCUMENT_ADDITION { "indexedDocuments" } else { "deletedDocuments" };
    details[count] = json!(0);
    details
}
