//! When all copies of a shard have missed something: which of them is to be the truth.

use std::collections::BTreeMap;

use miroir_core::error::ApiError;
use miroir_core::shard::ShardId;
use tracing::warn;

use crate::cluster::Cluster;
use crate::refusal::refused;

/// Takes a node's copies for clean, of those shards that have no clean copy left. The other copies are repaired from them, and
/// what only those had is lost. Returns the shards.
///
/// # Errors
/// If there is no such node or it is down, if it has no such copy, or if the store fails.
pub async fn trust(cluster: &Cluster, node: &str) -> Result<Vec<ShardId>, ApiError> {
    let _one_at_a_time = cluster.rebalance.hold().await;
    if cluster.members().node(node).is_none() {
        let message = format!("There is no node {node}: `GET /_miroir/topology` names those that there are.");
        return Err(refused(404, "miroir_unknown_node", message));
    }
    if !cluster.up().await.contains(node) {
        let message = format!("Node {node} is down: bring it back first.");
        return Err(refused(409, "miroir_node_unreachable", message));
    }
    let now = cluster.store.current_epoch().await?.unwrap_or_default();
    let stale = cluster.store.stale_replicas().await?;
    let is_lost = |shard: ShardId| now.clean_readers_of(shard, &stale).next().is_none();
    let is_read = |shard: ShardId| now.readers_of(shard).any(|reader| reader == node);
    let of_node = stale.get(node).into_iter().flatten();
    let seen = of_node.filter(|(shard, _)| is_lost(**shard) && is_read(**shard));
    let seen: BTreeMap<ShardId, u64> = seen.map(|(shard, miss)| (*shard, *miss)).collect();
    if seen.is_empty() {
        let message = format!(
            "Node {node} has no stale copy of a shard that no other node has a clean copy of: what it missed is repaired by itself."
        );
        return Err(refused(409, "miroir_nothing_lost", message));
    }
    let shards = cluster.store.mark_clean(node, &seen, None).await?;
    warn!(node, ?shards, "these copies count as clean from now on, whatever they have missed");
    cluster.publish_everywhere().await?;
    cluster.rebalance.wake();
    Ok(shards)
}
