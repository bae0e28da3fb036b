//! The routing table, as the control plane makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use miroir_core::routing::Routing;
use miroir_core::table::{
    ControlPlane, Group, IndexFacts, Node, NodeIndex, Policy, RoutingTable, StaleReplicas,
};

use super::Tables;
use crate::clock::Time;
use crate::world::{Break, CONTROL_TIMEOUT, READ_TIMEOUT, SHARDS, WRITE_TIMEOUT, World};

pub fn build(sim: &World, up: &BTreeMap<String, bool>) -> Tables {
    let mut store = sim.store.borrow_mut();
    let version = store.next_table_version();
    let epoch = &store.epoch;
    let members: Vec<String> = store.topology.members().into_iter().collect();
    let place: BTreeMap<&str, NodeIndex> =
        members.iter().enumerate().map(|(place, node)| (node.as_str(), place)).collect();
    let places = |ids: &mut dyn Iterator<Item = &String>| -> Vec<NodeIndex> {
        ids.filter_map(|id| place.get(id.as_str()).copied()).collect()
    };
    let node = |id: &String| Node {
        id: id.clone(),
        cluster: id.clone(),
        authority: id.clone(),
        up: up.get(id) == Some(&true),
        leftovers: match sim.lacks(Break::Announcement) {
            true => epoch.leftovers.get(id).cloned().unwrap_or_default(),
            false => epoch.may_hold(id),
        },
    };
    let group = |(id, owners): (&String, &Vec<Vec<String>>)| {
        let joining = epoch.joining.get(id).into_iter().flatten();
        let readers = joining.map(|(shard, joining)| {
            let mut readers = owners[*shard as usize].iter().filter(|node| !joining.contains(*node));
            (*shard, places(&mut readers))
        });
        Group {
            id: id.clone(),
            owners: owners.iter().map(|owners| places(&mut owners.iter())).collect(),
            readers: readers.collect(),
        }
    };
    let stale = store.stale.iter().filter_map(|(node, shards)| {
        let node = *place.get(node.as_str())?;
        Some(StaleReplicas { node, shards: shards.keys().copied().collect() })
    });
    let millis = |time: Time| time;
    let table = RoutingTable {
        version,
        epoch: epoch.epoch,
        shards: SHARDS,
        retagging: epoch.retagging,
        nodes: members.iter().map(node).collect(),
        groups: epoch.owners.iter().map(group).collect(),
        stale: stale.collect(),
        indexes: BTreeMap::from([(
            "i".to_owned(),
            IndexFacts { primary_key: Some("id".into()), ..IndexFacts::default() },
        )]),
        aliases: BTreeMap::new(),
        control_plane: ControlPlane {
            cluster: "control".into(),
            authority: "control".into(),
            token: "t".into(),
        },
        node_key: None,
        policy: Policy {
            read_timeout_ms: millis(READ_TIMEOUT),
            write_timeout_ms: millis(WRITE_TIMEOUT),
            control_plane_timeout_ms: millis(CONTROL_TIMEOUT),
            // So small that some writes are streamed.
            write_part_size: 60,
            ..Policy::default()
        },
    };
    let mut writes = table.clone();
    if sim.lacks(Break::JoiningOwnersDontCount) {
        writes.groups.iter_mut().for_each(|group| group.readers.clear());
        let joins = |node: &str, shard| epoch.owners.keys().any(|group| epoch.is_joining(group, shard, node));
        for stale in &mut writes.stale {
            let shards: BTreeSet<u32> =
                stale.shards.iter().copied().filter(|shard| !joins(&members[stale.node], *shard)).collect();
            stale.shards = shards;
        }
    }
    Tables { reads: Arc::new(Routing::new(table)), writes: Arc::new(Routing::new(writes)) }
}
