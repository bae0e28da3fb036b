//! Parts of a cluster that are down, slow, or answer garbage: what a client sees of it.

mod control_plane;
mod down;
mod envoy;
mod films;
mod left;
mod nonsense;
mod slow;
mod swaps;
mod wiped;
mod writes;

use miroir_harness::{Cluster, Options};
use serde_json::{Value, json};

/// A cluster of three nodes that is quick to see that a node is down or back.
async fn cluster(replication_factor: usize, config: Value) -> Cluster {
    let quick = json!({ "interval_ms": 200, "timeout_ms": 1000 });
    start(replication_factor, quick, config).await
}

/// A cluster of three nodes that doesn't notice by itself that one is down.
async fn unaware_cluster(replication_factor: usize, config: Value) -> Cluster {
    let never = json!({ "interval_ms": 3_600_000, "timeout_ms": 1000 });
    start(replication_factor, never, config).await
}

async fn start(replication_factor: usize, health: Value, mut config: Value) -> Cluster {
    config["health"] = health;
    Cluster::start(Options { replication_factor, shards: 16, config, ..Options::default() }).await.unwrap()
}
