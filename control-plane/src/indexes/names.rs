//! What uids name: deleting, swapping and renaming indexes.
//!
//! Nodes do their tasks in order, and a write is a task on each of them. So a change of what a uid names must come
//! before or after a write on all nodes alike:
//!
//! - A change waits for the writes to its indexes that have begun, and the next ones wait for it
//!   ([`Gates`](super::Gates)). A write that takes too long is refused when it is registered, for its client to repeat.
//! - The change is recorded, with its task, for each node before it is sent. A node that it does not reach is taken down, and takes it
//!   before it serves again, in the order in which changes were made. Nothing is sent past a change that waits so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use miroir_core::error::{ApiError, ErrorType, no_quorum};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::OwnedMutexGuard;
use tracing::{error, info};

use super::index_not_found;
use super::nodes::{is_up, part};
use crate::aliases;
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::health::take_down;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{
    IndexChange, IndexSwap, IndexesChange, NamesChange, NewTask, NodeChange, PendingChange, StoreError,
    TaskPart, TaskQuery, TaskRecord, TaskStatus,
};
use crate::tasks::{self, kind, register_failed, register_global_failed, register_parts};

/// How long a swap waits for the nodes to have done what comes before it: they then swap at nearly the same moment. Past
/// that it waits in their queues.
const QUIET_PATIENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
/// How long a node that is brought in step may take for one change.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// `DELETE /indexes/{uid}`.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn delete(cluster: &Cluster, uid: &str) -> Result<TaskRecord, Failure> {
    let _no_write_under_way = cluster.gates.close([uid]).await;
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let aliases = cluster.store.aliases().await?;
    aliases::check_is_none(&aliases, uid)?;
    aliases::check_has_none(&aliases, uid)?;
    if cluster.store.index(uid).await?.is_none() {
        let details = json!({"deletedDocuments": 0});
        let error = index_not_found(uid);
        return Ok(register_failed(cluster, uid, kind::INDEX_DELETION, details, error).await?);
    }
    let task = tasks::new(uid, kind::INDEX_DELETION, json!({"deletedDocuments": null}), Vec::new());
    let (task, parts) = change(cluster, NodeChange::Delete(uid.to_owned()), None, task).await?;
    Ok(register_parts(cluster, task, parts).await?)
}

/// `POST /swap-indexes`.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn swap(cluster: &Cluster, swaps: Vec<IndexSwap>) -> Result<TaskRecord, Failure> {
    let details = json!({"swaps": swaps});
    let task = tasks::global(kind::INDEX_SWAP, details.clone());
    match exchange(cluster, swaps, None, task).await? {
        Ok(Exchanged { task, parts, _one_at_a_time }) => Ok(register_parts(cluster, task, parts).await?),
        Err(error) => Ok(register_global_failed(cluster, kind::INDEX_SWAP, details, error).await?),
    }
}

/// Gives an index another uid, and makes another change of it; what Meilisearch would fail the task for comes back inside.
pub(super) async fn rename(
    cluster: &Cluster,
    uid: &str,
    new_uid: &str,
    besides: IndexChange,
    task: NewTask,
) -> Result<Result<Exchanged, ApiError>, Failure> {
    let swap = IndexSwap { indexes: (uid.to_owned(), new_uid.to_owned()), rename: true };
    exchange(cluster, vec![swap], Some(besides), task).await
}

/// Indexes that have exchanged their uids, and are locked until it is saved what nodes do for it: see [`is_being_sent`].
pub(super) struct Exchanged {
    /// The task of it.
    pub task: TaskRecord,
    /// What nodes do for it.
    pub parts: Vec<TaskPart>,
    pub _one_at_a_time: Vec<OwnedMutexGuard<()>>,
}

async fn exchange(
    cluster: &Cluster,
    swaps: Vec<IndexSwap>,
    besides: Option<IndexChange>,
    task: NewTask,
) -> Result<Result<Exchanged, ApiError>, Failure> {
    let uids: Vec<&str> = swaps.iter().flat_map(IndexSwap::uids).collect();
    let _no_write_under_way = cluster.gates.close(uids.iter().copied()).await;
    let _one_at_a_time = cluster.index_locks.lock_all(uids.iter().copied()).await;
    check_aliases(cluster, &swaps).await?;
    if let Err(error) = check_indexes(cluster, &swaps).await? {
        return Ok(Err(error));
    }
    wait_until_quiet(cluster, &uids).await?;
    let (task, parts) = change(cluster, NodeChange::Swap(swaps.clone()), besides, task).await?;
    Ok(Ok(Exchanged { task, parts, _one_at_a_time }))
}

