//! What every reader must know of before something is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use miroir_core::shard::ShardId;

use crate::cluster::Cluster;

/// Shards by node.
pub type Shards = BTreeMap<String, BTreeSet<ShardId>>;

/// Shards of which nodes may hold documents that reads must not count, and since when all readers know of it.
#[derive(Debug, Default)]
pub struct Notices(BTreeMap<(String, ShardId), Notice>);

/// What a routing table says, and since when all readers know of it.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// The first of our routing tables of which we know that it says so.
    version: u64,
    /// When every Envoy was found to run with it.
    known_since: Option<Instant>,
}

impl Notice {
    /// Of the routing table with this version.
    pub fn new(version: u64) -> Notice {
        Notice { version, known_since: None }
    }

    /// Whether no read is under way any more by an earlier table: all Envoys that are connected, or were lately, run with this
    /// one or a newer, and have for as long as a read may take.
    pub fn is_heard(&mut self, cluster: &Cluster) -> bool {
        let grace = Duration::from_millis(cluster.config.rebalance.envoy_grace_ms);
        if self.known_since.is_none() && cluster.envoys.all_know_of(self.version, grace) {
            self.known_since = Some(Instant::now());
        }
        self.known_since.is_some_and(|since| since.elapsed() > longest_read(cluster))
    }
}

impl Notices {
    /// Of what the routing table with this version says, that which no read is under way any more that does not know of it.
    pub fn heard(&mut self, cluster: &Cluster, told: &Shards, version: u64) -> Shards {
        let all =
            told.iter().flat_map(|(node, shards)| shards.iter().map(move |shard| (node.clone(), *shard)));
        let all: BTreeSet<(String, ShardId)> = all.collect();
        self.0.retain(|replica, _| all.contains(replica));
        let mut heard = Shards::new();
        for (node, shard) in all {
            let notice = self.0.entry((node.clone(), shard)).or_insert(Notice::new(version));
            if notice.is_heard(cluster) {
                heard.entry(node).or_default().insert(shard);
            }
        }
        heard
    }
}

/// How long a read may go on by the table with which it began: in the worst case it waits for each copy of a shard in turn.
fn longest_read(cluster: &Cluster) -> Duration {
    let table = cluster.table();
    let copies = (0..table.shards as usize).map(|shard| {
        table.groups.iter().filter_map(|group| group.owners.get(shard)).map(Vec::len).sum::<usize>()
    });
    table.policy.read_timeout() * copies.max().unwrap_or(1).max(1) as u32
}
