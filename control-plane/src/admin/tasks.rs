//! `GET /_miroir/tasks/{uid}`.

use axum::Json;
use axum::extract::{Path, State};
use futures::future::join_all;
use miroir_core::control::PartOutcome;
use miroir_core::error::{ApiError, ErrorType};
use miroir_core::shard::ShardId;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Admin;
use super::reply::Refused;
use crate::cluster::Cluster;
use crate::store::{TaskPart, TaskStatus};
use crate::tasks::{batch, view};

/// A task, and what each node does for it.
#[derive(Serialize, ToSchema)]
pub struct Task {
    /// As clients see it.
    #[schema(value_type = Object)]
    task: Value,
    /// Its parts.
    parts: Vec<Part>,
}

/// What one node does for a task.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Part {
    /// The node's id.
    node: String,
    /// Its state on the node when last asked: one of Meilisearch's, or `missed`.
    status: &'static str,
    /// The node's own uid of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_uid: Option<u64>,
    /// Why the node has no task of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<String>,
    /// The shards whose documents it holds; none for work that is not about documents.
    shards: Vec<ShardId>,
    /// Whether its count of documents goes into the task's.
    counted: bool,
    /// When the node began with it.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<OffsetDateTime>,
    /// When the node was done with it.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<OffsetDateTime>,
    /// How long the node took, in ISO 8601.
    duration: Option<String>,
    /// The node's `details`, once it is done.
    #[schema(value_type = Object)]
    details: Value,
    /// The node's `error`, if it failed.
    #[schema(value_type = Object)]
    error: Value,
    /// The batch in which the node does it: its progress, and what took how long. Null if the node can't be asked, or
    /// has forgotten it.
    #[schema(value_type = Object)]
    batch: Value,
}

/// Tells what each node does for a task.
#[utoipa::path(
    get, path = "/_miroir/tasks/{uid}", tag = "tasks", operation_id = "getTask",
    params(("uid" = u64, Path, description = "The task's uid.")),
    responses(
        (status = 200, body = Task), (status = 404, body = super::openapi::Error),
        (status = 401, body = super::openapi::Error), (status = 403, body = super::openapi::Error)
    ),
    security(("adminKey" = []))
)]
pub async fn task(State(admin): State<Admin>, Path(uid): Path<String>) -> Result<Json<Task>, Refused> {
    let number = uid.parse::<u64>().ok();
    let found = match number {
        Some(number) => admin.cluster.store.task(number).await?,
        None => None,
    };
    let Some(task) = found else {
        let message = format!("Task `{uid}` not found.");
        return Err(Refused(ApiError::new(404, "task_not_found", ErrorType::InvalidRequest, message)));
    };
    let parts = task.parts.iter().map(|part| shown(&admin.cluster, part));
    Ok(Json(Task { task: view::task(&task), parts: join_all(parts).await }))
}

async fn shown(cluster: &Cluster, part: &TaskPart) -> Part {
    let (task_uid, missed) = match &part.outcome {
        PartOutcome::Accepted(uid) => (Some(*uid), None),
        PartOutcome::Missed(reason) => (None, Some(reason.clone())),
    };
    let over = part.status == TaskStatus::Enqueued && missed.is_some();
    Part {
        node: part.node.clone(),
        status: if over { "missed" } else { part.status.name() },
        task_uid,
        missed,
        shards: part.shards.clone(),
        counted: part.counted,
        started_at: part.started_at,
        finished_at: part.finished_at,
        duration: view::duration(part.started_at, part.finished_at),
        details: part.details.clone(),
        error: part.error.clone(),
        batch: batch::of_node(cluster, part).await.unwrap_or(Value::Null),
    }
}