/// Refuses swaps that name an index twice.
///
/// # Errors
/// Meilisearch's own.
pub fn check_swaps(swaps: &[IndexSwap]) -> Result<(), ApiError> {
    let uids: Vec<&str> = swaps.iter().flat_map(IndexSwap::uids).collect();
    let mut twice: Vec<&str> = uids
        .iter()
        .enumerate()
        .filter(|(place, uid)| uids[..*place].contains(uid))
        .map(|(_, uid)| *uid)
        .collect();
    twice.sort_unstable();
    twice.dedup();
    let were = match twice.len() {
        0 => return Ok(()),
        1 => "was",
        _ => "were",
    };
    let message = format!(
        "Indexes must be declared only once during a swap. {} {were} specified several times.",
        quoted(&twice)
    );
    Err(ApiError::new(400, "invalid_swap_duplicate_index_found", ErrorType::InvalidRequest, message))
}

/// An alias goes on standing for a uid whose index is swapped for another, but not for one that no index has any more.
async fn check_aliases(cluster: &Cluster, swaps: &[IndexSwap]) -> Result<(), Failure> {
    let aliases = cluster.store.aliases().await?;
    for swap in swaps {
        let [left, right] = swap.uids();
        aliases::check_is_none(&aliases, left)?;
        aliases::check_is_none(&aliases, right)?;
        if swap.rename {
            aliases::check_has_none(&aliases, left)?;
        }
    }
    Ok(())
}

async fn check_indexes(cluster: &Cluster, swaps: &[IndexSwap]) -> Result<Result<(), ApiError>, StoreError> {
    let indexes = cluster.store.indexes().await?;
    let mut missing = Vec::new();
    let mut taken = Vec::new();
    for swap in swaps {
        let [left, right] = swap.uids();
        missing.extend((!indexes.contains_key(left)).then_some(left));
        match (swap.rename, indexes.contains_key(right)) {
            (true, true) => taken.push((left, right)),
            (false, false) => missing.push(right),
            _ => {}
        }
    }
    missing.sort_unstable();
    taken.sort_unstable();
    let error = |code, message| Err(ApiError::new(400, code, ErrorType::InvalidRequest, message));
    Ok(match (&missing[..], &taken[..]) {
        ([], []) => Ok(()),
        ([uid], _) => Err(index_not_found(uid)),
        ([_, ..], _) => error("index_not_found", format!("Indexes {} not found.", quoted(&missing))),
        (_, [(left, right)]) => error(
            "index_already_exists",
            format!(
                "Cannot rename `{left}` to `{right}` as the index already exists. Hint: You can remove `{right}` first \
                 and then do your remove."
            ),
        ),
        _ => {
            let uids: Vec<&str> = taken.iter().map(|(_, right)| *right).collect();
            let message = format!(
                "The following indexes are being renamed but cannot because their new name conflicts with an already \
                 existing index: {}. Renaming doesn't overwrite the other index name.",
                quoted(&uids)
            );
            error("index_already_exists", message)
        }
    })
}

fn quoted(uids: &[&str]) -> String {
    uids.iter().map(|uid| format!("`{uid}`")).collect::<Vec<_>>().join(", ")
}

