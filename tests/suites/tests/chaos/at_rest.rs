//! What must be true of all copies once the cluster has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Violation, Wrong, describe, what_is_wrong};
use crate::documents::{Content, Key, State};
use crate::history::{History, Time};

/// What nodes hold, and what they should.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// The owners of each shard, by the nodes' ids, but for those that are known to be stale.
    pub owners: BTreeMap<u32, BTreeSet<String>>,
    /// Those that are known to be stale.
    pub stale: BTreeMap<u32, BTreeSet<String>>,
    /// The documents on each node, with the shard that the tag names.
    pub nodes: BTreeMap<String, Vec<(Key, Content, u32)>>,
}

/// Checks that each document is on all owners, as it must be and the same on all, and on no other node.
pub fn check(history: &History, holdings: &Holdings, shard_of: impl Fn(Key) -> u32) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut copies: BTreeMap<Key, BTreeMap<&str, Content>> = BTreeMap::new();
    let nobody = BTreeSet::new();
    for (node, documents) in &holdings.nodes {
        for (key, content, tag) in documents {
            let shard = shard_of(*key);
            if *tag != shard {
                let seen = format!("{node} holds it with the tag of shard {tag}; it belongs to {shard}");
                violations.push(Violation::new(Wrong::Misplaced, Some(*key), seen));
            }
            let owners = holdings.owners.get(&shard).unwrap_or(&nobody);
            let stale = holdings.stale.get(&shard).unwrap_or(&nobody);
            if !owners.contains(node) && !stale.contains(node) {
                let seen = format!("on {node}, which does not own shard {shard}: {owners:?} do");
                violations.push(Violation::new(Wrong::Misplaced, Some(*key), seen));
            }
            if copies.entry(*key).or_default().insert(node, *content).is_some() {
                violations.push(Violation::new(Wrong::Duplicate, Some(*key), format!("twice on {node}")));
            }
        }
    }
    let keys: BTreeSet<Key> = history.keys().chain(copies.keys().copied()).collect();
    for key in keys {
        let shard = shard_of(key);
        let owners = holdings.owners.get(&shard).unwrap_or(&nobody);
        let possible = history.possible(key, Time::MAX, Time::MAX);
        let state = |node: &String| copies.get(&key).and_then(|copies| copies.get(node.as_str())).copied();
        let states: Vec<(&String, State)> = owners.iter().map(|node| (node, state(node))).collect();
        if states.is_empty() {
            let seen = format!("shard {shard} has no clean owner");
            violations.push(Violation::new(Wrong::Lost, Some(key), seen));
        }
        if states.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let seen = format!("copies of shard {shard} differ: {states:?}");
            violations.push(Violation::new(Wrong::Unequal, Some(key), seen));
        }
        for (node, state) in states {
            if let Some(wrong) = what_is_wrong(&possible, state) {
                let seen = format!("shard {shard} on {node}: {}", describe(state, &possible));
                violations.push(Violation::new(wrong, Some(key), seen));
            }
        }
    }
    violations
}
