//! Who is to own what.

use std::collections::BTreeMap;

use miroir_core::placement::{Candidate, place};
use miroir_core::rebalance::{Epoch, Owners};

use crate::store::Topology;

/// The placement that a topology calls for, with as little moved as can be from what there is.
pub fn target(topology: &Topology, now: &Epoch) -> Owners {
    let mut groups: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    for node in &topology.nodes {
        let candidates = groups.entry(&node.group).or_default();
        if !node.drains && node.replaced_by.is_none() {
            candidates.push(Candidate { id: &node.id, weight: node.weight });
        }
    }
    let placed =
        groups.into_iter().filter(|(_, candidates)| !candidates.is_empty()).map(|(group, candidates)| {
            let previous: Vec<Vec<&str>> = now
                .owners
                .get(group)
                .into_iter()
                .flatten()
                .map(|owners| owners.iter().map(|owner| successor(topology, owner)).collect())
                .collect();
            let owners = place(topology.shards, topology.replication_factor, &candidates, &previous);
            let named = |owners: Vec<usize>| {
                owners.into_iter().map(|owner| candidates[owner].id.to_owned()).collect()
            };
            (group.to_owned(), owners.into_iter().map(named).collect())
        });
    placed.collect()
}

/// A node that is replaced leaves its shards to the one that takes its place.
fn successor<'t>(topology: &'t Topology, node: &'t str) -> &'t str {
    let replaced = topology.nodes.iter().find(|other| other.id == node);
    replaced.and_then(|node| node.replaced_by.as_deref()).unwrap_or(node)
}

/// In how many shards of how many groups two placements differ.
pub fn difference(now: &Owners, target: &Owners) -> usize {
    let of_group = |(group, owners): (&String, &Vec<Vec<String>>)| {
        let before = now.get(group).map_or(&[][..], Vec::as_slice);
        owners.iter().enumerate().filter(|(shard, owners)| before.get(*shard) != Some(*owners)).count()
    };
    let gone = now.iter().filter(|(group, _)| !target.contains_key(*group)).map(|(_, owners)| owners.len());
    target.iter().map(of_group).sum::<usize>() + gone.sum::<usize>()
}
