//! Which nodes can be used.

use miroir_core::shard::ShardId;

use super::notices::longest_request;
use super::{everyone_runs_with, publish, with};
use crate::clock::{Owner, Time};

use crate::world::{NODES, SHARDS, Sim, ask};

const LONG: Time = Time::MAX / 2;

pub fn watch(sim: &Sim) {
    for node in NODES {
        let world = sim.clone();
        sim.clock.spawn(Owner::ControlPlane, async move { watch_node(&world, node).await });
    }
}

async fn watch_node(sim: &Sim, node: &str) {
    let mut bad = 0;
    loop {
        sim.sleep(sim.random.between(25, 45)).await;
        if !sim.store.borrow().topology.members().contains(node) {
            with(sim, |running| running.up.remove(node));
            sim.sleep(30).await;
            continue;
        }
        let answers = ask(sim, node, |_| ()).await.is_some();
        bad = if answers { 0 } else { bad + 1 };
        let up = with(sim, |running| running.up.get(node).copied());
        let verdict = match up {
            Some(true) if bad >= 2 => false,
            None if !answers => false,
            None | Some(false) if answers => bring_up(sim, node).await.is_some(),
            _ => continue,
        };
        if with(sim, |running| running.up.insert(node.to_owned(), verdict)) != Some(verdict) {
            sim.note(|| format!("{node} is up: {verdict}"));
            publish(sim);
        }
    }
}

/// A node does all that it has accepted first. One that lost its index has lost its replicas.
async fn bring_up(sim: &Sim, node: &str) -> Option<()> {
    drain(sim, node).await?;
    if ask(sim, node, |node| node.has_index).await? {
        return Some(());
    }
    let owned: Vec<ShardId> =
        (0..SHARDS).filter(|shard| sim.store.borrow().epoch.owns(node, *shard)).collect();
    sim.note(|| format!("{node} has lost {owned:?}"));
    sim.store.borrow_mut().mark_lost(node, &owned);
    let version = publish(sim);
    // Until it has an index again nobody takes it for one that has no documents.
    sim.clock.until(LONG, || everyone_runs_with(sim, version)).await;
    sim.sleep(longest_request(sim)).await;
    ask(sim, node, |node| node.has_index = true).await
}

/// Waits until the node has done all that it has accepted up to now.
pub async fn drain(sim: &Sim, node: &str) -> Option<()> {
    let newest = ask(sim, node, |node| node.newest_task()).await?;
    while !ask(sim, node, move |node| node.has_done(newest)).await? {
        sim.sleep(5).await;
    }
    Some(())
}
