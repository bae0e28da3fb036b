//! What a write that is not acknowledged leaves behind.

use std::collections::{BTreeMap, BTreeSet};

use super::epoch::{Epoch, Stale, is_stale};
use crate::shard::{ShardId, converted};

/// Shards by node.
pub type Shards = BTreeMap<String, BTreeSet<ShardId>>;

/// A write that is not acknowledged. It may have been routed by any epoch.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    /// Who has parts of it.
    pub took: Shards,
    /// Who lacks parts that others have, or may have some that it is not known to have.
    pub missed: Shards,
    /// How many shards there were when it was routed; 0 for as many as there are.
    pub of: ShardId,
    /// Whether those who took all of it may differ all the same: its uid meant one index to some and another to others.
    pub differs: bool,
}

/// What is to be done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The replicas that may differ now from others that are clean.
    pub stale: Shards,
    /// Documents of shards on nodes that do not own them.
    pub leftovers: Shards,
}

impl Refused {
    /// The same where there are so many shards.
    fn among(&self, shards: ShardId) -> Refused {
        let convert = |all: &Shards| {
            let converted = |of: &BTreeSet<ShardId>| converted(of.iter().copied(), self.of, shards);
            all.iter().map(|(node, of)| (node.clone(), converted(of))).collect()
        };
        let (took, missed) = (convert(&self.took), convert(&self.missed));
        Refused { took, missed, of: shards, differs: self.differs }
    }
}

impl Epoch {
    /// What a write that is not acknowledged leaves behind. Of each shard one clean reader that took it is kept, and all
    /// others that may differ from it are stale. If no clean one took it, those who did are: what they have must not
    /// outlive a repair that is under way.
    pub fn remains_of(&self, write: &Refused, stale: &Stale) -> Remains {
        let write = write.among(self.shards());
        let mut remains = Remains::default();
        let shards: BTreeSet<ShardId> =
            write.took.values().chain(write.missed.values()).flatten().copied().collect();
        for shard in shards {
            let took = |node: &str| has(&write.took, node, shard);
            let missed = |node: &str| has(&write.missed, node, shard);
            let mut clean: Vec<&str> =
                self.clean_readers_of(shard, stale).filter(|node| took(node)).collect();
            clean.sort_by_key(|node| missed(node));
            let kept = clean.first().copied();
            let is_like_kept = |node: &str| took(node) && !missed(node) && !write.differs;
            let differs = |node: &&str| match kept {
                Some(kept) => *node != kept && !(is_like_kept(node) && is_like_kept(kept)),
                None => took(node) || missed(node),
            };
            for node in self.owners_of(shard).filter(differs) {
                remains.stale.entry(node.to_owned()).or_default().insert(shard);
            }
            for node in write.took.keys().filter(|node| took(node) && !self.owns(node, shard)) {
                remains.leftovers.entry(node.clone()).or_default().insert(shard);
            }
        }
        remains
    }

    /// Whether what a node takes of a shard is there to stay: its copy is clean and read, or there is no such copy.
    pub fn is_reliable(&self, node: &str, shard: ShardId, stale: &Stale) -> bool {
        let is_lost = || self.clean_readers_of(shard, stale).next().is_none();
        self.readers_of(shard).any(|reader| reader == node) && !is_stale(stale, node, shard) || is_lost()
    }
}

fn has(shards: &Shards, node: &str, shard: ShardId) -> bool {
    shards.get(node).is_some_and(|shards| shards.contains(&shard))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn shards(nodes: &[&str]) -> Shards {
        nodes.iter().map(|node| (node.to_string(), BTreeSet::from([0]))).collect()
    }

    fn refused(took: &[&str], missed: &[&str], differs: bool) -> Refused {
        Refused { took: shards(took), missed: shards(missed), of: 1, differs }
    }

    #[test]
    fn one_copy_is_kept_and_what_differs_from_it_is_stale() {
        let owners = vec![["a", "b", "c"].map(str::to_owned).to_vec()];
        let epoch =
            Epoch { epoch: 1, owners: BTreeMap::from([("g".to_owned(), owners)]), ..Epoch::default() };
        let clean = Stale::new();
        let remains = |write: &Refused, stale: &Stale| {
            let Remains { stale, leftovers } = epoch.remains_of(write, stale);
            let names = |shards: Shards| shards.into_keys().collect::<Vec<_>>();
            (names(stale), names(leftovers))
        };
        let none = Vec::<String>::new;
        assert_eq!(
            remains(&refused(&["a"], &["b", "c"], false), &clean),
            (vec!["b".into(), "c".into()], none())
        );
        // It was routed by an epoch in which d owned the shard and b did not.
        assert_eq!(
            remains(&refused(&["a", "c", "d"], &[], false), &clean),
            (vec!["b".into()], vec!["d".into()])
        );
        assert_eq!(remains(&refused(&["a", "c"], &[], true), &clean), (vec!["b".into(), "c".into()], none()));
        let stale = Stale::from([("c".to_owned(), BTreeMap::from([(0, 1)]))]);
        assert_eq!(remains(&refused(&["c"], &["a"], false), &stale), (vec!["a".into(), "c".into()], none()));
        assert_eq!(remains(&refused(&[], &["b"], false), &clean), (vec!["b".into()], none()));
    }
}
