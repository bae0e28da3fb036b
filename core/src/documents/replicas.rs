//! What each node has of a write.

use std::cmp::Reverse;

use crate::control::{PartOutcome, WritePart};
use crate::documents::split::owners;
use crate::documents::tally::Tally;
use crate::shard::ShardId;
use crate::shard_set::ShardSet;
use crate::table::{NodeIndex, RoutingTable};

/// What each node is to get of a write, and what of it each one is known to have.
#[derive(Debug)]
pub struct Replicas {
    nodes: Vec<Replica>,
}

#[derive(Clone, Debug)]
struct Replica {
    intended: Tally,
    accepted: Tally,
    /// The shards of which it may have more than it is known to have.
    uncertain: ShardSet,
    /// Why it lacks something.
    reason: Option<String>,
}

impl Replicas {
    /// Before any of the write.
    pub fn new(table: &RoutingTable) -> Replicas {
        let replica = Replica {
            intended: Tally::empty(table.shards),
            accepted: Tally::empty(table.shards),
            uncertain: ShardSet::empty(table.shards),
            reason: None,
        };
        Replicas { nodes: vec![replica; table.nodes.len()] }
    }

    /// A node is to get these documents.
    pub fn intend(&mut self, node: NodeIndex, documents: &Tally) {
        if let Some(replica) = self.nodes.get_mut(node) {
            replica.intended.add_all(documents);
        }
    }

    /// A node has these documents.
    pub fn accept(&mut self, node: NodeIndex, documents: &Tally) {
        if let Some(replica) = self.nodes.get_mut(node) {
            replica.accepted.add_all(documents);
        }
    }

    /// A node does not get these documents, or is not known to have them.
    pub fn miss(&mut self, node: NodeIndex, documents: &Tally, reason: &str, is_uncertain: bool) {
        let Some(replica) = self.nodes.get_mut(node) else { return };
        replica.reason.get_or_insert_with(|| reason.to_owned());
        if is_uncertain {
            documents.shards().for_each(|shard| replica.uncertain.insert(shard));
        }
    }

    /// Whether a node is known to lack something.
    pub fn is_any_short(&self) -> bool {
        self.nodes.iter().any(|replica| replica.reason.is_some())
    }

    /// How many documents some node has.
    pub fn accepted(&self, table: &RoutingTable) -> u64 {
        (0..table.shards).map(|shard| u64::from(self.most(table, shard))).sum()
    }

    /// Whether a node has something, or may have.
    pub fn is_begun(&self) -> bool {
        self.nodes.iter().any(|replica| !replica.accepted.is_empty() || !replica.uncertain.is_empty())
    }

    /// Whether of every shard in the write a quorum of owners in one group has all.
    pub fn has_quorum(&self, table: &RoutingTable) -> bool {
        self.quorum(table, |replica, shard| replica.accepted.of(shard) == replica.intended.of(shard))
    }

    /// Whether that can still come to be, if all goes well from here.
    pub fn can_have_quorum(&self, table: &RoutingTable) -> bool {
        self.quorum(table, |replica, _| replica.reason.is_none())
    }

    fn quorum(&self, table: &RoutingTable, is_good: impl Fn(&Replica, ShardId) -> bool) -> bool {
        let is_good = |node: &&NodeIndex, shard| {
            self.nodes
                .get(**node)
                .is_some_and(|replica| replica.intended.of(shard) > 0 && is_good(replica, shard))
        };
        let is_written = |shard: &ShardId| self.nodes.iter().any(|replica| replica.intended.of(*shard) > 0);
        // Those who join a shard don't count: they lack what was written before.
        let has_quorum = |shard: ShardId| {
            table.groups.iter().any(|group| {
                let readers = table.readers(group, shard);
                let good = readers.iter().filter(|node| is_good(node, shard)).count();
                !readers.is_empty() && good >= table.write_quorum(readers.len())
            })
        };
        // What only stale copies have would be lost when they are repaired.
        let is_kept = |shard: ShardId| {
            let readers = || table.groups.iter().flat_map(|group| table.readers(group, shard));
            let mut clean = readers().filter(|node| !table.is_stale(**node, shard)).peekable();
            clean.peek().is_none() || clean.any(|node| is_good(&node, shard))
        };
        (0..table.shards).filter(is_written).all(|shard| has_quorum(shard) && is_kept(shard))
    }

    fn most(&self, table: &RoutingTable, shard: ShardId) -> u32 {
        let accepted = owners(table, shard).filter_map(|node| Some(self.nodes.get(node)?.accepted.of(shard)));
        accepted.max().unwrap_or(0)
    }

