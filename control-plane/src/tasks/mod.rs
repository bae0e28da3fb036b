//! The client's tasks: one uid in the cluster for what may be many tasks on nodes.

pub mod batch;
pub mod claims;
pub mod expiry;
pub mod follow;
pub mod merge;
pub mod on_tasks;
pub mod origin;
pub mod poller;
mod pruning;
pub mod session;
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

    /// What the cluster has decided when it is accepted. A node that misses it or fails at it is brought in step.
    pub const ARE_DECIDED_AT_ONCE: [&str; 4] = [INDEX_CREATION, INDEX_UPDATE, INDEX_DELETION, INDEX_SWAP];
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
    register_new(cluster, new(index, kind, details, parts), fence).await
}

/// A task about an index, whose parts nodes have enqueued.
pub fn new(index: &str, kind: &str, details: Value, parts: Vec<TaskPart>) -> NewTask {
    NewTask { index_uid: Some(index.to_owned()), parts, ..global(kind, details) }
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

/// Saves what nodes do for a task that was registered before they were asked, and has the poller look after it.
///
/// # Errors
/// If the store fails.
pub async fn register_parts(
    cluster: &Cluster,
    task: TaskRecord,
    parts: Vec<TaskPart>,
) -> Result<TaskRecord, StoreError> {
    let task = TaskRecord { parts, ..task };
    cluster.store.save_task(&task).await?;
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
    let task = new(index, kind, details, Vec::new());
    let task = NewTask { status: TaskStatus::Failed, error: Some(error), ..task };
    cluster.store.register_task(task, None).await
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

/// A task that is about no one index, before nodes have enqueued anything.
pub fn global(kind: &str, details: Value) -> NewTask {
    NewTask {
        index_uid: None,
        kind: kind.to_owned(),
        status: TaskStatus::Enqueued,
        details,
        error: None,
        parts: Vec::new(),
        custom_metadata: None,
        ticket: None,
        settings_version: None,
        origin: origin::current(),
    }
}
