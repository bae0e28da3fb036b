//! One version of the placement, and what it says of a shard's copies.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::shard::{ShardId, converted};
use crate::tag::Tags;

/// By group id, for each shard the ids of the nodes that own it, the primary first.
pub type Owners = BTreeMap<String, Vec<Vec<String>>>;

/// The replicas that missed writes, by node id and shard. The number is another one after each write that was missed,
/// so that a repair can tell whether one was missed meanwhile.
pub type Stale = BTreeMap<String, BTreeMap<ShardId, u64>>;

/// One version of the placement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number; the first is 1.
    pub epoch: u64,
    /// Who gets writes.
    pub owners: Owners,
    /// Owners that have never had all of a shard: they are not read. By group and shard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub joining: BTreeMap<String, BTreeMap<ShardId, BTreeSet<String>>>,
    /// Shards that a node is to join next. Before it does, every Envoy must know that the node may hold documents of them: one that
    /// doesn't would read the node for all that it holds, and find twice what another Envoy has just written to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coming: BTreeMap<String, BTreeSet<ShardId>>,
    /// Shards of which a node may still hold documents although it does not own them any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leftovers: BTreeMap<String, BTreeSet<ShardId>>,
    /// Which tags documents carry, while the number of shards changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retagging: Option<Tags>,
}

impl Epoch {
    /// Which tags documents carry.
    pub fn tags(&self) -> Tags {
        self.retagging.unwrap_or(Tags::of(self.shards()))
    }

    /// The shards that a node owns.
    pub fn owned_by(&self, node: &str) -> BTreeSet<ShardId> {
        (0..self.shards()).filter(|shard| self.owns(node, *shard)).collect()
    }

    /// The owners of a shard in all groups.
    pub fn owners_of(&self, shard: ShardId) -> impl Iterator<Item = &str> {
        self.owners
            .values()
            .filter_map(move |owners| owners.get(shard as usize))
            .flatten()
            .map(String::as_str)
    }

    /// Whether a node owns a shard.
    pub fn owns(&self, node: &str, shard: ShardId) -> bool {
        self.owners_of(shard).any(|owner| owner == node)
    }

    /// Whether a node joins a shard of a group.
    pub fn is_joining(&self, group: &str, shard: ShardId, node: &str) -> bool {
        self.joining_of(group, shard).is_some_and(|joining| joining.contains(node))
    }

    /// Those who join a shard of a group.
    pub fn joining_of(&self, group: &str, shard: ShardId) -> Option<&BTreeSet<String>> {
        self.joining.get(group)?.get(&shard)
    }

    /// Whether a node is to join a shard next.
    pub fn is_coming(&self, node: &str, shard: ShardId) -> bool {
        self.coming.get(node).is_some_and(|shards| shards.contains(&shard))
    }

    /// The shards of which a node may hold documents although it does not own them: reads must not count these.
    pub fn may_hold(&self, node: &str) -> BTreeSet<ShardId> {
        let of = |shards: &BTreeMap<String, BTreeSet<ShardId>>| shards.get(node).cloned().unwrap_or_default();
        &of(&self.leftovers) | &of(&self.coming)
    }

    /// The owners of a shard that are read, in all groups.
    pub fn readers_of(&self, shard: ShardId) -> impl Iterator<Item = &str> {
        self.owners.iter().flat_map(move |(group, owners)| {
            let owners = owners.get(shard as usize).into_iter().flatten();
            owners.filter(move |node| !self.is_joining(group, shard, node)).map(String::as_str)
        })
    }

    /// The readers of a shard that missed nothing.
    pub fn clean_readers_of<'e>(&'e self, shard: ShardId, stale: &'e Stale) -> impl Iterator<Item = &'e str> {
        self.readers_of(shard).filter(move |node| !is_stale(stale, node, shard))
    }

    /// How many shards there are.
    pub fn shards(&self) -> ShardId {
        self.owners.values().map(Vec::len).max().unwrap_or(0) as ShardId
    }

    /// Whether a clean reader of the shard is among those who took a write. Where all copies were lost there is
    /// nothing to keep, and whoever took it will do.
    pub fn has_clean_taker(&self, shard: ShardId, stale: &Stale, took: impl Fn(&str) -> bool) -> bool {
        let mut clean = self.clean_readers_of(shard, stale).peekable();
        match clean.peek() {
            Some(_) => clean.any(took),
            None => self.owners_of(shard).any(took),
        }
    }

    /// Whether a replica that missed a write, or may have, may be marked stale: it is one, and not the last that is
    /// clean. What the last one does not have was not acknowledged.
    pub fn may_become_stale(&self, node: &str, shard: ShardId, stale: &Stale) -> bool {
        let is_last = || {
            let mut clean = self.clean_readers_of(shard, stale);
            clean.next() == Some(node) && clean.next().is_none()
        };
        self.owns(node, shard) && !is_last()
    }

    /// Whether every shard that has a clean reader in `before` has one here, too. `stale` is what it is in `before`.
    pub fn keeps_clean_readers_of(&self, before: &Epoch, stale: &Stale) -> bool {
        let (from, to) = (before.shards(), self.shards());
        if from == to {
            let has_clean = |epoch: &Epoch, shard| epoch.clean_readers_of(shard, stale).next().is_some();
            return (0..from).all(|shard| has_clean(self, shard) || !has_clean(before, shard));
        }
        let here = converted_stale(stale, from, to);
        (0..from).all(|shard| {
            before.clean_readers_of(shard, stale).next().is_none()
                || converted([shard], from, to)
                    .into_iter()
                    .all(|shard| self.clean_readers_of(shard, &here).next().is_some())
        })
    }

    /// Those who join here and did not before: they are stale until they are repaired for the first time.
    pub fn joined_since<'e>(&'e self, before: &'e Epoch) -> impl Iterator<Item = (&'e str, ShardId)> {
        let all = self.joining.iter().flat_map(|(group, shards)| {
            let of_shard = move |(shard, nodes): (&ShardId, &'e BTreeSet<String>)| {
                let shard = *shard;
                nodes.iter().map(move |node| (group, shard, node.as_str()))
            };
            shards.iter().flat_map(of_shard)
        });
        all.filter(|(group, shard, node)| !before.is_joining(group, *shard, node))
            .map(|(_, shard, node)| (node, shard))
    }
}

/// The same replicas where there are `to` shards instead of `from`.
pub fn converted_stale(stale: &Stale, from: ShardId, to: ShardId) -> Stale {
    let of_node = |shards: &BTreeMap<ShardId, u64>| {
        let mut all = BTreeMap::new();
        for (shard, miss) in shards {
            for shard in converted([*shard], from, to) {
                let known = all.entry(shard).or_insert(*miss);
                *known = (*known).max(*miss);
            }
        }
        all
    };
    stale.iter().map(|(node, shards)| (node.clone(), of_node(shards))).collect()
}

/// Whether a replica missed a write.
pub fn is_stale(stale: &Stale, node: &str, shard: ShardId) -> bool {
    stale.get(node).is_some_and(|shards| shards.contains_key(&shard))
}
