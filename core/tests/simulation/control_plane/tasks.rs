//! What became of the nodes' tasks, as the control plane's poller sees it.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::PartOutcome;
use miroir_core::shard::ShardId;

use super::{is_up, publish};
use crate::store::{Missed, TaskPart, TaskRecord};
use crate::world::{Break, Sim, ask};

/// Looks after unfinished tasks for ever.
pub async fn poll(sim: &Sim) {
    loop {
        sim.sleep(sim.random.between(10, 40)).await;
        let tasks = sim.store.borrow_mut().unfinished();
        let mut questions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for part in tasks.iter().flat_map(|(_, task)| &task.parts) {
            if let (PartOutcome::Accepted(uid), None, true) =
                (&part.outcome, part.success, is_up(sim, &part.node))
            {
                questions.entry(part.node.clone()).or_default().push(*uid);
            }
        }
        let mut answers: BTreeMap<String, BTreeMap<u64, Known>> = BTreeMap::new();
        for (node, uids) in questions {
            let known = ask(sim, &node, move |node| {
                let known = |uid: &u64| match (
                    node.finished.get(uid),
                    node.queue.iter().any(|task| task.uid == *uid),
                ) {
                    (Some(success), _) => Known::Done(*success),
                    (None, true) => Known::Waiting,
                    (None, false) => Known::Lost,
                };
                uids.iter().map(|uid| (*uid, known(uid))).collect()
            });
            if let Some(known) = known.await {
                answers.insert(node, known);
            }
        }
        for (place, task) in tasks {
            finish(sim, place, task, &answers);
        }
    }
}

#[derive(Clone, Copy)]
enum Known {
    Waiting,
    Done(bool),
    Lost,
}

fn finish(sim: &Sim, place: usize, mut task: TaskRecord, answers: &BTreeMap<String, BTreeMap<u64, Known>>) {
    let mut is_changed = false;
    let before = task.clone();
    let members = sim.store.borrow().topology.members();
    for part in &mut task.parts {
        let (PartOutcome::Accepted(uid), None) = (&part.outcome, part.success) else { continue };
        if !members.contains(&part.node) {
            // Nobody will ever know.
            part.outcome = PartOutcome::Missed("removed".into());
            continue;
        }
        match answers.get(&part.node).and_then(|known| known.get(uid)) {
            Some(Known::Done(success)) => part.success = Some(*success),
            Some(Known::Lost) => {
                part.outcome = PartOutcome::Missed("lost".into());
                sim.store.borrow_mut().mark_lost(&part.node, &part.shards);
                is_changed = true;
            }
            Some(Known::Waiting) | None => {}
        }
    }
    let copies = sim.store.borrow().topology.replication_factor;
    let quorum = if copies <= 2 { 1 } else { copies / 2 + 1 };
    let succeeded = status(&task, quorum, |node| !is_up(sim, node));
    if let Some(succeeded) = succeeded.filter(|_| task != before || !task.is_told) {
        task.is_told = true;
        let is_done =
            |part: &TaskPart| part.success.is_some() || !matches!(part.outcome, PartOutcome::Accepted(_));
        task.is_over = sim.lacks(Break::FollowsAll) || task.parts.iter().all(is_done);
        for (node, shards) in left_behind(&task, succeeded, !sim.lacks(Break::StaleTakersMark)) {
            sim.note(|| format!("{node} is left behind in {shards:?}"));
            sim.store.borrow_mut().mark_stale(&node, &shards);
            is_changed = true;
        }
    }
    sim.store.borrow_mut().tasks[place] = task;
    if is_changed {
        publish(sim);
    }
}

/// Whether it succeeded; `None` while that is not known. As in the control plane's `tasks::merge`.
fn status(task: &TaskRecord, quorum: usize, is_away: impl Fn(&str) -> bool) -> Option<bool> {
    let enqueued = |part: &&TaskPart| matches!(part.outcome, PartOutcome::Accepted(_));
    let waiting = task.parts.iter().filter(enqueued).filter(|part| part.success.is_none());
    let (away, present): (Vec<&TaskPart>, Vec<&TaskPart>) = waiting.partition(|part| is_away(&part.node));
    if !present.is_empty() {
        return None;
    }
    if task.parts.iter().any(|part| part.success == Some(false)) {
        return Some(false);
    }
    let done = done(task);
    let covers = |part: &TaskPart, quorum: usize| {
        part.shards.iter().all(|shard| done.get(shard).is_some_and(|copies| *copies >= quorum))
    };
    if !away.iter().all(|part| covers(part, quorum)) {
        return None;
    }
    Some(!task.fails && task.parts.iter().filter(|part| !enqueued(part)).all(|part| covers(part, 1)))
}

/// On how many reliable nodes all of it has succeeded, by shard.
fn done(task: &TaskRecord) -> BTreeMap<ShardId, usize> {
    let mut nodes: BTreeMap<&str, (BTreeSet<ShardId>, BTreeSet<ShardId>)> = BTreeMap::new();
    for part in &task.parts {
        let (done, undone) = nodes.entry(&part.node).or_default();
        match part.success {
            Some(true) => done.extend(part.shards.iter().filter(|shard| !part.unreliable.contains(shard))),
            _ => undone.extend(&part.shards),
        }
    }
    let mut copies = BTreeMap::new();
    for shard in nodes.values().flat_map(|(done, undone)| done.difference(undone)) {
        *copies.entry(*shard).or_default() += 1;
    }
    copies
}

fn left_behind(task: &TaskRecord, succeeded: bool, marks_unreliable: bool) -> Missed {
    let done = done(task);
    let behind = task.parts.iter().filter_map(|part| {
        let has_gone_on = |shard: &ShardId| done.contains_key(shard);
        let shards: Vec<ShardId> = match part.success {
            Some(false) => part.shards.iter().copied().filter(has_gone_on).collect(),
            // A repair may have compared it before.
            Some(true) if marks_unreliable => {
                part.unreliable.iter().copied().filter(|shard| !has_gone_on(shard)).collect()
            }
            None if !succeeded && matches!(part.outcome, PartOutcome::Accepted(_)) => {
                part.shards.iter().copied().filter(|shard| !has_gone_on(shard)).collect()
            }
            _ => return None,
        };
        Some((part.node.clone(), shards))
    });
    behind.filter(|(_, shards)| !shards.is_empty()).collect()
}
