//! The cluster as `/_miroir/topology` shows it.

use std::time::Duration;

use miroir_harness::{Cluster, wait_until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// The whole topology.
///
/// # Panics
/// If the control plane doesn't answer.
pub async fn topology(cluster: &Cluster) -> Value {
    cluster.admin().get("/_miroir/topology").await.unwrap().ok().unwrap()
}

/// How a node is: `up`, `down` or `checking`.
///
/// # Panics
/// If the control plane doesn't answer.
pub async fn status(cluster: &Cluster, node: usize) -> String {
    topology(cluster).await["nodes"][node]["status"].as_str().unwrap_or_default().to_owned()
}

/// The shards of which a node missed writes.
///
/// # Panics
/// If the control plane doesn't answer.
pub async fn stale_shards(cluster: &Cluster, node: usize) -> Vec<u64> {
    let topology = topology(cluster).await;
    let shards = topology["nodes"][node]["stale"].as_array().cloned().unwrap_or_default();
    shards.iter().filter_map(Value::as_u64).collect()
}

/// Waits until a node is `up` or `down`, and every Envoy knows.
///
/// # Panics
/// If that takes a minute.
pub async fn wait_for_status(cluster: &Cluster, node: usize, wanted: &str) {
    wait_until(&format!("node {node} to be {wanted}"), PATIENCE, async || {
        Ok(status(cluster, node).await == wanted)
    })
    .await
    .unwrap();
}
