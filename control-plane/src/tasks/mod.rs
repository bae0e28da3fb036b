//! The client's tasks: one uid in the cluster for what may be many tasks on nodes.

pub mod batch;
pub mod follow;
pub mod merge;
pub mod on_tasks;
pub mod poller;
mod size;
pub mod view;

use miroir_core::error::ApiError;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::store::{Fence, NewTask, StoreError, TaskPart, TaskRecord, TaskStatus};

/// Meilisearch's names of the types of task that are made here or by the filter.
pub mod kind {
    #![allow(missing_docs)]
    pub const DOCUMENT_ADDITION: &str = "documentAdditionOrUpdate";
    pub const DOCUMENT_DELETION: &str = "documentDeletion";
    pub const DOCUMENT_EDITION: &str = "documentEdition";
    pub const INDEX_CREATION: &str = "indexCreation";
    pub const INDEX_UPDATE: &str = "indexUpdate";
    pub const INDEX_DELETION: &str = "indexDeletion";
    pub const INDEX_SWAP: &str = "indexSwap";
    pub const INDEX_COMPACTION: &str = "indexCompaction";
    pub const SETTINGS_UPDATE: &str = "settingsUpdate";
    pub const DUMP_CREATION: &str = "dumpCreation";
    pub const SNAPSHOT_CREATION: &str = "snapshotCreation";
    pub const DSR_UPDATE: &str = "dsrUpdate";
    pub const DSR_CLEAR: &str = "dsrClear";
    pub const TASK_CANCELATION: &str = "taskCancelation";
    pub const TASK_DELETION: &str = "taskDeletion";
}

/// Registers a task whose parts nodes have enqueued, and has the poller look after it.
///
/// # Errors
/// Those of [`Store::register_task`](crate::store::Store::register_task).
pub async fn register(
    cluster: &Cluster,
    index: &str,
    kind: &str,
    details: Value,
    parts: Vec<TaskPart>,
    fence: Option<Fence>,
) -> Result<TaskRecord, StoreError> {
    let task = NewTask {
        index_uid: Some(index.to_owned()),
        kind: kind.to_owned(),
        status: TaskStatus::Enqueued,
        details,
        error: None,
        parts,
        custom_metadata: None,
        ticket: None,
    };
    register_new(cluster, task, fence).await
}

/// Registers a task of any kind, and has the poller look after it.
///
/// # Errors
/// Those of [`Store::register_task`](crate::store::Store::register_task).
pub async fn register_new(
    cluster: &Cluster,
    task: NewTask,
    fence: Option<Fence>,
) -> Result<TaskRecord, StoreError> {
    let task = cluster.store.register_task(task, fence).await?;
    cluster.task_registered.notify_one();
    Ok(task)
}

/// Registers a task that no node has to do with because it can only fail.
///
/// # Errors
/// Those of [`Store::register_task`](crate::store::Store::register_task).
pub async fn register_failed(
    cluster: &Cluster,
    index: &str,
    kind: &str,
    details: Value,
    error: ApiError,
) -> Result<TaskRecord, StoreError> {
    let task = NewTask {
        index_uid: Some(index.to_owned()),
        kind: kind.to_owned(),
        status: TaskStatus::Failed,
        details,
        error: Some(error),
        parts: Vec::new(),
        custom_metadata: None,
        ticket: None,
    };
    cluster.store.register_task(task, None).await
}

/// Registers a task that is about no one index, as [`register`] does.
///
/// # Errors
/// Those of [`Store::register_task`](crate::store::Store::register_task).
pub async fn register_global(
    cluster: &Cluster,
    kind: &str,
    details: Value,
    parts: Vec<TaskPart>,
) -> Result<TaskRecord, StoreError> {
    let task = cluster.store.register_task(NewTask { parts, ..global(kind, details) }, None).await?;
    cluster.task_registered.notify_one();
    Ok(task)
}

/// Registers a task that is about no one index, as [`register_failed`] does.
///
/// # Errors
/// Those of [`Store::register_task`](crate::store::Store::register_task).
pub async fn register_global_failed(
    cluster: &Cluster,
    kind: &str,
    details: Value,
    error: ApiError,
) -> Result<TaskRecord, StoreError> {
    let task = NewTask { status: TaskStatus::Failed, error: Some(error), ..global(kind, details) };
    cluster.store.register_task(task, None).await
}

fn global(kind: &str, details: Value) -> NewTask {
    NewTask {
        index_uid: None,
        kind: kind.to_owned(),
        status: TaskStatus::Enqueued,
        details,
        error: None,
        parts: Vec::new(),
        custom_metadata: None,
        ticket: None,
    }
}
