//! The cluster as `/_miroir/topology` shows it.

use std::time::Duration;

use miroir_harness::{Cluster, wait_until};
use serde_json::Value;

use crate::stats::envoy_stats;

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

/// Waits until a node is `up` or `down`, and Envoy runs with that.
///
/// # Panics
/// If that takes a minute.
pub async fn wait_for_status(cluster: &Cluster, node: usize, wanted: &str) {
    wait_until(&format!("node {node} to be {wanted}"), PATIENCE, async || {
        let topology = topology(cluster).await;
        let cluster_name = topology["nodes"][node]["cluster"].as_str().unwrap_or_default();
        let healthy =
            envoy_stats(cluster).await.get(&format!("cluster.{cluster_name}.membership_healthy")).copied();
        Ok(topology["nodes"][node]["status"] == wanted
            && healthy == Some((wanted == "up").into())
            && envoys_run_with(&topology["tableVersion"], &topology))
    })
    .await
    .unwrap();
}

/// Whether every Envoy has taken the routing table of this version.
fn envoys_run_with(table: &Value, topology: &Value) -> bool {
    let version = format!("{}.{table}", topology["epoch"]);
    let envoys = topology["envoys"].as_array().into_iter().flatten();
    let mut filters = envoys.filter_map(|envoy| envoy["resources"].get("filter"));
    filters.all(|filter| filter["acknowledged"] == version)
}
