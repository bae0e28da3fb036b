//! What the control plane keeps when it crashes. Each method is one transaction, by the rules of its SQLite store.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::PartOutcome;
use miroir_core::rebalance::{Epoch, Owners, Stale};
use miroir_core::shard::ShardId;

#[derive(Default)]
pub struct Store {
    pub epoch: Epoch,
    pub stale: Stale,
    pub target: Owners,
    pub topology: Topology,
    pub tasks: Vec<TaskRecord>,
    pub table_version: u64,
    /// Whether the last clean copy of a shard was wiped: from there all may be lost.
    pub has_lost_all: bool,
    first_live_epoch: u64,
    misses: u64,
    unfinished_from: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// By group the weights of its nodes. A node that is drained has none.
    pub groups: BTreeMap<String, BTreeMap<String, f64>>,
    pub replication_factor: usize,
}

impl Topology {
    pub fn members(&self) -> BTreeSet<String> {
        self.groups.values().flat_map(BTreeMap::keys).cloned().collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    pub ticket: Option<String>,
    pub parts: Vec<TaskPart>,
    pub fails: bool,
    /// Whether the client knows what came of it: the rest of its parts is followed for the sake of the copies.
    pub is_told: bool,
    pub is_over: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskPart {
    pub node: String,
    pub shards: Vec<ShardId>,
    pub outcome: PartOutcome,
    /// Whether it succeeded; `None` while it is not done.
    pub success: Option<bool>,
    /// The shards in which the node was not clean.
    pub unreliable: Vec<ShardId>,
}

/// The owners that missed a write, with the shards they missed.
pub type Missed = Vec<(String, Vec<ShardId>)>;

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    EpochRetired,
    NoCleanCopy,
}

/// What the store asks of a write. The simulation breaks these rules on purpose.
#[derive(Clone, Copy)]
pub struct Fence {
    pub epoch: u64,
    pub checks_epoch: bool,
    pub checks_takers: bool,
    pub counts_joiners: bool,
}

impl Store {
    pub fn next_table_version(&mut self) -> u64 {
        self.table_version += 1;
        self.table_version
    }

    pub fn add_epoch(&mut self, epoch: Epoch) -> bool {
        if epoch.epoch != self.epoch.epoch + 1 || !epoch.keeps_clean_readers_of(&self.epoch, &self.stale) {
            return false;
        }
        let joined: Vec<(String, ShardId)> =
            epoch.joined_since(&self.epoch).map(|(node, shard)| (node.to_owned(), shard)).collect();
        for (node, shard) in joined {
            self.mark(&node, &[shard]);
        }
        for (node, shards) in &mut self.stale {
            shards.retain(|shard, _| epoch.owns(node, *shard));
        }
        self.stale.retain(|_, shards| !shards.is_empty());
        self.epoch = epoch;
        true
    }

    pub fn retire_epochs_below(&mut self, epoch: u64) {
        self.first_live_epoch = self.first_live_epoch.max(epoch);
    }

    pub fn is_retired(&self, epoch: u64) -> bool {
        epoch < self.first_live_epoch
    }

    pub fn remove_leftovers(&mut self, node: &str, shards: &BTreeSet<ShardId>) {
        if let Some(leftovers) = self.epoch.leftovers.get_mut(node) {
            leftovers.retain(|shard| !shards.contains(shard));
        }
        self.epoch.leftovers.retain(|_, shards| !shards.is_empty());
    }

    pub fn add_leftover(&mut self, node: &str, shard: ShardId) {
        if self.topology.members().contains(node) {
            self.epoch.leftovers.entry(node.to_owned()).or_default().insert(shard);
        }
    }

    pub fn mark_stale(&mut self, node: &str, shards: &[ShardId]) {
        let may = |shard: &ShardId| self.epoch.may_become_stale(node, *shard, &self.stale);
        let shards: Vec<ShardId> = shards.iter().copied().filter(may).collect();
        self.mark(node, &shards);
    }

    pub fn mark_lost(&mut self, node: &str, shards: &[ShardId]) {
        let shards: Vec<ShardId> =
            shards.iter().copied().filter(|shard| self.epoch.owns(node, *shard)).collect();
        self.mark(node, &shards);
        let is_lost = |shard: ShardId| self.epoch.clean_readers_of(shard, &self.stale).next().is_none();
        self.has_lost_all |= shards.into_iter().any(is_lost);
    }

    pub fn mark_clean(&mut self, node: &str, shard: ShardId, miss: u64) -> bool {
        let Some(shards) = self.stale.get_mut(node) else { return false };
        if shards.get(&shard) != Some(&miss) {
            return false;
        }
        shards.remove(&shard);
        self.stale.retain(|_, shards| !shards.is_empty());
        true
    }

    fn mark(&mut self, node: &str, shards: &[ShardId]) {
        if shards.is_empty() {
            return;
        }
        self.misses += 1;
        let marks = self.stale.entry(node.to_owned()).or_default();
        marks.extend(shards.iter().map(|shard| (*shard, self.misses)));
    }

    pub fn register(
        &mut self,
        mut task: TaskRecord,
        missed: &Missed,
        fence: Option<Fence>,
    ) -> Result<(), Refused> {
        if task.ticket.is_some() && self.tasks.iter().any(|known| known.ticket == task.ticket) {
            return Ok(());
        }
        if let Some(fence) = fence {
            if fence.checks_epoch && self.is_retired(fence.epoch) {
                return Err(Refused::EpochRetired);
            }
            self.take_write(&mut task.parts, missed, fence)?;
        }
        self.tasks.push(task);
        Ok(())
    }

    fn take_write(&mut self, parts: &mut [TaskPart], missed: &Missed, fence: Fence) -> Result<(), Refused> {
        let mut takers: BTreeMap<ShardId, BTreeSet<&str>> = BTreeMap::new();
        for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
            for shard in &part.shards {
                takers.entry(*shard).or_default().insert(&part.node);
            }
        }
        for (node, shards) in missed {
            for shard in shards {
                if let Some(takers) = takers.get_mut(shard) {
                    takers.remove(&**node);
                }
            }
        }
        for (shard, takers) in &takers {
            let joiner_did = || self.epoch.owners_of(*shard).any(|node| takers.contains(node));
            if fence.checks_takers
                && !self.epoch.has_clean_taker(*shard, &self.stale, |node| takers.contains(node))
                && !(fence.counts_joiners && joiner_did())
            {
                return Err(Refused::NoCleanCopy);
            }
        }
        self.note_unreliable(parts);
        for (node, shards) in missed {
            self.mark_stale(node, shards);
        }
        Ok(())
    }

    pub fn note_unreliable(&self, parts: &mut [TaskPart]) {
        for part in parts {
            let is_clean =
                |shard| self.epoch.clean_readers_of(shard, &self.stale).any(|node| node == part.node);
            let is_lost = |shard| self.epoch.clean_readers_of(shard, &self.stale).next().is_none();
            let shards = part.shards.iter().copied();
            part.unreliable = shards.filter(|shard| !is_clean(*shard) && !is_lost(*shard)).collect();
        }
    }

    /// The tasks that are not over, with their places.
    pub fn unfinished(&mut self) -> Vec<(usize, TaskRecord)> {
        while self.tasks.get(self.unfinished_from).is_some_and(|task| task.is_over) {
            self.unfinished_from += 1;
        }
        let tasks = self.tasks.iter().enumerate().skip(self.unfinished_from);
        tasks.filter(|(_, task)| !task.is_over).map(|(place, task)| (place, task.clone())).collect()
    }
}
