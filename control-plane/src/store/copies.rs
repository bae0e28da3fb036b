//! Which copies of a shard can be relied on: what happens to the epoch and the stale replicas inside a transaction,
//! whatever the backend.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::PartOutcome;
use miroir_core::rebalance::{Epoch, Refused, Remains, Stale, converted_stale};
use miroir_core::shard::{ShardId, converted};

use super::{RebalanceRecord, StoreError, TaskPart, Topology};

/// The epoch and the stale replicas. A backend loads them, has them changed, and saves what is [`Dirty`].
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// The newest epoch; its number is 0 on a new store.
    pub epoch: Epoch,
    /// The replicas that missed writes, each with the number of the last miss.
    pub stale: Stale,
    /// The number of the next miss.
    pub next_miss: u64,
    /// What was changed since it was loaded.
    pub dirty: Dirty,
}

/// What has to be saved.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// The epoch.
    pub epoch: bool,
    /// The stale replicas of these nodes, and the number of the next miss.
    pub nodes: BTreeSet<String>,
    /// All that goes by numbers of shards beside the two: the topology and the target of the rebalance.
    pub shards: bool,
}

impl Copies {
    /// What a store holds.
    pub fn new(epoch: Option<Epoch>, stale: Stale, next_miss: u64) -> Copies {
        Copies { epoch: epoch.unwrap_or_default(), stale, next_miss, dirty: Dirty::default() }
    }

    /// Whether there is an epoch.
    pub fn is_placed(&self) -> bool {
        self.epoch.epoch > 0
    }

    /// See [`Store::add_epoch`](super::Store::add_epoch).
    pub fn add_epoch(&mut self, next: &Epoch) -> Result<(), StoreError> {
        let (wanted, expected) = (next.epoch, self.epoch.epoch + 1);
        if wanted != expected {
            let message = format!("epoch {wanted} can't be added: the next one is {expected}");
            return Err(StoreError::Conflict(message));
        }
        if !next.keeps_clean_readers_of(&self.epoch, &self.stale) {
            let message = format!("epoch {wanted} would take away the last clean copy of a shard");
            return Err(StoreError::Conflict(message));
        }
        let before = std::mem::replace(&mut self.epoch, next.clone());
        self.dirty.epoch = true;
        if !before.owners.is_empty() && before.shards() != next.shards() {
            self.dirty.nodes.extend(self.stale.keys().cloned());
            self.stale = converted_stale(&self.stale, before.shards(), next.shards());
            self.dirty.shards = true;
        }
        for (node, shard) in next.joined_since(&before) {
            self.mark(node, [shard]);
        }
        for (node, shards) in &mut self.stale {
            let known = shards.len();
            shards.retain(|shard, _| next.owns(node, *shard));
            if shards.len() < known {
                self.dirty.nodes.insert(node.clone());
            }
        }
        self.stale.retain(|_, shards| !shards.is_empty());
        Ok(())
    }

    /// See [`Store::remove_leftovers`](super::Store::remove_leftovers).
    pub fn remove_leftovers(&mut self, node: &str, shards: &[ShardId]) {
        let Some(leftovers) = self.epoch.leftovers.get_mut(node) else { return };
        leftovers.retain(|shard| !shards.contains(shard));
        self.epoch.leftovers.retain(|_, shards| !shards.is_empty());
        self.dirty.epoch = true;
    }

    /// See [`Store::mark_stale`](super::Store::mark_stale).
    pub fn mark_stale(&mut self, node: &str, shards: impl IntoIterator<Item = ShardId>, of: ShardId) {
        let mut shards = converted(shards, of, self.epoch.shards());
        shards.retain(|shard| self.epoch.may_become_stale(node, *shard, &self.stale));
        self.mark(node, shards);
    }

    /// See [`Store::mark_lost`](super::Store::mark_lost).
    pub fn mark_lost(&mut self, node: &str, shards: &[ShardId], of: ShardId) {
        let mut shards = converted(shards.iter().copied(), of, self.epoch.shards());
        shards.retain(|shard| self.epoch.owns(node, *shard));
        self.mark(node, shards);
    }

    /// See [`Store::mark_clean`](super::Store::mark_clean).
    pub fn mark_clean(
        &mut self,
        node: &str,
        seen: &BTreeMap<ShardId, u64>,
        source: Option<&str>,
    ) -> Vec<ShardId> {
        let is_sound = |shard: ShardId| {
            source.is_none_or(|source| {
                self.epoch.clean_readers_of(shard, &self.stale).any(|node| node == source)
            })
        };
        let Some(stale) = self.stale.get(node) else { return Vec::new() };
        let clean = seen.iter().filter(|(shard, miss)| stale.get(shard) == Some(miss) && is_sound(**shard));
        let clean: Vec<ShardId> = clean.map(|(shard, _)| *shard).collect();
        if let Some(stale) = self.stale.get_mut(node) {
            stale.retain(|shard, _| !clean.contains(shard));
        }
        self.stale.retain(|_, shards| !shards.is_empty());
        if !clean.is_empty() {
            self.dirty.nodes.insert(node.to_owned());
        }
        clean
    }

