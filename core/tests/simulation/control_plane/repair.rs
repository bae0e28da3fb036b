//! Stale replicas are made equal to a clean one: those that missed writes, and those that join.

use miroir_core::shard::ShardId;

use super::copy::copy;
use super::{barrier, is_up, publish, with};
use crate::store::TaskRecord;
use crate::world::{Break, FORGET, Sim};

pub async fn run(sim: &Sim) {
    loop {
        sim.sleep(sim.random.between(5, 20)).await;
        // No write that skipped who joins may be acknowledged any more.
        let is_fenced = {
            let store = sim.store.borrow();
            store.is_retired(store.epoch.epoch - 1) || sim.lacks(Break::Retiring)
        };
        if !is_fenced || !with(sim, |running| running.is_settled) {
            continue;
        }
        let Some((target, shard, miss)) = next(sim) else { continue };
        let Some(source) = source(sim, &target, shard) else { continue };
        sim.note(|| format!("shard {shard} is copied from {source} to {target}"));
        with(sim, |running| running.copying = Some((target.clone(), shard)));
        let mut copied = copy(sim, &source, &target, shard).await;
        if copied.is_some() && !sim.lacks(Break::SourceTasks) {
            copied = source_is_known(sim, &source, shard).await;
        }
        with(sim, |running| {
            running.gate_is_closed = false;
            running.copying = None;
        });
        // The source may have missed a write meanwhile, or left.
        let is_equal = copied.is_some() && is_clean(sim, &source, shard);
        if is_equal && sim.store.borrow_mut().mark_clean(&target, shard, miss) {
            sim.note(|| format!("shard {shard} is clean on {target}"));
            publish(sim);
        }
    }
}

/// Waits until all is known of the source that the copy may have seen: a task may have failed there, which makes the
/// source stale, and the copy too.
async fn source_is_known(sim: &Sim, source: &str, shard: ShardId) -> Option<()> {
    barrier(sim, FORGET + 10).await.then_some(())?;
    let before = sim.store.borrow().tasks.len();
    let is_known = |task: &TaskRecord| {
        task.is_over || !task.parts.iter().any(|part| part.node == source && part.shards.contains(&shard))
    };
    let are_all_known = || sim.store.borrow().tasks[..before].iter().rev().take(60).all(is_known);
    sim.clock.until(FORGET, are_all_known).await.then_some(())
}

fn next(sim: &Sim) -> Option<(String, ShardId, u64)> {
    let store = sim.store.borrow();
    let all = store
        .stale
        .iter()
        .filter(|(node, _)| is_up(sim, node))
        .flat_map(|(node, shards)| shards.iter().map(move |(shard, miss)| (node.clone(), *shard, *miss)));
    sim.random.pick(&all.collect::<Vec<_>>()).cloned()
}

fn source(sim: &Sim, target: &str, shard: ShardId) -> Option<String> {
    let store = sim.store.borrow();
    let clean = store.epoch.clean_readers_of(shard, &store.stale);
    let sources = clean.filter(|node| *node != target && is_up(sim, node));
    sim.random.pick(&sources.map(str::to_owned).collect::<Vec<_>>()).cloned()
}

fn is_clean(sim: &Sim, node: &str, shard: ShardId) -> bool {
    let store = sim.store.borrow();
    store.epoch.clean_readers_of(shard, &store.stale).any(|clean| clean == node)
}
