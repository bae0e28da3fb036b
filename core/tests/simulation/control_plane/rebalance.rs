//! On the way to the placement that is wanted: one epoch after the other.

use miroir_core::rebalance::{Epoch, Situation, advance};

use super::{cleanup, everyone_runs_with, publish, run_with, topology, with};
use crate::clock::Time;
use crate::world::{Break, Sim};

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
        let version = with(sim, |running| running.epoch_version);
        let is_announced = sim.lacks(Break::Announcement) || everyone_runs_with(sim, version);
        let next = {
            let store = sim.store.borrow();
            let members = store.topology.members();
            let situation = Situation { target: &store.target, stale: &store.stale, members: &members, at_once: 2, is_announced };
            advance(&store.epoch, &situation)
        };
        match next {
            Some(next) => enter(sim, next).await,
            None => cleanup::run(sim).await,
        }
        topology::drop_empty(sim);
    }
}

async fn enter(sim: &Sim, epoch: Epoch) {
    let number = epoch.epoch;
    sim.note(|| format!("epoch {number}: {:?} joining {:?} leftovers {:?} coming {:?}", epoch.owners, epoch.joining, epoch.leftovers, epoch.coming));
    if !sim.store.borrow_mut().add_epoch(epoch) {
        return;
    }
    let version = publish(sim);
    with(sim, |running| running.epoch_version = version);
    run_with(sim, version, ENVOYS_WAIT).await;
    if !sim.lacks(Break::Retiring) {
        sim.store.borrow_mut().retire_epochs_below(number);
    }
}
