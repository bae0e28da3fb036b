//! Deleting what nodes hold of shards that they don't own any more.

use std::collections::BTreeSet;

use miroir_core::shard::ShardId;

use super::copy::done;
use super::{barrier, everyone_runs_with, is_up, publish, with};
use crate::clock::Time;
use crate::node::Work;
use crate::world::{Break, CONTROL_TIMEOUT, FORGET, READ_TIMEOUT, Sim, WRITE_TIMEOUT};

/// Deletes what may be deleted by now.
pub async fn run(sim: &Sim) {
    let leftovers = sim.store.borrow().epoch.leftovers.clone();
    let version = sim.store.borrow().table_version;
    let now = sim.now();
    with(sim, |running| {
        let is_left = |node: &str, shard| leftovers.get(node).is_some_and(|left| left.contains(&shard));
        running.leftovers.retain(|(node, shard), _| is_left(node, *shard));
        for (node, shards) in &leftovers {
            for shard in shards {
                running.leftovers.entry((node.clone(), *shard)).or_insert((now, version));
            }
        }
    });
    for (node, mut shards) in leftovers {
        // What is copied now would come after.
        let is_copied = |shard: ShardId| with(sim, |running| running.copying == Some((node.clone(), shard)));
        shards.retain(|shard| !is_copied(*shard));
        let may_go = |shard: &ShardId| {
            let (since, version) = with(sim, |running| running.leftovers[&(node.clone(), *shard)]);
            sim.lacks(Break::CleanupWaits) || now >= since + longest_request() && everyone_runs_with(sim, version)
        };
        let shards: BTreeSet<ShardId> = shards.into_iter().filter(may_go).collect();
        if shards.is_empty() || !is_up(sim, &node) {
            continue;
        }
        // A write that began by an epoch in which the node was an owner may bring more.
        if !sim.lacks(Break::CleanupBarrier) && !barrier(sim, FORGET + 10).await {
            continue;
        }
        if done(sim, &node, Work::DeleteShards(shards.clone())).await.is_some() {
            sim.store.borrow_mut().remove_leftovers(&node, &shards);
            publish(sim);
        }
    }
}

fn longest_request() -> Time {
    READ_TIMEOUT.max(WRITE_TIMEOUT).max(CONTROL_TIMEOUT)
}