/// Waits a while until no task of the indexes is under way.
async fn wait_until_quiet(cluster: &Cluster, uids: &[&str]) -> Result<(), StoreError> {
    let query = TaskQuery {
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        index_uids: Some(uids.iter().map(|uid| (*uid).to_owned()).collect()),
        ..TaskQuery::default()
    };
    let deadline = Instant::now() + QUIET_PATIENCE;
    while Instant::now() < deadline && cluster.store.tasks(&query).await?.total > 0 {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Whether a swap or a renaming of the index is under way, but for the task `finishing`: some nodes may still know it by
/// its other uid.
///
/// # Errors
/// If the store fails.
pub async fn under_way(cluster: &Cluster, uid: &str, finishing: Option<u64>) -> Result<bool, StoreError> {
    let changes = cluster.store.tasks(&changes_of_names()).await?.tasks;
    let mut changes = changes.iter().filter(|task| Some(task.uid) != finishing);
    Ok(changes.any(|task| names_of(task).contains(&uid)))
}

/// The swaps and renamings that are under way.
fn changes_of_names() -> TaskQuery {
    TaskQuery {
        limit: usize::MAX,
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        types: Some(vec![kind::INDEX_SWAP.to_owned(), kind::INDEX_UPDATE.to_owned()]),
        ..TaskQuery::default()
    }
}

/// The uids that a task exchanges.
fn names_of(task: &TaskRecord) -> Vec<&str> {
    let swapped = task.details["swaps"].as_array().into_iter().flatten();
    let swapped = swapped.flat_map(|swap| swap["indexes"].as_array().into_iter().flatten());
    let renamed = [&task.details["oldIndexUid"], &task.details["newIndexUid"]];
    swapped.chain(renamed).filter_map(|uid| uid.as_str()).collect()
}

/// Whether the task's change of indexes is just being sent to nodes, or was since the task was read: its parts are not known yet.
/// Who sends it has the locks of the indexes. If nobody does, whoever did has ended, and nobody will say what its parts are.
///
/// # Errors
/// If the store fails.
pub async fn is_being_sent(cluster: &Cluster, task: &TaskRecord) -> Result<bool, StoreError> {
    if !task.parts.is_empty() || !kind::ARE_DECIDED_AT_ONCE.contains(&&*task.kind) {
        return Ok(false);
    }
    let uids: BTreeSet<&str> = task.index_uid.as_deref().into_iter().chain(names_of(task)).collect();
    let locks: Option<Vec<_>> = uids.into_iter().map(|uid| cluster.index_locks.try_lock(uid)).collect();
    Ok(locks.is_none() || cluster.store.task(task.uid).await?.as_ref() != Some(task))
}

/// Takes down the nodes that have still to take a change of what uids name: whoever was sending it has ended.
///
/// # Errors
/// If the store fails.
pub async fn take_down_late(cluster: &Cluster) -> Result<(), StoreError> {
    for node in cluster.members().clients.keys() {
        if !cluster.store.pending_changes(node).await?.is_empty() {
            take_down(cluster, node).await;
        }
    }
    cluster.publish_everywhere().await
}

/// Makes a change in the store and on all nodes. It is recorded first, with its task, so that a node that is away takes it when
/// it is back, whatever happens to us. What nodes do for it is the caller's to save.
async fn change(
    cluster: &Cluster,
    change: NodeChange,
    besides: Option<IndexChange>,
    task: NewTask,
) -> Result<(TaskRecord, Vec<TaskPart>), Failure> {
    let change = &change;
    let members = cluster.members();
    let ready = members.clients.iter().map(|(node, client)| next_uid(cluster, node, client, change));
    let ready = join_all(ready).await;
    if ready.iter().all(Result::is_err) {
        return Err(no_quorum("no node could be reached").into());
    }
    let nodes = members.clients.keys().zip(&ready);
    let nodes = nodes.map(|(node, uid)| (node.clone(), uid.as_ref().ok().copied()));
    let at = OffsetDateTime::now_utc();
    let names = NamesChange { change: change.clone(), at, nodes: nodes.collect(), besides };
    let (task, ids) = cluster.store.register_change(IndexesChange::Names(names), task).await?;
    let sent = members.clients.iter().zip(ready.into_iter().zip(ids));
    let sent = sent.map(|((node, client), (ready, id))| async move {
        let task = async {
            ready?;
            let task = send(client, change).await?;
            cluster.store.remove_pending_change(id).await?;
            Ok(task)
        };
        part(node, task.await)
    });
    let parts = join_all(sent).await;
    for missed in parts.iter().filter(|part| part.is_missed()) {
        take_down(cluster, &missed.node).await;
    }
    cluster.publish_everywhere().await?;
    Ok((task, parts))
}

/// The uid that a node's next task will have, if it can be sent the change: one that is away takes it when it is back, and
/// nothing may go past another change of these indexes that it has still to take.
async fn next_uid(
    cluster: &Cluster,
    node: &str,
    client: &NodeClient,
    change: &NodeChange,
) -> Result<u64, NodeError> {
    let waits = |pending: &PendingChange| pending.change.uids().iter().any(|uid| change.uids().contains(uid));
    if !is_up(cluster, node) || cluster.store.pending_changes(node).await?.iter().any(waits) {
        return Err(NodeError::OutOfStep(node.to_owned()));
    }
    Ok(client.newest_task().await?.map_or(0, |task| task.uid + 1))
}

async fn send(client: &NodeClient, change: &NodeChange) -> Result<u64, NodeError> {
    match change {
        NodeChange::Delete(uid) => client.delete_index(uid).await,
        NodeChange::Swap(swaps) => client.swap_indexes(swaps).await,
    }
}

/// Has a node that has done all it had accepted take the changes that it missed, in their order.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn take_pending(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    while let Some(first) = cluster.store.pending_changes(node).await?.into_iter().next() {
        let _one_at_a_time = cluster.index_locks.lock_all(first.change.uids()).await;
        if cluster.store.pending_changes(node).await?.first() != Some(&first) {
            continue;
        }
        if !was_taken(client, &first).await?
            && let Some(left) = what_is_left(client, &first.change).await?
        {
            info!(node, change = ?left, "making a change of indexes that the node missed");
            let next_uid = client.newest_task().await?.map_or(0, |task| task.uid + 1);
            cluster.store.set_sent_from(first.id, next_uid).await?;
            let task = send(client, &left).await?;
            match client.wait_for_task(task, TAKE_TIMEOUT).await {
                Err(error) if error.code() != Some("index_not_found") => return Err(error),
                _ => {}
            }
        }
        cluster.store.remove_pending_change(first.id).await?;
    }
    Ok(())
}

