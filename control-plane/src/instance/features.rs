//! Experimental features: those that were set through Miroir are set on every node.

use serde_json::{Map, Value};
use tracing::info;

use super::converge;
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::indexes::settings::ask_any;
use crate::node_client::{NodeClient, NodeError};

/// All features, as a node shows them.
///
/// # Errors
/// If no node can be reached.
pub async fn get(cluster: &Cluster) -> Result<Map<String, Value>, Failure> {
    let asked = ask_any(cluster, |client| async move { client.experimental_features().await }).await?;
    Ok(asked.1)
}

/// Sets features from the body of a request, and returns all: a node judges the body, and all get the same.
///
/// # Errors
/// A node's own where it refuses the body; if no node can be reached; if the store fails.
pub async fn update(cluster: &Cluster, changes: &Value) -> Result<Map<String, Value>, Failure> {
    let _one_at_a_time = cluster.instance.lock().await;
    let change = |client: NodeClient| async move { client.set_experimental_features(changes).await };
    let (_, features) = ask_any(cluster, change).await?;
    let mut wanted = cluster.store.experimental_features().await?;
    for name in changes.as_object().into_iter().flat_map(Map::keys) {
        if let Some(value) = features.get(name) {
            wanted.insert(name.clone(), value.clone());
        }
    }
    cluster.store.save_experimental_features(&wanted).await?;
    converge(cluster, |node, client| async move { bring_in_step(cluster, &node, &client).await }).await;
    Ok(features)
}

/// Sees to it that a node has the features that were set.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn bring_in_step(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    let wanted = cluster.store.experimental_features().await?;
    if wanted.is_empty() {
        return Ok(());
    }
    let changes = difference(&client.experimental_features().await?, wanted);
    if changes.is_empty() {
        return Ok(());
    }
    info!(node, features = ?changes, "setting experimental features");
    client.set_experimental_features(&Value::Object(changes)).await.map(drop)
}

/// What is to be set on a node. A feature that its version does not know is left out: it would refuse it.
fn difference(held: &Map<String, Value>, mut wanted: Map<String, Value>) -> Map<String, Value> {
    wanted.retain(|name, value| held.get(name).is_some_and(|held| held != value));
    wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_set() {
        let features = |value: Value| value.as_object().cloned().unwrap_or_default();
        let held = features(json!({"metrics": false, "network": true, "multimodal": true}));
        let wanted = features(json!({"metrics": true, "network": true, "later": true}));
        assert_eq!(Value::Object(difference(&held, wanted)), json!({"metrics": true}));
    }
}