    /// The nodes that lack what a clean one has, or may differ from it, with the shards. A stale one that has more differs,
    /// too: a repair may have compared it before, and would take it for equal. The clean ones don't become stale by what
    /// none of them has.
    pub fn behind(&self, table: &RoutingTable) -> Vec<WritePart> {
        let mut behind: Vec<Vec<ShardId>> = vec![Vec::new(); self.nodes.len()];
        for shard in 0..table.shards {
            let accepted =
                |node: NodeIndex| self.nodes.get(node).map_or(0, |replica| replica.accepted.of(shard));
            let is_uncertain = |node: NodeIndex| {
                self.nodes.get(node).is_some_and(|replica| replica.uncertain.contains(shard))
            };
            let readers = table.groups.iter().flat_map(|group| table.readers(group, shard)).copied();
            let mut measures: Vec<NodeIndex> = readers.filter(|&node| !table.is_stale(node, shard)).collect();
            if measures.is_empty() {
                measures = owners(table, shard).collect();
            }
            // Whatever it has is what the others are measured by.
            let leader =
                measures.into_iter().min_by_key(|&node| (Reverse(accepted(node)), is_uncertain(node)));
            for node in owners(table, shard).filter(|&node| Some(node) != leader) {
                if leader.is_some_and(|leader| accepted(node) != accepted(leader)) || is_uncertain(node) {
                    behind.get_mut(node).into_iter().for_each(|shards| shards.push(shard));
                }
            }
        }
        let named = behind.into_iter().zip(&table.nodes).zip(&self.nodes);
        named
            .filter(|((shards, _), _)| !shards.is_empty())
            .map(|((shards, node), replica)| {
                let reason = replica.reason.as_deref().unwrap_or("it differs from the clean replicas");
                WritePart {
                    node: node.id.clone(),
                    counted: false,
                    shards,
                    outcome: PartOutcome::Missed(reason.to_owned()),
                }
            })
            .collect()
    }

    /// Why nodes lack something, each with its name.
    pub fn reasons(&self, table: &RoutingTable) -> String {
        let named = table.nodes.iter().zip(&self.nodes);
        let reasons = named.filter_map(|(node, replica)| {
            replica.reason.as_ref().map(|reason| format!("node {}: {reason}", node.id))
        });
        reasons.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn documents(shards: &[ShardId]) -> Tally {
        let mut tally = Tally::empty(4);
        shards.iter().for_each(|&shard| tally.add(shard));
        tally
    }

    fn behind(replicas: &Replicas, table: &RoutingTable) -> Vec<(String, Vec<ShardId>)> {
        replicas.behind(table).into_iter().map(|part| (part.node, part.shards)).collect()
    }

    #[test]
    fn who_has_less_than_another_is_behind() {
        let table = table(4, 2, 2, 1);
        let mut replicas = Replicas::new(&table);
        for node in 0..2 {
            replicas.intend(node, &documents(&[0, 0, 1]));
        }
        replicas.accept(0, &documents(&[0, 1]));
        assert_eq!(behind(&replicas, &table), [("n1".to_owned(), vec![0, 1])]);
        assert!(!replicas.has_quorum(&table));
        replicas.accept(1, &documents(&[0, 1]));
        assert_eq!(behind(&replicas, &table), []);
        replicas.accept(1, &documents(&[0]));
        assert_eq!(behind(&replicas, &table), [("n0".to_owned(), vec![0])]);
        assert!(replicas.has_quorum(&table));
        assert_eq!(replicas.accepted(&table), 3);
    }

    #[test]
    fn who_joins_or_is_stale_is_no_quorum() {
        let mut table = table(4, 3, 3, 1);
        table.policy.write_quorum = Some(1);
        table.groups[0].readers.insert(2, vec![0, 1]);
        table.stale = vec![crate::table::StaleReplicas { node: 1, shards: [2].into() }];
        for (node, is_enough) in [(0, true), (1, false), (2, false)] {
            let mut replicas = Replicas::new(&table);
            (0..3).for_each(|node| replicas.intend(node, &documents(&[2])));
            replicas.accept(node, &documents(&[2]));
            assert_eq!(replicas.has_quorum(&table), is_enough, "node {node}");
        }
        // Where all copies were lost, the one that there is will do.
        table.stale.push(crate::table::StaleReplicas { node: 0, shards: [2].into() });
        let mut replicas = Replicas::new(&table);
        replicas.intend(1, &documents(&[2]));
        replicas.accept(1, &documents(&[2]));
        assert!(replicas.has_quorum(&table));
    }

    #[test]
    fn what_only_a_stale_copy_has_makes_no_clean_one_stale() {
        let mut table = table(4, 3, 3, 1);
        table.stale = vec![crate::table::StaleReplicas { node: 2, shards: [2].into() }];
        let mut replicas = Replicas::new(&table);
        (0..3).for_each(|node| replicas.intend(node, &documents(&[2])));
        replicas.miss(0, &documents(&[2]), "down", false);
        replicas.miss(1, &documents(&[2]), "no answer", true);
        replicas.accept(2, &documents(&[2]));
        let shards = vec![2];
        assert_eq!(behind(&replicas, &table), [("n1".to_owned(), shards.clone()), ("n2".to_owned(), shards)]);
    }

    #[test]
    fn of_copies_that_may_differ_one_alone_is_believed() {
        let table = table(4, 3, 3, 1);
        let mut replicas = Replicas::new(&table);
        for node in 0..3 {
            replicas.intend(node, &documents(&[2]));
        }
        replicas.miss(0, &documents(&[2]), "no answer", true);
        replicas.miss(1, &documents(&[2]), "refused", false);
        replicas.miss(2, &documents(&[2]), "no answer", true);
        assert!(!replicas.can_have_quorum(&table));
        let shards = vec![2];
        assert_eq!(behind(&replicas, &table), [("n0".to_owned(), shards.clone()), ("n2".to_owned(), shards)]);
    }

    #[test]
    fn what_nobody_has_leaves_nobody_behind() {
        let table = table(4, 2, 2, 1);
        let mut replicas = Replicas::new(&table);
        for node in 0..2 {
            replicas.intend(node, &documents(&[0]));
            replicas.miss(node, &documents(&[0]), "down", false);
        }
        assert_eq!(behind(&replicas, &table), []);
        assert!(!replicas.is_begun());
    }
}
