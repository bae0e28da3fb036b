//! What the filter says of a write: that it begins, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::{BEGIN_WRITE_PATH, BeginWrite, BegunWrite, PartOutcome, RegisterWrite, WritePart};
use miroir_core::error::routing_stale;
use miroir_core::exchange::{Answer, Call};
use miroir_core::shard::ShardId;

use super::{is_up, publish, run_with, with};
use crate::clock::Time;
use crate::node::answer;
use crate::store::{Fence, Missed, Refused, TaskPart, TaskRecord};
use crate::world::{Break, CONTROL_TIMEOUT, Sim, World};

/// How long the Envoys are waited for before a client hears of its write.
const ENVOYS_WAIT: Time = 60;

pub async fn handle(sim: &Sim, call: &Call) -> Answer {
    if call.target == BEGIN_WRITE_PATH {
        let begins: BeginWrite = serde_json::from_slice(&call.body).expect("a write that begins");
        return begin(sim, begins.epoch).await;
    }
    let write: RegisterWrite = serde_json::from_slice(&call.body).expect("a registration");
    let ticket = write.ticket.clone();
    sim.note(|| {
        let (epoch, acknowledged, error) = (write.epoch, write.acknowledged, write.error.is_some());
        let parts: Vec<String> = write
            .parts
            .iter()
            .map(|part| format!("{} {:?} {:?}", part.node, part.shards, part.outcome))
            .collect();
        format!("register by epoch {epoch} acknowledged {acknowledged} error {error}: {}", parts.join("; "))
    });
    let answer = register(sim, write).await;
    sim.note(|| format!("registered: {}", answer.status));
    if let Some(ticket) = ticket {
        with(sim, |running| running.tickets.remove(&ticket));
    }
    answer
}

async fn begin(sim: &World, epoch: u64) -> Answer {
    if !sim.clock.until(CONTROL_TIMEOUT, || with(sim, |running| !running.gate_is_closed)).await {
        return answer(503, b"{}".to_vec());
    }
    // It could not be registered, but what it leaves on nodes would come after barriers that did not know of it.
    if sim.store.borrow().is_retired(epoch)
        && !sim.lacks(Break::Retiring)
        && !sim.lacks(Break::BeginChecksEpoch)
    {
        return conflict();
    }
    let ticket = format!("{:x}", sim.random.draw());
    with(sim, |running| running.tickets.insert(ticket.clone(), sim.now()));
    let begun = BegunWrite {
        exists: true,
        primary_key: Some("id".into()),
        ticket: Some(ticket),
        node_key: None,
        first_answer: None,
    };
    answer(200, serde_json::to_vec(&begun).unwrap_or_default())
}

async fn register(sim: &Sim, write: RegisterWrite) -> Answer {
    let missed = missed(&write.parts);
    let accepted = accepted(&write.parts);
    let parts = write.parts.clone();
    let follow = || follow(sim, parts);
    let is_retired = sim.store.borrow().is_retired(write.epoch) && !sim.lacks(Break::Retiring);
    // Nobody knows who of the owners of today lacks what it has left on nodes.
    if is_retired && !sim.lacks(Break::RefusedWritesMark) {
        follow();
        return refuse(sim, accepted, missed).await;
    }
    if !write.acknowledged {
        follow();
        mark_stale(sim, &behind(sim, missed, &accepted)).await;
        return answer(204, Vec::new());
    }
    let fails = write.error.is_some();
    let parts =
        write.parts.into_iter().filter(|part| !fails || matches!(part.outcome, PartOutcome::Accepted(_)));
    let parts: Vec<TaskPart> = parts.map(task_part).collect();
    let task =
        TaskRecord { ticket: write.ticket, is_over: fails && parts.is_empty(), parts, fails, is_told: false };
    let fence = Fence {
        epoch: write.epoch,
        checks_epoch: !sim.lacks(Break::Retiring),
        checks_takers: !sim.lacks(Break::CleanTaker),
        counts_joiners: sim.lacks(Break::JoiningOwnersDontCount),
    };
    if fails {
        mark_stale(sim, &behind(sim, missed.clone(), &accepted)).await;
    }
    let registered = sim.store.borrow_mut().register(task, &missed, Some(fence).filter(|_| !fails));
    match registered {
        Ok(()) if !fails && !missed.is_empty() => publish_everywhere(sim).await,
        Ok(()) => {}
        Err(Refused::EpochRetired) => {
            mark_stale(sim, &missed).await;
            return conflict();
        }
        Err(Refused::NoCleanCopy) => {
            follow();
            return refuse(sim, accepted, missed).await;
        }
    }
    answer(200, b"{\"taskUid\":1}".to_vec())
}