/// Has the nodes that failed at a swap or a renaming take it once more: the cluster goes by the new uids already.
///
/// # Errors
/// If the store fails.
pub async fn repeat_where_failed(cluster: &Cluster, task: &TaskRecord) -> anyhow::Result<()> {
    let mut swaps: Vec<IndexSwap> = serde_json::from_value(task.details["swaps"].clone()).unwrap_or_default();
    if let (Some(old), Some(new)) =
        (task.details["oldIndexUid"].as_str(), task.details["newIndexUid"].as_str())
        && old != new
    {
        swaps.push(IndexSwap { indexes: (old.to_owned(), new.to_owned()), rename: true });
    }
    if swaps.is_empty() {
        return Ok(());
    }
    for part in task.parts.iter().filter(|part| part.status == TaskStatus::Failed) {
        error!(node = part.node, error = %part.error, "a node failed at a change of indexes");
        cluster.store.add_pending_change(&part.node, &NodeChange::Swap(swaps.clone())).await?;
        take_down(cluster, &part.node).await;
    }
    Ok(())
}

/// Whether the node has done a swap for which it gave no answer. A deletion does no harm twice.
async fn was_taken(client: &NodeClient, pending: &PendingChange) -> Result<bool, NodeError> {
    let (Some(from), NodeChange::Swap(swaps)) = (pending.sent_from, &pending.change) else {
        return Ok(false);
    };
    let is_it = |details: &serde_json::Value| {
        serde_json::from_value::<Vec<IndexSwap>>(details["swaps"].clone()).is_ok_and(|done| done == *swaps)
    };
    let done = client.succeeded_swaps().await?;
    Ok(done.iter().any(|task| task.uid >= from && is_it(&task.details)))
}

/// What of a change a node can do: it may lack indexes that were created while it was away.
async fn what_is_left(client: &NodeClient, change: &NodeChange) -> Result<Option<NodeChange>, NodeError> {
    let swaps = match change {
        NodeChange::Delete(uid) => {
            return Ok(client.index(uid).await?.map(|_| NodeChange::Delete(uid.clone())));
        }
        NodeChange::Swap(swaps) => swaps,
    };
    let mut left = Vec::new();
    for swap in swaps {
        let (first, second) = swap.indexes.clone();
        let held = (client.index(&first).await?.is_some(), client.index(&second).await?.is_some());
        left.extend(match (held, swap.rename) {
            // If it should not have the second, that is an index that the cluster does not know: it is kept.
            ((true, true), _) => Some(IndexSwap { indexes: (first, second), rename: false }),
            ((true, false), _) => Some(IndexSwap { indexes: (first, second), rename: true }),
            ((false, true), false) => Some(IndexSwap { indexes: (second, first), rename: true }),
            ((false, true), true) | ((false, false), _) => None,
        });
    }
    Ok((!left.is_empty()).then_some(NodeChange::Swap(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swaps(pairs: &[(&str, &str)]) -> Vec<IndexSwap> {
        let swap = |(left, right): &(&str, &str)| IndexSwap {
            indexes: ((*left).to_owned(), (*right).to_owned()),
            rename: false,
        };
        pairs.iter().map(swap).collect()
    }

    #[test]
    fn an_index_is_swapped_once() {
        assert!(check_swaps(&swaps(&[("a", "b"), ("c", "d")])).is_ok());
        let message = |pairs| check_swaps(&swaps(pairs)).map_err(|error| error.message);
        assert_eq!(
            message(&[("a", "a")]),
            Err("Indexes must be declared only once during a swap. `a` was specified several times.".into())
        );
        assert_eq!(
            message(&[("b", "a"), ("a", "b")]),
            Err("Indexes must be declared only once during a swap. `a`, `b` were specified several times."
                .into())
        );
    }
}
