//! Tasks that act on tasks: canceling those that are under way, deleting those that are over.
//!
//! What a task does can only be canceled on each node by itself. So a task may be canceled on some nodes and done on
//! others: see [`merge`](super::merge). What the cluster has decided when it was accepted can't be canceled any more:
//! creations, deletions, swaps and changes of indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::control::PartOutcome;
use serde_json::json;
use time::OffsetDateTime;
use tracing::warn;

use super::{global, kind};
use crate::cluster::Cluster;
use crate::store::{StoreError, TaskPart, TaskQuery, TaskRecord, TaskStatus};

/// The types of task that can be canceled.
const CANCELABLE: &[&str] = &[
    kind::DOCUMENT_ADDITION,
    kind::DOCUMENT_DELETION,
    "documentEdition",
    kind::SETTINGS_UPDATE,
    kind::INDEX_COMPACTION,
    "dumpCreation",
    "snapshotCreation",
];

/// How many tasks a node is told of at once: they must fit in a URL.
const UIDS_AT_ONCE: usize = 200;

/// Cancels the tasks that match. The `filter` is the client's own query string, for the details.
///
/// # Errors
/// If the store fails.
pub async fn cancel(
    cluster: &Arc<Cluster>,
    query: &TaskQuery,
    filter: &str,
) -> Result<TaskRecord, StoreError> {
    let details = json!({"matchedTasks": 0, "canceledTasks": null, "originalFilter": filter});
    let task = global(kind::TASK_CANCELATION, details);
    let (task, targets) = cluster.store.register_cancelation(query, CANCELABLE, task).await?;
    let parts = targets.iter().flat_map(|target| &target.parts).filter(|part| !part.status.is_final());
    tokio::spawn(tell_nodes(cluster.clone(), by_node(parts), Order::Cancel));
    cluster.task_registered.notify_one();
    Ok(task)
}

/// Deletes the tasks that match and are over; nodes forget their parts of them.
///
/// # Errors
/// If the store fails.
pub async fn delete(
    cluster: &Arc<Cluster>,
    query: &TaskQuery,
    filter: &str,
) -> Result<TaskRecord, StoreError> {
    let details = json!({"matchedTasks": 0, "deletedTasks": 0, "originalFilter": filter});
    let deletion = cluster.store.register_deletion(query, global(kind::TASK_DELETION, details)).await?;
    tokio::spawn(tell_nodes(cluster.clone(), by_node(deletion.parts.iter()), Order::Delete));
    Ok(deletion.task)
}

/// What a node is to do with tasks.
#[derive(Clone, Copy, Debug)]
enum Order {
    Cancel,
    Delete,
}

fn by_node<'p>(parts: impl Iterator<Item = &'p TaskPart>) -> BTreeMap<String, Vec<u64>> {
    let mut uids: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for part in parts {
        if let PartOutcome::Accepted(uid) = part.outcome {
            uids.entry(part.node.clone()).or_default().push(uid);
        }
    }
    uids
}

/// Tells each node of its tasks. One that can't be told goes on with them, or keeps them: the task comes to what it
/// comes to.
async fn tell_nodes(cluster: Arc<Cluster>, uids: BTreeMap<String, Vec<u64>>, order: Order) {
    for (node, uids) in uids {
        let Some(client) = cluster.client(&node) else { continue };
        for uids in uids.chunks(UIDS_AT_ONCE) {
            let told = match order {
                Order::Cancel => client.cancel_tasks(uids).await,
                Order::Delete => client.delete_tasks(uids).await,
            };
            if let Err(error) = told {
                warn!(node, %error, ?order, "a node could not be told what to do with its tasks");
                break;
            }
        }
    }
}

/// Which task cancels which.
#[derive(Default)]
pub struct Cancelations(BTreeMap<u64, u64>);

impl Cancelations {
    /// Those that are under way.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn under_way(cluster: &Cluster) -> Result<Cancelations, StoreError> {
        let query = TaskQuery {
            limit: usize::MAX,
            statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
            types: Some(vec![kind::TASK_CANCELATION.to_owned()]),
            reverse: true,
            ..TaskQuery::default()
        };
        let tasks = cluster.store.tasks(&query).await?.tasks;
        let pairs = tasks.iter().flat_map(|task| task.cancels.iter().map(|canceled| (*canceled, task.uid)));
        Ok(Cancelations(pairs.collect()))
    }

    /// What cancels a task.
    pub fn of(&self, uid: u64) -> Option<u64> {
        self.0.get(&uid).copied()
    }
}

/// Finishes a cancelation once all that it cancels is over.
///
/// # Errors
/// If the store fails.
pub async fn finish_cancelation(cluster: &Cluster, task: &mut TaskRecord) -> Result<(), StoreError> {
    let targets = TaskQuery { uids: Some(task.cancels.clone()), ..TaskQuery::default() };
    let unfinished = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
    if cluster.store.tasks(&TaskQuery { statuses: unfinished, ..targets.clone() }).await?.total > 0 {
        return Ok(());
    }
    let canceled = TaskQuery { canceled_by: Some(vec![task.uid]), ..targets };
    task.details["canceledTasks"] = json!(cluster.store.tasks(&canceled).await?.total);
    task.status = TaskStatus::Succeeded;
    task.started_at = Some(task.enqueued_at);
    task.finished_at = Some(OffsetDateTime::now_utc());
    Ok(())
}
