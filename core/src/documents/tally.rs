//! How many documents of each shard something holds.

use crate::shard::ShardId;

/// A count of documents per shard, for shards below a fixed number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: Vec<u32>,
}

impl Tally {
    /// No documents, of shards below `shards`.
    pub fn empty(shards: ShardId) -> Tally {
        Tally { counts: vec![0; shards as usize] }
    }

    /// Adds a document of a shard; one beyond the fixed number is ignored.
    pub fn add(&mut self, shard: ShardId) {
        if let Some(count) = self.counts.get_mut(shard as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what another one counts.
    pub fn add_all(&mut self, other: &Tally) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// How many documents of a shard it counts.
    pub fn of(&self, shard: ShardId) -> u32 {
        self.counts.get(shard as usize).copied().unwrap_or(0)
    }

    /// Whether it counts none.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    /// The shards of which it counts documents, ascending.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        (0..).zip(&self.counts).filter(|(_, count)| **count > 0).map(|(shard, _)| shard)
    }
}
