//! Since when everybody knows of a change that reads depend on.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::shard::ShardId;

use super::{ControlPlane, everyone_runs_with, with};
use crate::clock::Time;
use crate::world::{CONTROL_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT, World};

/// By node and shard: the first table that tells of it, and since when all run with that.
#[derive(Default)]
pub struct Notices(BTreeMap<(String, ShardId), (u64, Option<Time>)>);

impl Notices {
    /// Learns what there is to know now; the newest table tells of it.
    pub fn keep(&mut self, sim: &World, all: &BTreeMap<String, BTreeSet<ShardId>>) {
        let version = sim.store.borrow().table_version;
        self.0.retain(|(node, shard), _| all.get(node).is_some_and(|shards| shards.contains(shard)));
        for (node, shards) in all {
            for shard in shards {
                self.0.entry((node.clone(), *shard)).or_insert((version, None));
            }
        }
    }

    /// Whether no request is under way any more by a table that does not tell of it: all that may serve have taken one that
    /// does, and the longest request that may have begun before is over.
    pub fn is_over(
        sim: &World,
        node: &str,
        shard: ShardId,
        of: impl Fn(&mut ControlPlane) -> &mut Notices,
    ) -> bool {
        let key = (node.to_owned(), shard);
        let Some((version, since)) = with(sim, |running| of(running).0.get(&key).copied()) else {
            return false;
        };
        let since = since.or_else(|| everyone_runs_with(sim, version).then(|| sim.now()));
        with(sim, |running| of(running).0.insert(key, (version, since)));
        since.is_some_and(|since| sim.now() >= since + longest_request(sim))
    }
}

/// A read goes on by the table with which it began for as many waves as there are nodes that may fail.
pub fn longest_request(sim: &World) -> Time {
    let waves = sim.store.borrow().topology.members().len() as Time;
    (READ_TIMEOUT * waves).max(WRITE_TIMEOUT).max(CONTROL_TIMEOUT)
}
