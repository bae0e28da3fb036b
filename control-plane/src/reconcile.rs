//! Brings a node that was away in step with the cluster, before it is read or written again.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::indexes::{bring_in_step, settings::pending_changes, take_pending};
use crate::node_client::{NodeClient, NodeError};
use crate::store::StoreError;

const POLL: Duration = Duration::from_millis(50);
/// How long changes of the settings that are under way are waited for: they may in turn wait for this node.
const PENDING_CHANGES: Duration = Duration::from_secs(10);

/// Brings `node` in step: takes the deletions, swaps and renamings that it missed, creates the indexes that it lacks,
/// repairs primary keys and settings, and waits until it has done all that it had accepted. An index that the
/// cluster does not know is left alone: only what is known to have been deleted here is deleted there.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn reconcile(cluster: &Cluster, node: &str) -> Result<(), NodeError> {
    let Some(client) = cluster.clients.get(node) else { return Ok(()) };
    drain(client).await?;
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
    match cluster.store.pending_changes(node).await?.is_empty() {
        true => Ok(()),
        false => Box::pin(reconcile(cluster, node)).await,
    }
}

/// Waits until the node has done all that it has accepted up to now.
async fn drain(client: &NodeClient) -> Result<(), NodeError> {
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
