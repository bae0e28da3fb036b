//! Bodies that are too long to be held: they go to the nodes in parts while they come. What a client sees of it, and
//! what is left when something goes away in the middle.

mod compression;
mod interrupted;
mod long;
mod upload;

use miroir_harness::{Cluster, Options};
use serde_json::{Value, json};

/// A cluster of three nodes with two copies of everything that is quick to see that a node is down or back.
async fn cluster(mut config: Value) -> Cluster {
    config["health"] = json!({ "interval_ms": 200, "timeout_ms": 2000 });
    Cluster::start(Options { shards: 16, config, ..Options::default() }).await.unwrap()
}
