//! On the way to the placement that is wanted: one epoch after the other.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::{Epoch, Situation, advance};
use miroir_core::shard::ShardId;

use super::notices::Notices;
use super::{cleanup, publish, run_with, topology, with};
use crate::clock::Time;
use crate::world::{Break, Sim, World};

/// How long the Envoys are waited for before older epochs are retired.
const ENVOYS_WAIT: Time = 120;

pub async fn run(sim: &Sim) {
    // Writes that began before the start are not known any more: none of them may be acknowledged after a repair.
    let now = sim.store.borrow().epoch.clone();
    let again = Epoch { epoch: now.epoch + 1, ..now };
    enter(sim, again).await;
    with(sim, |running| running.is_settled = true);
    loop {
        sim.sleep(sim.random.between(10, 30)).await;
        let announced = announced(sim);
        let next = {
            let store = sim.store.borrow();
            let members = store.topology.members();
            let (target, stale) = (&store.target, &store.stale);
            let situation = Situation { target, stale, members: &members, at_once: 2, announced: &announced };
            advance(&store.epoch, &situation)
        };
        match next {
            Some(next) => enter(sim, next).await,
            None => cleanup::run(sim).await,
        }
        topology::drop_empty(sim);
    }
}

/// Those who may join because nobody reads any more as if they held nothing.
fn announced(sim: &World) -> BTreeMap<String, BTreeSet<ShardId>> {
    let coming = sim.store.borrow().epoch.coming.clone();
    if sim.lacks(Break::Announcement) {
        return coming;
    }
    with(sim, |running| running.announcements.keep(sim, &coming));
    let mut announced = coming;
    for (node, shards) in &mut announced {
        shards.retain(|shard| Notices::is_over(sim, node, *shard, |running| &mut running.announcements));
    }
    announced
}

async fn enter(sim: &Sim, epoch: Epoch) {
    let number = epoch.epoch;
    sim.note(|| {
        format!(
            "epoch {number}: {:?} joining {:?} leftovers {:?} coming {:?}",
            epoch.owners, epoch.joining, epoch.leftovers, epoch.coming
        )
    });
    if !sim.store.borrow_mut().add_epoch(epoch) {
        return;
    }
    let version = publish(sim);
    run_with(sim, version, ENVOYS_WAIT).await;
    if !sim.lacks(Break::Retiring) {
        sim.store.borrow_mut().retire_epochs_below(number);
    }
}
