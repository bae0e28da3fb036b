//! The control plane's REST API, as a run needs it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use miroir_harness::{Answer, Client, Cluster};
use serde_json::Value;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client of it. The control plane may be away at any time.
#[derive(Clone)]
pub struct Admin(Client);

impl Admin {
    pub fn new(cluster: &Cluster) -> Admin {
        Admin(cluster.admin())
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        timeout(PATIENCE, self.0.get(path)).await??.ok()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        timeout(PATIENCE, self.0.post(path, body)).await?
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        timeout(PATIENCE, self.0.patch(path, body)).await?
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        timeout(PATIENCE, self.0.delete(path)).await?
    }

    pub async fn topology(&self) -> Result<Value> {
        self.get("/_miroir/topology").await
    }

    /// Why the cluster is not whole: nodes that are down, Envoys that are missing or run with an old table.
    pub async fn what_is_missing(&self, envoys: usize) -> Result<Vec<String>> {
        let topology = self.topology().await?;
        let mut missing: Vec<String> = Vec::new();
        for node in nodes(&topology).filter(|node| node["status"] != "up") {
            missing.push(format!("{} is {}: {}", node["id"], node["status"], node["reason"]));
        }
        let version = format!("{}.{}", topology["epoch"], topology["tableVersion"]);
        let in_step = topology["envoys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|envoy| envoy["resources"]["filter"]["acknowledged"] == version.as_str());
        let in_step = in_step.count();
        if in_step < envoys {
            missing.push(format!("{in_step} of {envoys} envoys run with table {version}"));
        }
        Ok(missing)
    }

    /// What of the cluster's own work is not done: replicas that missed something, shards that move.
    pub async fn what_is_to_do(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for node in nodes(&self.topology().await?) {
            if node["stale"].as_array().is_some_and(|shards| !shards.is_empty()) {
                left.push(format!("{} is stale for {}", node["id"], node["stale"]));
            }
        }
        let status = self.get("/_miroir/rebalance").await?;
        if status["state"] != "idle" {
            left.push(format!("rebalance is {status}"));
        }
        Ok(left)
    }

    /// Whether every shard of a node has a clean owner that is up elsewhere, and the node owns one.
    pub async fn can_be_lost(&self, id: &str) -> Result<bool> {
        let topology = self.topology().await?;
        let up: BTreeSet<&str> = nodes(&topology)
            .filter(|node| node["status"] == "up")
            .filter_map(|node| node["id"].as_str())
            .collect();
        let shards = self.get("/_miroir/shards").await?;
        let is_covered = |shard: &Value| {
            let stale = shard["stale"].as_array().cloned().unwrap_or_default();
            let owners = shard["owners"].as_object().into_iter().flat_map(|groups| groups.values());
            let mut others = owners
                .flat_map(|owners| owners.as_array().into_iter().flatten())
                .filter(|owner| *owner != id && !stale.contains(owner));
            others.any(|owner| owner.as_str().is_some_and(|owner| up.contains(owner)))
        };
        Ok(shards["shards"].as_array().is_some_and(|shards| shards.iter().all(is_covered)))
    }
}

pub fn nodes(topology: &Value) -> impl Iterator<Item = &Value> {
    topology["nodes"].as_array().into_iter().flatten()
}
