//! Following what nodes make of a write that is no task of a client's, because it was refused. One node may do its part and
//! another fail to; then they differ, and nobody would know before all replicas are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use miroir_core::control::{PartOutcome, WritePart};
use miroir_core::rebalance::Refused;
use miroir_core::shard::ShardId;
use tracing::{error, warn};

use crate::cluster::Cluster;
use crate::store::StoreError;

/// How long a node may take for its part; it may have much to do before.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a node has taken of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    node: String,
    task: u64,
    shards: BTreeSet<ShardId>,
}

/// What nodes have taken of a write.
pub fn taken(parts: &[WritePart]) -> Vec<Taken> {
    let of_part = |part: &WritePart| match part.outcome {
        PartOutcome::Accepted(task) => {
            Some(Taken { node: part.node.clone(), task, shards: part.shards.iter().copied().collect() })
        }
        PartOutcome::Missed(_) => None,
    };
    parts.iter().filter_map(of_part).collect()
}

/// Waits in the background until nodes have done what they took of a refused write, and marks those stale that come to
/// differ from others by it. A control plane that is stopped meanwhile forgets it.
pub fn follow(cluster: &Arc<Cluster>, taken: Vec<Taken>, of: ShardId) {
    let nodes: BTreeSet<&String> = taken.iter().map(|part| &part.node).collect();
    if nodes.len() < 2 {
        return;
    }
    let cluster = cluster.clone();
    tokio::spawn(async move {
        let outcomes = taken.into_iter().map(|part| async {
            let is_done = match cluster.client(&part.node) {
                Some(client) => client.wait_for_task(part.task, PATIENCE).await.is_ok(),
                None => false,
            };
            (part, is_done)
        });
        let outcomes = join_all(outcomes).await;
        let Some(difference) = difference(&outcomes, of) else { return };
        warn!(?difference, "a refused write was done on some nodes and failed on others");
        if let Err(error) = leave(&cluster, difference).await {
            error!(%error, "what a refused write has left could not be recorded");
        }
    });
}

async fn leave(cluster: &Cluster, difference: Refused) -> Result<(), StoreError> {
    cluster.store.leave(&difference).await?;
    cluster.rebalance.wake();
    cluster.publish_everywhere().await
}

/// What differs between nodes that did their parts and nodes that did not; `None` if all did, or none.
fn difference(outcomes: &[(Taken, bool)], of: ShardId) -> Option<Refused> {
    let mut took: BTreeMap<String, BTreeSet<ShardId>> = BTreeMap::new();
    let mut missed = took.clone();
    for (part, is_done) in outcomes {
        let shards = if *is_done { &mut took } else { &mut missed };
        shards.entry(part.node.clone()).or_default().extend(&part.shards);
    }
    let differs = !took.is_empty() && !missed.is_empty();
    differs.then_some(Refused { took, missed, of, differs: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_differ_if_one_did_its_part_and_another_did_not() {
        let part = |node: &str, is_done| {
            (Taken { node: node.to_owned(), task: 1, shards: BTreeSet::from([2, 5]) }, is_done)
        };
        let shards = |node: &str| BTreeMap::from([(node.to_owned(), BTreeSet::from([2, 5]))]);
        assert!(difference(&[part("a", true), part("b", true)], 8).is_none());
        assert!(difference(&[part("a", false), part("b", false)], 8).is_none());
        let found = difference(&[part("a", true), part("b", false)], 8).unwrap();
        assert_eq!((found.took, found.missed, found.of), (shards("a"), shards("b"), 8));
        // Of several parts of one node all must be done.
        let found = difference(&[part("a", true), part("a", false), part("b", true)], 8).unwrap();
        assert_eq!(found.missed, shards("a"));
    }
}
