//! What must hold.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::is_stale;

use crate::history::{Fields, Settled};
use crate::node::{DocumentId, Node, Work};
use crate::world::{SHARDS, World};

/// What a read has to find, unless it is touched meanwhile.
pub struct Expected {
    pub version: u64,
    documents: BTreeMap<DocumentId, Settled>,
}

/// Looks at all documents when a read begins by a table: those that were settled before that table was made must be
/// found.
pub fn expect(sim: &World, version: u64) -> Expected {
    observe(sim);
    let history = sim.history.borrow();
    let settled = history.documents.iter().filter_map(|(id, document)| Some((*id, document.settled?)));
    Expected { version, documents: settled.filter(|(_, settled)| settled.version <= version).collect() }
}

/// Compares what was read with what was expected; `None` for what was not asked for.
pub fn compare(sim: &World, expected: &Expected, read: impl Fn(DocumentId) -> Option<Fields>) {
    sim.history.borrow_mut().checked_reads += 1;
    for (id, settled) in &expected.documents {
        let is_touched = sim.history.borrow().documents[id].attempts.len() != settled.touched;
        let Some(found) = read(*id).filter(|_| !is_touched) else { continue };
        // A node that an old table still names may have what nobody acknowledged.
        if found != settled.fields && !sim.history.borrow().allows(*id, found) {
            let history = sim.history.borrow().describe(*id);
            let (version, wanted) = (expected.version, settled.fields);
            sim.fail(format!("a read by table {version} finds {found:?} instead of {wanted:?}: {history}"));
        }
    }
}

fn fields(node: &Node, id: DocumentId) -> Fields {
    node.documents.get(&id).map_or([None; 2], |document| document.fields)
}

fn waits(node: &Node, id: DocumentId, shard: u32) -> bool {
    node.queue.iter().any(|task| match &task.work {
        Work::Replace(documents) | Work::Update(documents) => documents.iter().any(|(other, _)| *other == id),
        Work::Delete(ids) => ids.contains(&id),
        Work::DeleteShards(shards) => shards.contains(&shard),
    })
}

/// Sees which documents are the same on all clean replicas, and that those that were and were not touched still are.
pub fn observe(sim: &World) {
    let store = sim.store.borrow();
    let nodes = sim.nodes.borrow();
    let mut history = sim.history.borrow_mut();
    for shard in 0..SHARDS {
        if store.epoch.clean_readers_of(shard, &store.stale).next().is_none() && !store.has_lost_all {
            sim.fail(format!("no clean replica of shard {shard} is left"));
        }
        // Also those that will be read only by the next epoch: what waits in their queues is not settled.
        let owners: BTreeSet<&str> = store.epoch.owners_of(shard).collect();
        let clean = owners.into_iter().filter(|node| !is_stale(&store.stale, node, shard));
        // Nobody has seen yet that a node was wiped.
        let clean: Vec<(&str, &Node)> =
            clean.filter_map(|id| Some((id, nodes.get(id).filter(|node| node.has_index)?))).collect();
        let ids: Vec<DocumentId> = history
            .documents
            .iter()
            .filter(|(_, document)| document.shard == shard)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let document = &history.documents[&id];
            let touched = document.attempts.len();
            // Until the control plane has seen that a task failed, a copy on which it succeeded may be taken for clean.
            if document.attempts.last().is_some_and(|last| history.failed.contains(&last.write)) {
                continue;
            }
            let before = document.settled.filter(|settled| settled.touched == touched);
            if let Some(settled) = before {
                let other = clean.iter().find(|(_, node)| fields(node, id) != settled.fields);
                if let Some((name, node)) = other {
                    let (found, wanted) = (fields(node, id), settled.fields);
                    let history = history.describe(id);
                    sim.fail(format!("{name} is clean and has {found:?} instead of {wanted:?}: {history}"));
                }
                continue;
            }
            let mut found = clean.iter().map(|(_, node)| fields(node, id));
            let Some(first) = found.next().filter(|_| !document.is_locked) else { continue };
            let is_settled =
                found.all(|fields| fields == first) && !clean.iter().any(|(_, node)| waits(node, id, shard));
            if is_settled && !history.allows(id, first) {
                let history = history.describe(id);
                sim.fail(format!("all clean replicas have {first:?}: {history}"));
            }
            let settled =
                is_settled.then_some(Settled { touched, fields: first, version: store.table_version });
            history.documents.get_mut(&id).expect("it is there").settled = settled;
        }
    }
}

/// At the end, when all is repaired: each document is on its owners and nowhere else, and is what it must be. Returns
/// those that nobody could know to differ.
pub fn at_rest(sim: &World) -> BTreeSet<DocumentId> {
    observe(sim);
    let store = sim.store.borrow();
    let nodes = sim.nodes.borrow();
    let history = sim.history.borrow();
    let mut differing = BTreeSet::new();
    for (id, document) in &history.documents {
        let owners: BTreeSet<&str> = store.epoch.owners_of(document.shard).collect();
        let held: Vec<Fields> = owners.iter().map(|owner| fields(&nodes[*owner], *id)).collect();
        if held.iter().any(|fields| *fields != held[0]) {
            match document.is_orphan {
                true => drop(differing.insert(*id)),
                false => sim.fail(format!("{owners:?} have {held:?}: {}", history.describe(*id))),
            }
        } else if !history.allows(*id, held[0]) {
            sim.fail(format!("all owners have {:?}: {}", held[0], history.describe(*id)));
        }
        let members = store.topology.members();
        let strays =
            nodes.iter().filter(|(node, _)| members.contains(*node) && !owners.contains(node.as_str()));
        for (name, node) in strays {
            if node.documents.contains_key(id) && !document.is_orphan {
                sim.fail(format!("{name} does not own what it holds: {}", history.describe(*id)));
            }
        }
    }
    differing
}