/// What is not acknowledged may still fail on one node and be done on another.
fn follow(sim: &World, parts: Vec<WritePart>) {
    if sim.lacks(Break::FollowsAll) {
        return;
    }
    let accepted = parts.into_iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_)));
    let parts: Vec<TaskPart> = accepted.map(task_part).collect();
    let mut store = sim.store.borrow_mut();
    let is_over = parts.is_empty();
    let mut task = TaskRecord { ticket: None, parts, fails: true, is_over, is_told: true };
    store.note_unreliable(&mut task.parts);
    store.tasks.push(task);
}

fn conflict() -> Answer {
    answer(409, routing_stale().to_json())
}

/// Cares for what a refused write may have left on nodes. Of each shard one clean owner that took it is what the others
/// are repaired from; where none did, whoever took it is. Who took it and owns it no more has it left over.
async fn refuse(sim: &Sim, accepted: BTreeMap<String, BTreeSet<ShardId>>, missed: Missed) -> Answer {
    let shards: BTreeSet<ShardId> =
        accepted.values().flatten().chain(missed.iter().flat_map(|(_, shards)| shards)).copied().collect();
    for shard in shards {
        let took = |node: &str| accepted.get(node).is_some_and(|shards| shards.contains(&shard));
        let mut store = sim.store.borrow_mut();
        let clean = store.epoch.clean_readers_of(shard, &store.stale);
        let mut takers: Vec<String> = clean.filter(|node| took(node)).map(str::to_owned).collect();
        takers.sort_by_key(|node| !is_up(sim, node));
        let kept = takers.first();
        let owners: Vec<String> = store.epoch.owners_of(shard).map(str::to_owned).collect();
        let may_differ = |node: &&String| match kept {
            Some(kept) => *node != kept,
            None => {
                took(node) || missed.iter().any(|(other, shards)| other == *node && shards.contains(&shard))
            }
        };
        owners.iter().filter(may_differ).for_each(|node| store.mark_stale(node, &[shard]));
        for node in accepted.keys().filter(|node| took(node) && !owners.contains(node)) {
            store.add_leftover(node, shard);
        }
    }
    publish_everywhere(sim).await;
    conflict()
}

/// The owners that have to be repaired after a write that is not acknowledged: those that missed it, and where no clean
/// one took it, those that took it. They are stale, but a repair that is under way may have compared them before.
fn behind(sim: &World, mut missed: Missed, accepted: &BTreeMap<String, BTreeSet<ShardId>>) -> Missed {
    if sim.lacks(Break::StaleTakersMark) {
        return missed;
    }
    let store = sim.store.borrow();
    let has_clean_taker = |shard: &ShardId| {
        let mut clean = store.epoch.clean_readers_of(*shard, &store.stale);
        clean.any(|node| accepted.get(node).is_some_and(|shards| shards.contains(shard)))
    };
    for (node, shards) in accepted {
        missed.push((node.clone(), shards.iter().copied().filter(|shard| !has_clean_taker(shard)).collect()));
    }
    missed.retain(|(_, shards)| !shards.is_empty());
    missed
}

async fn mark_stale(sim: &Sim, missed: &Missed) {
    if missed.is_empty() {
        return;
    }
    for (node, shards) in missed {
        sim.store.borrow_mut().mark_stale(node, shards);
    }
    publish_everywhere(sim).await;
}

async fn publish_everywhere(sim: &Sim) {
    let version = publish(sim);
    run_with(sim, version, ENVOYS_WAIT).await;
}

fn accepted(parts: &[WritePart]) -> BTreeMap<String, BTreeSet<ShardId>> {
    let mut accepted: BTreeMap<String, BTreeSet<ShardId>> = BTreeMap::new();
    for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
        accepted.entry(part.node.clone()).or_default().extend(&part.shards);
    }
    accepted
}

fn missed(parts: &[WritePart]) -> Missed {
    let missed = parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Missed(_)));
    missed.map(|part| (part.node.clone(), part.shards.clone())).collect()
}

fn task_part(part: WritePart) -> TaskPart {
    let WritePart { node, shards, outcome, .. } = part;
    TaskPart { node, shards, outcome, success: None, unreliable: Vec::new() }
}
