//! Brings a node that was away in step with the cluster, before it is read or written again.

use std::time::{Duration, Instant};

use tokio::sync::MutexGuard;

use crate::cluster::Cluster;
use crate::indexes::{bring_in_step, lose, settings::pending_changes, take_pending};
use crate::node_client::{NodeClient, NodeError};
use crate::store::StoreError;
use crate::{instance, keys};

const POLL: Duration = Duration::from_millis(50);
/// How long changes of the settings that are under way are waited for: they may in turn wait for this node.
const PENDING_CHANGES: Duration = Duration::from_secs(10);

/// Brings `node` in step: gives it the cluster's keys, experimental features and search rules, takes the deletions, swaps
/// and renamings that it missed, creates the indexes that it lacks, repairs primary keys and settings, and waits until it
/// has done all that it had accepted. An index that the cluster does not know is left alone: only what is known to have
/// been deleted here is deleted there.
///
/// Returns the lock of [`Cluster::instance`]: what it guards does not change before the caller has let the node
/// take part in changes.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn reconcile<'c>(cluster: &'c Cluster, node: &str) -> Result<MutexGuard<'c, ()>, NodeError> {
    let Some(client) = &cluster.client(node) else { return Ok(cluster.instance.lock().await) };
    drain(client).await?;
    if keys::are_lost(cluster, node, client).await? {
        lose(cluster, node).await?;
    }
    {
        // First, as settings may need experimental features.
        let _one_at_a_time = cluster.instance.lock().await;
        instance::bring_in_step(cluster, node, client).await?;
    }
    take_pending(cluster, node, client).await?;
    for uid in cluster.store.indexes().await?.into_keys() {
        let _one_at_a_time = cluster.index_locks.lock(&uid).await;
        wait_for_pending_changes(cluster, &uid).await?;
        if let Some(index) = cluster.store.index(&uid).await? {
            bring_in_step(cluster, node, client, &index).await?;
        }
    }
    drain(client).await?;
    // What was changed meanwhile and did not reach it.
    if !cluster.store.pending_changes(node).await?.is_empty() {
        return Box::pin(reconcile(cluster, node)).await;
    }
    let guard = cluster.instance.lock().await;
    instance::bring_in_step(cluster, node, client).await?;
    Ok(guard)
}

/// Waits until the node has done all that it has accepted up to now.
///
/// # Errors
/// If the node can't be asked.
pub async fn drain(client: &NodeClient) -> Result<(), NodeError> {
    let Some(newest) = client.newest_task().await? else { return Ok(()) };
    while client.oldest_unfinished_task().await?.is_some_and(|oldest| oldest.uid <= newest.uid) {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn wait_for_pending_changes(cluster: &Cluster, uid: &str) -> Result<(), StoreError> {
    let deadline = Instant::now() + PENDING_CHANGES;
    while Instant::now() < deadline && !pending_changes(cluster, uid).await?.is_empty() {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
