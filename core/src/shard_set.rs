//! Sets of shards, as bits.

use crate::shard::ShardId;

/// A set of shards below a fixed number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSet {
    words: Vec<u64>,
}

impl ShardSet {
    /// An empty set of shards below `shards`.
    pub fn empty(shards: ShardId) -> ShardSet {
        ShardSet { words: vec![0; (shards as usize).div_ceil(64)] }
    }

    /// The set of all shards below `shards`.
    pub fn all(shards: ShardId) -> ShardSet {
        let mut set = ShardSet::empty(shards);
        (0..shards).for_each(|shard| set.insert(shard));
        set
    }

    /// Adds a shard; one beyond the fixed number is ignored.
    pub fn insert(&mut self, shard: ShardId) {
        if let Some(word) = self.words.get_mut(shard as usize / 64) {
            *word |= 1 << (shard % 64);
        }
    }

    /// Whether the shard is in the set.
    pub fn contains(&self, shard: ShardId) -> bool {
        self.words.get(shard as usize / 64).is_some_and(|word| word & (1 << (shard % 64)) != 0)
    }

    /// Whether no shard is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// How many shards are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The shards that are in both sets.
    pub fn intersection(&self, other: &ShardSet) -> ShardSet {
        ShardSet { words: self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect() }
    }

    /// How many shards are in both sets.
    pub fn intersection_len(&self, other: &ShardSet) -> usize {
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// Takes the other set's shards out of this one.
    pub fn remove_all(&mut self, other: &ShardSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Adds the other set's shards to this one.
    pub fn insert_all(&mut self, other: &ShardSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// The shards of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.words.iter().enumerate().flat_map(|(place, &word)| {
            let base = place as ShardId * 64;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| base + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn sets_add_and_subtract() {
        let mut set = ShardSet::all(70);
        assert_eq!((set.len(), set.contains(69), set.contains(70)), (70, true, false));
        let mut low = ShardSet::empty(70);
        (0..68).for_each(|shard| low.insert(shard));
        low.insert(1000);
        assert_eq!(set.intersection(&low), low);
        set.remove_all(&low);
        assert_eq!(set.iter().collect::<Vec<_>>(), [68, 69]);
        set.insert_all(&low);
        assert_eq!(set, ShardSet::all(70));
    }
}
