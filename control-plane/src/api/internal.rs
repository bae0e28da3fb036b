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
use subtle::ConstantTimeEq;

use super::{Api, Failure};
use crate::cluster::Cluster;
use crate::indexes;
use crate::store::{Fence, NewTask, StoreError, TaskPart, TaskStatus};
use crate::tasks::{kind, merge, view};

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
    if !write.acknowledged {
        mark_stale(&api.cluster, &missed).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (kind, fails) = (kind(write.kind), write.error.is_some());
    let copies = write.counted_copies;
    let parts: Vec<TaskPart> = write
        .parts
        .into_iter()
        // What a node missed doesn't matter to a task that fails anyway.
        .filter(|part| !fails || matches!(part.outcome, PartOutcome::Accepted(_)))
        .map(|part| task_part(part, copies))
        .collect();
    let is_over = fails && parts.is_empty();
    let task = NewTask {
        index_uid: Some(write.index),
        kind: kind.to_owned(),
        status: if is_over { TaskStatus::Failed } else { TaskStatus::Enqueued },
        details: if is_over { merge::undone(kind, write.details) } else { write.details },
        error: write.error,
        parts,
        custom_metadata: write.custom_metadata,
    };
    // What failed may have been routed in any way: it is not acknowledged.
    let fence = (!fails).then(|| Fence { epoch: write.epoch, missed: missed.clone() });
    if fails {
        mark_stale(&api.cluster, &missed).await?;
    }
    let task = match api.cluster.store.register_task(task, fence).await {
        Ok(task) => task,
        Err(StoreError::EpochRetired(_)) => {
            mark_stale(&api.cluster, &missed).await?;
            return Err(ApiError { status: 409, ..routing_stale() }.into());
        }
        Err(error) => return Err(error.into()),
    };
    api.cluster.task_registered.notify_one();
    if !fails && !missed.is_empty() {
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

fn task_part(part: WritePart, counted_copies: u64) -> TaskPart {
    TaskPart {
        counted: part.counted,
        counted_copies,
        shards: part.shards,
        ..TaskPart::new(part.node, part.outcome)
    }
}

fn kind(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::DocumentAdditionOrUpdate => kind::DOCUMENT_ADDITION,
        WriteKind::DocumentDeletion => kind::DOCUMENT_DELETION,
        WriteKind::DocumentEdition => kind::DOCUMENT_EDITION,
    }
}
