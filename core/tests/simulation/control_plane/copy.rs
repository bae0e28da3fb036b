//! Making one node's copy of a shard equal to another's while clients write.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::shard::ShardId;

use super::health::drain;
use super::{barrier, with};
use crate::clock::Time;
use crate::node::{Document, DocumentId, Work};
use crate::world::{Break, FORGET, Sim, ask};

const CHUNK: usize = 2;
/// From this pass on writes are held back for the last one.
const HOLD_FROM: usize = 2;
const HOLD_PATIENCE: Time = 150;
const PASSES: usize = 12;

/// `None` if it was not finished.
pub async fn copy(sim: &Sim, source: &str, target: &str, shard: ShardId) -> Option<()> {
    let copy = Copy { sim, source, target, shard };
    copy.settle().await?;
    let mut ids = copy.ids(source, shard).await?;
    ids.extend(copy.ids(target, shard).await?);
    let mut left = copy.pass(ids).await?;
    if sim.lacks(Break::Recheck) {
        return Some(());
    }
    for pass in 1..PASSES {
        if left.is_empty() {
            return Some(());
        }
        copy.settle().await?;
        if pass >= HOLD_FROM && copy.hold().await {
            copy.drain().await?;
            let touched = copy.pass(left).await?;
            return copy.pass(touched).await?.is_empty().then_some(());
        }
        left = copy.pass(left).await?;
    }
    None
}

struct Copy<'c> {
    sim: &'c Sim,
    source: &'c str,
    target: &'c str,
    shard: ShardId,
}

impl Copy<'_> {
    /// Waits until all writes that began before are on both nodes, and done there.
    async fn settle(&self) -> Option<()> {
        if self.sim.lacks(Break::Barrier) {
            return Some(());
        }
        barrier(self.sim, FORGET + 10).await.then_some(())?;
        self.drain().await
    }

    async fn drain(&self) -> Option<()> {
        drain(self.sim, self.source).await?;
        drain(self.sim, self.target).await
    }

    /// Keeps clients' writes waiting, if those under way end soon.
    async fn hold(&self) -> bool {
        with(self.sim, |running| running.gate_is_closed = true);
        let all_over = || with(self.sim, |running| running.tickets.is_empty());
        let held = self.sim.clock.until(HOLD_PATIENCE, all_over).await;
        with(self.sim, |running| running.gate_is_closed = held);
        held
    }

    async fn ids(&self, node: &str, shard: ShardId) -> Option<BTreeSet<DocumentId>> {
        ask(self.sim, node, move |node| node.has_index.then(|| node.ids_of(shard))).await?
    }

    /// Copies what differs, and returns what it touched.
    async fn pass(&self, ids: BTreeSet<DocumentId>) -> Option<BTreeSet<DocumentId>> {
        let ids: Vec<DocumentId> = ids.into_iter().collect();
        let mut touched = BTreeSet::new();
        for chunk in ids.chunks(CHUNK) {
            // It may be on its way to be cleaned up by now.
            self.sim.store.borrow().epoch.owns(self.target, self.shard).then_some(())?;
            let source = self.read(self.source, chunk).await?;
            let target = self.read(self.target, chunk).await?;
            let differs = |id: &&DocumentId| source.get(id) != target.get(id);
            let (add, delete): (Vec<DocumentId>, Vec<DocumentId>) =
                chunk.iter().filter(differs).partition(|id| source.contains_key(id));
            touched.extend(add.iter().chain(&delete));
            let add: Vec<(DocumentId, Document)> = add.into_iter().map(|id| (id, source[&id])).collect();
            if !add.is_empty() {
                self.done(Work::Replace(add)).await?;
            }
            if !delete.is_empty() {
                self.done(Work::Delete(delete)).await?;
            }
        }
        Some(touched)
    }

    async fn read(&self, node: &str, ids: &[DocumentId]) -> Option<BTreeMap<DocumentId, Document>> {
        let ids = ids.to_vec();
        let read = move |node: &mut crate::node::Node| {
            let found = ids.iter().filter_map(|id| Some((*id, *node.documents.get(id)?)));
            node.has_index.then(|| found.collect())
        };
        ask(self.sim, node, read).await?
    }

    /// Has the target do something and waits until it is done.
    async fn done(&self, work: Work) -> Option<()> {
        done(self.sim, self.target, work).await
    }
}

pub async fn done(sim: &Sim, node: &str, work: Work) -> Option<()> {
    sim.note(|| format!("{node} is to {work:?}"));
    let uid = ask(sim, node, move |node| node.enqueue(0, work)).await?;
    loop {
        let success = ask(sim, node, move |node| {
            let waits = node.queue.iter().any(|task| task.uid == uid);
            (!waits).then(|| node.finished.get(&uid) == Some(&true))
        });
        match success.await? {
            Some(success) => return success.then_some(()),
            None => sim.sleep(5).await,
        }
    }
}
