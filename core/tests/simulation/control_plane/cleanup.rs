//! Deleting what nodes hold of shards that they don't own any more.

use std::collections::BTreeSet;

use miroir_core::shard::ShardId;

use super::copy::done;
use super::notices::Notices;
use super::{barrier, is_up, publish, with};
use crate::node::Work;
use crate::world::{Break, FORGET, Sim};

/// Deletes what may be deleted by now.
pub async fn run(sim: &Sim) {
    let leftovers = sim.store.borrow().epoch.leftovers.clone();
    with(sim, |running| running.leftovers.keep(sim, &leftovers));
    let members = sim.store.borrow().topology.members();
    for (node, mut shards) in leftovers {
        if !members.contains(&node) {
            sim.store.borrow_mut().remove_leftovers(&node, &shards);
            continue;
        }
        // What is copied now would come after.
        let is_copied = |shard: ShardId| with(sim, |running| running.copying == Some((node.clone(), shard)));
        shards.retain(|shard| !is_copied(*shard));
        let is_over = |shard| Notices::is_over(sim, &node, shard, |running| &mut running.leftovers);
        let may_go = |shard: &ShardId| sim.lacks(Break::CleanupWaits) || is_over(*shard);
        let shards: BTreeSet<ShardId> = shards.into_iter().filter(may_go).collect();
        if shards.is_empty() || !is_up(sim, &node) {
            continue;
        }
        // A write that began by an epoch in which the node was an owner may bring more.
        if !barrier(sim, FORGET + 10).await {
            continue;
        }
        if done(sim, &node, Work::DeleteShards(shards.clone())).await.is_some() {
            sim.store.borrow_mut().remove_leftovers(&node, &shards);
            publish(sim);
        }
    }
}
