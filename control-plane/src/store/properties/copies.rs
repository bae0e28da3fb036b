//! Which copies are good, where every owner owns every shard.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::Epoch;

use super::operation::SHARDS;

/// A copy of a shard.
type Copy = (String, u32);

#[derive(Clone, Debug, Default)]
pub struct Copies {
    pub epoch: u64,
    pub owners: BTreeSet<String>,
    /// With another number after each miss.
    pub stale: BTreeMap<Copy, u64>,
    /// The same when it was last looked at.
    pub seen: BTreeMap<Copy, u64>,
    pub leftovers: BTreeSet<Copy>,
    misses: u64,
}

impl Copies {
    fn is_clean(&self, node: &str, shard: u32) -> bool {
        self.owners.contains(node) && !self.stale.contains_key(&(node.to_owned(), shard))
    }

    pub fn clean(&self, shard: u32) -> Vec<&str> {
        self.owners.iter().map(String::as_str).filter(|node| self.is_clean(node, shard)).collect()
    }

    /// Whether the epoch could be added.
    pub fn add_epoch(&mut self, number: u64, owners: &BTreeSet<String>) -> bool {
        let keeps_a_clean_one = |shard| {
            let clean = self.clean(shard);
            clean.is_empty() || clean.iter().any(|node| owners.contains(*node))
        };
        // A new owner that does not join, as it would in life, is clean from the start.
        let has_a_new_one = owners.iter().any(|node| !self.owners.contains(node));
        if number != self.epoch + 1 || !(has_a_new_one || (0..SHARDS).all(keeps_a_clean_one)) {
            return false;
        }
        self.epoch = number;
        self.owners = owners.clone();
        self.stale.retain(|(node, _), _| owners.contains(node));
        self.leftovers.clear();
        true
    }

    pub fn mark_stale(&mut self, node: &str, shards: &[u32]) {
        let may = |shard: &&u32| self.owners.contains(node) && self.clean(**shard) != [node];
        self.mark_lost(node, &shards.iter().filter(may).copied().collect::<Vec<_>>());
    }

    pub fn mark_lost(&mut self, node: &str, shards: &[u32]) {
        if self.owners.contains(node) {
            self.misses += 1;
            self.stale.extend(shards.iter().map(|shard| ((node.to_owned(), *shard), self.misses)));
        }
    }

    /// The shards that were cleaned.
    pub fn mark_clean(&mut self, node: &str, source: Option<&str>) -> Vec<u32> {
        let is_clean = |shard: &u32| {
            let copy = (node.to_owned(), *shard);
            self.stale.contains_key(&copy)
                && self.stale.get(&copy) == self.seen.get(&copy)
                && source.is_none_or(|source| self.is_clean(source, *shard))
        };
        let clean: Vec<u32> = (0..SHARDS).filter(is_clean).collect();
        for shard in &clean {
            self.stale.remove(&(node.to_owned(), *shard));
        }
        clean
    }

    /// Whether a clean copy is among those that took it and did not miss it.
    pub fn may_take(&self, shard: u32, taker: &str, missed: &[&str]) -> bool {
        let clean = self.clean(shard);
        !missed.contains(&taker)
            && if clean.is_empty() { self.owners.contains(taker) } else { clean.contains(&taker) }
    }

    pub fn is_reliable(&self, node: &str, shard: u32) -> bool {
        self.is_clean(node, shard) || self.clean(shard).is_empty()
    }

    pub fn leave(&mut self, took: &[&str], missed: &[&str], shard: u32, differs: bool) {
        if self.epoch == 0 || (took.is_empty() && missed.is_empty()) {
            return;
        }
        let clean = self.clean(shard);
        let of =
            |missed_it| clean.iter().find(|node| took.contains(node) && missed.contains(node) == missed_it);
        let kept = of(false).or_else(|| of(true)).map(|node| (*node).to_owned());
        for node in self.owners.clone() {
            let is_whole = |node: &str| took.contains(&node) && !missed.contains(&node) && !differs;
            let is_stale = match &kept {
                Some(kept) => node != *kept && !(is_whole(&node) && is_whole(kept)),
                None => took.contains(&&*node) || missed.contains(&&*node),
            };
            if is_stale {
                self.mark_stale(&node, &[shard]);
            }
        }
        let left = took.iter().filter(|node| !self.owners.contains(**node));
        self.leftovers.extend(left.map(|node| ((*node).to_owned(), shard)));
    }

    /// The epoch as the store shows it.
    pub fn shown(&self) -> Option<Epoch> {
        let mut epoch = epoch(self.epoch, &self.owners);
        for (node, shard) in &self.leftovers {
            epoch.leftovers.entry(node.clone()).or_default().insert(*shard);
        }
        (self.epoch > 0).then_some(epoch)
    }
}

/// An epoch in which these own everything.
pub fn epoch(number: u64, owners: &BTreeSet<String>) -> Epoch {
    let owners = vec![owners.iter().cloned().collect(); SHARDS as usize];
    Epoch { epoch: number, owners: BTreeMap::from([("g".to_owned(), owners)]), ..Epoch::default() }
}
