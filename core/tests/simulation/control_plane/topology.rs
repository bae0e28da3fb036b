//! Changes of the topology, and the placement that follows from them.

use std::collections::BTreeMap;

use miroir_core::placement::{Candidate, place};
use miroir_core::rebalance::Owners;

use crate::store::{Store, Topology};
use crate::world::{SHARDS, Sim};

/// Stores the topology with its placement.
pub fn change(store: &mut Store, topology: Topology) {
    let mut target = Owners::new();
    for (group, nodes) in
        topology.groups.iter().filter(|(_, nodes)| nodes.values().any(|weight| *weight > 0.0))
    {
        let candidates: Vec<Candidate> =
            nodes.iter().map(|(id, weight)| Candidate { id, weight: *weight }).collect();
        let before = store.target.get(group).or_else(|| store.epoch.owners.get(group));
        let previous: Vec<Vec<&str>> =
            before.into_iter().flatten().map(|owners| owners.iter().map(String::as_str).collect()).collect();
        let placed = place(SHARDS, topology.replication_factor, &candidates, &previous);
        let name =
            |owners: Vec<usize>| owners.into_iter().map(|node| candidates[node].id.to_owned()).collect();
        target.insert(group.clone(), placed.into_iter().map(name).collect());
    }
    store.target = target;
    store.topology = topology;
}

/// Nodes that are drained and hold nothing any more leave.
pub fn drop_empty(sim: &Sim) {
    let mut store = sim.store.borrow_mut();
    let Store { epoch, topology, .. } = &mut *store;
    let is_empty =
        |node: &str| !epoch.leftovers.contains_key(node) && !(0..SHARDS).any(|shard| epoch.owns(node, shard));
    for nodes in topology.groups.values_mut() {
        nodes.retain(|node, weight| *weight > 0.0 || !is_empty(node));
    }
    topology.groups.retain(|_, nodes: &mut BTreeMap<String, f64>| !nodes.is_empty());
}
