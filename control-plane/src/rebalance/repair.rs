//! Repairing a node's stale replicas from clean ones: of a node that missed writes, and of one that joins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use miroir_core::rebalance::{Epoch, Stale};
use miroir_core::shard::ShardId;
use tokio::time::timeout;
use tracing::info;

use super::fence;
use crate::cluster::Cluster;
use crate::copy::{CopiedIndex, CopyError, DoneIndexes, Progress, Replica, sync};
use crate::store::{StoreError, TaskPart};

/// Shards that a node gets from another.
#[derive(Clone, Debug)]
pub struct Job {
    /// The node whose replicas are stale.
    pub target: String,
    /// Where they are clean.
    pub source: String,
    /// The shards.
    pub shards: BTreeSet<ShardId>,
}

/// What can be repaired: for each node that is up, shards of which another node that is up has a clean replica. What joins
/// comes after what is read.
pub fn jobs(epoch: &Epoch, stale: &Stale, up: &BTreeSet<String>) -> Vec<Job> {
    let mut jobs: BTreeMap<(bool, &str, &str), BTreeSet<ShardId>> = BTreeMap::new();
    for (target, shards) in stale.iter().filter(|(node, _)| up.contains(*node)) {
        for &shard in shards.keys() {
            let joins = !epoch.readers_of(shard).any(|reader| reader == target);
            // One that leaves is read least.
            let mut clean: Vec<&str> = epoch
                .clean_readers_of(shard, stale)
                .filter(|node| up.contains(*node) && node != target)
                .collect();
            clean.sort_by_key(|node| stale.get(*node).map_or(0, BTreeMap::len));
            if let Some(source) = clean.first() {
                jobs.entry((joins, target, source)).or_default().insert(shard);
            }
        }
    }
    let job = |((_, target, source), shards): ((bool, &str, &str), BTreeSet<ShardId>)| Job {
        target: target.to_owned(),
        source: source.to_owned(),
        shards,
    };
    jobs.into_iter().map(job).collect()
}

fn replica(cluster: &Cluster, node: &str) -> Result<Replica, StoreError> {
    let gone = || StoreError::Conflict(format!("node {node} is not in the cluster any more"));
    Ok(Replica { node: node.to_owned(), client: cluster.client(node).ok_or_else(gone)? })
}

/// Waits until it is known what has become of all that a node was asked up to now.
async fn tasks_seen(cluster: &Cluster, node: &str) {
    let is_open = |part: &TaskPart| part.node == node && !part.is_missed() && !part.status.is_final();
    let mut newest = None;
    loop {
        if let Ok(tasks) = cluster.store.unfinished_tasks(usize::MAX).await {
            let newest = *newest.get_or_insert_with(|| tasks.iter().map(|task| task.uid).max());
            let are_open =
                tasks.iter().any(|task| Some(task.uid) <= newest && task.parts.iter().any(is_open));
            if !are_open {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes the target's replicas equal to the source's, and marks them clean if the target missed nothing meanwhile.
///
/// # Errors
/// Why it could not be done; what was done stays, and it may be begun again.
pub async fn repair(cluster: &Cluster, job: &Job, progress: &Arc<Progress>) -> Result<(), CopyError> {
    let (source, target) = (replica(cluster, &job.source)?, replica(cluster, &job.target)?);
    // What has become clean since the job was made is read: nobody may see what a copy brings before it is compared.
    let mut missed = cluster.store.stale_replicas().await?.remove(&job.target).unwrap_or_default();
    missed.retain(|shard, _| job.shards.contains(shard));
    if missed.is_empty() {
        return Ok(());
    }
    let shards: Vec<ShardId> = missed.keys().copied().collect();
    let context = cluster.rebalance.copying(cluster);
    let mut done = DoneIndexes::new();
    while let Some(index) = CopiedIndex::next(&*cluster.store, &done).await? {
        match sync(context, &index, &shards, &source, &target, progress).await {
            Ok(()) => {
                done.insert((index.uid, index.generation));
            }
            Err(CopyError::IndexChanged(uid)) => {
                info!(index = uid, "the index has changed while it was copied: beginning it anew");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(CopyError::WritesUnderWay(_)) => fence::fence(cluster).await?,
            Err(error) => return Err(error),
        }
    }
    // A task that has failed on the source alone makes it stale as soon as that is seen.
    let patience = Duration::from_millis(cluster.config.rebalance.write_patience_ms);
    if timeout(patience, tasks_seen(cluster, &job.source)).await.is_err() {
        return Err(CopyError::Store(StoreError::Conflict(format!(
            "tasks of node {} are not known yet",
            job.source
        ))));
    }
    let clean = cluster.store.mark_clean(&job.target, &missed, Some(&job.source)).await?;
    info!(node = job.target, source = job.source, shards = ?clean, "replicas are clean");
    cluster.publish_everywhere().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::IndexRecord;
    use crate::testing;

    #[tokio::test]
    async fn what_is_clean_by_now_is_left_alone() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        let index = IndexRecord { primary_key: Some("id".into()), ..testing::index("movies") };
        cluster.store.save_index(&index).await.unwrap();
        let epoch = cluster.store.current_epoch().await.unwrap().unwrap();
        let owners: Vec<&str> = epoch.owners_of(3).collect();
        let (source, target) = (owners[0].to_owned(), owners[1].to_owned());
        let job = Job { target: target.clone(), source, shards: BTreeSet::from([3]) };
        // Nobody finds these nodes, so to copy anything is an error.
        repair(&cluster, &job, &Arc::default()).await.unwrap();
        cluster.store.mark_stale(&target, &[3], 8).await.unwrap();
        assert!(repair(&cluster, &job, &Arc::default()).await.is_err());
        assert!(cluster.store.stale_replicas().await.unwrap()[&target].contains_key(&3));
    }
}