    /// See [`Store::leave`](super::Store::leave).
    pub fn leave(&mut self, write: &Refused) {
        if !self.is_placed() {
            return;
        }
        let Remains { stale, leftovers } = self.epoch.remains_of(write, &self.stale);
        for (node, shards) in stale {
            self.mark_stale(&node, shards, self.epoch.shards());
        }
        self.dirty.epoch |= !leftovers.is_empty();
        for (node, shards) in leftovers {
            self.epoch.leftovers.entry(node).or_default().extend(shards);
        }
    }

    /// Nodes that are no members lose what they hold.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if one has the last clean copy of a shard.
    pub fn lose_all_but(&mut self, members: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut gone: BTreeMap<String, Vec<ShardId>> = BTreeMap::new();
        for shard in 0..self.epoch.shards() {
            for node in self.epoch.owners_of(shard).filter(|node| !members.contains(*node)) {
                gone.entry(node.to_owned()).or_default().push(shard);
            }
        }
        for (node, shards) in gone {
            // It owns them all, so what may not become stale is the last clean copy.
            let is_last = |shard: &&ShardId| !self.epoch.may_become_stale(&node, **shard, &self.stale);
            if let Some(shard) = shards.iter().find(is_last) {
                let message = format!("node {node} has the only up-to-date copy of shard {shard}");
                return Err(StoreError::Conflict(message));
            }
            self.mark(&node, shards);
        }
        Ok(())
    }

    /// Takes a write that a quorum of nodes has enqueued: sees to it that clean copies have it, and marks those that
    /// missed it.
    ///
    /// # Errors
    /// [`StoreError::NoCleanCopy`]; then nothing has changed but the parts.
    pub fn take_write(
        &mut self,
        parts: &mut [TaskPart],
        missed: &[(String, Vec<ShardId>)],
        of: ShardId,
    ) -> Result<(), StoreError> {
        if !self.is_placed() {
            return Ok(());
        }
        let (epoch, stale) = (&self.epoch, &self.stale);
        let here = |shards: &[ShardId]| converted(shards.iter().copied(), of, epoch.shards());
        for part in parts.iter_mut() {
            part.shards = here(&part.shards).into_iter().collect();
            part.of = epoch.shards();
        }
        let missed = missed.iter().map(|(node, shards)| (node, here(shards)));
        let missed: Vec<(&String, BTreeSet<ShardId>)> = missed.collect();
        let mut takers: BTreeMap<ShardId, BTreeSet<&str>> = BTreeMap::new();
        for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
            for shard in &part.shards {
                takers.entry(*shard).or_default().insert(&part.node);
            }
        }
        for (node, shards) in &missed {
            for shard in shards {
                if let Some(takers) = takers.get_mut(shard) {
                    takers.remove(node.as_str());
                }
            }
        }
        for (shard, takers) in &takers {
            if !epoch.has_clean_taker(*shard, stale, |node| takers.contains(node)) {
                return Err(StoreError::NoCleanCopy(*shard));
            }
        }
        for part in parts {
            let shards = part.shards.iter().copied();
            part.unreliable = shards.filter(|shard| !epoch.is_reliable(&part.node, *shard, stale)).collect();
        }
        let of = epoch.shards();
        for (node, shards) in missed {
            self.mark_stale(node, shards, of);
        }
        Ok(())
    }

    /// The topology and the rebalance as they are once there is another number of shards.
    pub fn resharded(
        &self,
        topology: Option<Topology>,
        rebalance: Option<RebalanceRecord>,
    ) -> (Option<Topology>, Option<RebalanceRecord>) {
        let topology = topology.map(|topology| Topology { shards: self.epoch.shards(), ..topology });
        let target = || self.epoch.owners.clone();
        (topology, rebalance.map(|rebalance| RebalanceRecord { target: target(), ..rebalance }))
    }

    fn mark(&mut self, node: &str, shards: impl IntoIterator<Item = ShardId>) {
        let miss = self.next_miss;
        let marked = shards.into_iter().map(|shard| (shard, miss));
        let stale = self.stale.entry(node.to_owned()).or_default();
        let before = stale.len();
        let mut any = false;
        stale.extend(marked.inspect(|_| any = true));
        if !any {
            if before == 0 {
                self.stale.remove(node);
            }
            return;
        }
        self.next_miss += 1;
        self.dirty.nodes.insert(node.to_owned());
    }
}
