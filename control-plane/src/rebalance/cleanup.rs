//! Deleting what nodes have left over of shards that they don't own any more.

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_core::shard::ShardId;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::node_client::{NodeClient, NodeError};
use crate::store::StoreError;

/// How long a node may take to delete it; it may have much to do before.
const TASK_PATIENCE: Duration = Duration::from_secs(1800);

/// Has a node delete what it has left over of shards, and returns the tasks that do it. The caller sees to it that no epoch
/// begins meanwhile: in the next one, the node may own them again.
///
/// # Errors
/// If the node does not take it or the store fails.
pub async fn begin(
    cluster: &Cluster,
    client: &NodeClient,
    shards: &BTreeSet<ShardId>,
) -> Result<Vec<u64>, NodeError> {
    let clause = cluster.table().tags().clause(shards.iter().copied());
    let mut tasks = Vec::new();
    for uid in cluster.store.indexes().await?.into_keys() {
        match client.delete_documents_where(&uid, &clause).await {
            Ok(task) => tasks.push(task),
            Err(error) if error.code() == Some("index_not_found") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tasks)
}

/// Waits until a node has deleted it, and forgets it then. What uids name may have changed meanwhile, so it makes sure that
/// nothing is left.
pub async fn finish(
    cluster: &Cluster,
    node: &str,
    client: &NodeClient,
    shards: &BTreeSet<ShardId>,
    tasks: Vec<u64>,
) {
    match deleted(cluster, client, shards, tasks).await {
        Ok(true) => {
            let shards: Vec<ShardId> = shards.iter().copied().collect();
            info!(node, ?shards, "what was left over is deleted");
            if let Err(error) = forget(cluster, node, &shards).await {
                warn!(node, %error, "it could not be recorded that nothing is left over");
            }
        }
        Ok(false) => {}
        Err(error) => warn!(node, %error, "what is left over could not be deleted yet"),
    }
}

async fn deleted(
    cluster: &Cluster,
    client: &NodeClient,
    shards: &BTreeSet<ShardId>,
    tasks: Vec<u64>,
) -> Result<bool, NodeError> {
    for task in tasks {
        match client.wait_for_task(task, TASK_PATIENCE).await {
            Err(error) if error.code() == Some("index_not_found") => {}
            done => drop(done?),
        }
    }
    let clause = cluster.table().tags().clause(shards.iter().copied());
    for uid in cluster.store.indexes().await?.into_keys() {
        match client.count_documents(&uid, Some(&clause)).await {
            Ok(0) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some("index_not_found") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

async fn forget(cluster: &Cluster, node: &str, shards: &[ShardId]) -> Result<(), StoreError> {
    let _one_at_a_time = cluster.rebalance.changing.lock().await;
    cluster.store.remove_leftovers(node, shards).await?;
    cluster.publish().await.map(drop)
}
