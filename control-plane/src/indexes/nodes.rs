//! One change, on all nodes.

use std::time::Duration;

use futures::future::join_all;
use metrics::counter;
use miroir_core::control::PartOutcome;
use miroir_core::error::{ApiError, no_quorum};
use miroir_core::rebalance::is_stale;
use miroir_core::settings::node_settings;
use miroir_core::shard::ShardId;
use serde_json::{Map, Value};
use tracing::{error, info, warn};

use super::names::under_way;
use super::settings::pending_changes;
use crate::cluster::Cluster;
use crate::health::take_down;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{IndexRecord, StoreError, TaskPart};

/// How long a node may take to do what brings it in step; it may have to finish other work first.
const IN_STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Enqueues a change on every node, also on those that are thought to be down: one that is coming back must not
/// miss it. But nothing goes past a change of what uids name: a node that has still to take one gets this one when it is
/// brought in step. Returns the node tasks.
pub async fn enqueue_everywhere<F: Future<Output = Result<u64, NodeError>>>(
    cluster: &Cluster,
    enqueue: impl Fn(String, NodeClient) -> F,
) -> Vec<TaskPart> {
    let members = cluster.members();
    let parts = members.clients.iter().map(|(node, client)| {
        let enqueued = enqueue(node.clone(), client.clone());
        async move {
            let in_step = async {
                // Of one that is up, a change of another index is just being sent.
                match is_up(cluster, node) || cluster.store.pending_changes(node).await?.is_empty() {
                    true => enqueued.await,
                    false => Err(NodeError::OutOfStep(node.clone())),
                }
            };
            part(node, in_step.await)
        }
    });
    join_all(parts).await
}

/// Whether a node is read and written now.
pub fn is_up(cluster: &Cluster, node: &str) -> bool {
    cluster.table().nodes.iter().any(|other| other.id == node && other.up)
}

/// What became of a change on one node.
pub fn part(node: &str, result: Result<u64, NodeError>) -> TaskPart {
    let outcome = match result {
        Ok(uid) => PartOutcome::Accepted(uid),
        Err(error) => {
            warn!(node, %error, "a node missed a change");
            PartOutcome::Missed(error.to_string())
        }
    };
    TaskPart::new(node, outcome)
}

/// Fails if no node took the change.
pub fn at_least_one(parts: &[TaskPart]) -> Result<(), ApiError> {
    match parts.iter().any(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
        true => Ok(()),
        false => Err(no_quorum("no node could be reached")),
    }
}

/// Waits until those nodes that took a change have done it, or until `timeout`: what follows on a node waits for
/// it in the node's own queue.
pub async fn wait(cluster: &Cluster, parts: &[TaskPart], timeout: Duration) {
    let waits = parts.iter().map(|part| async move {
        let (PartOutcome::Accepted(uid), Some(client)) = (&part.outcome, cluster.client(&part.node)) else {
            return;
        };
        if let Err(error) = client.wait_for_task(*uid, timeout).await {
            warn!(node = part.node, %error, "a node has not done a change");
        }
    });
    join_all(waits).await;
}

/// Creates an index on one node, with the settings that nodes have from the start, and returns the node's task.
pub async fn create_on_node(
    client: &NodeClient,
    uid: &str,
    primary_key: Option<&str>,
) -> Result<u64, NodeError> {
    client.create_index(uid, primary_key).await?;
    client.update_settings(uid, &node_settings(&Value::Null)).await
}

/// Brings an index in step on all nodes that are up, as the last step of the task `finishing`. Nothing is done
/// while another change is under way: the nodes are ahead of the store then, and that change ends here too.
///
/// # Errors
/// If the store fails.
pub async fn converge(cluster: &Cluster, uid: &str, finishing: Option<u64>) -> Result<(), StoreError> {
    let Some(_no_change_under_way) = cluster.index_locks.try_lock(uid) else { return Ok(()) };
    let pending = pending_changes(cluster, uid).await?;
    if pending.iter().any(|task| Some(task.uid) != finishing) || under_way(cluster, uid, finishing).await? {
        return Ok(());
    }
    let Some(index) = cluster.store.index(uid).await? else { return Ok(()) };
    let table = cluster.table();
    let up = table.nodes.iter().filter(|node| node.up);
    let changes = up.filter_map(|node| Some((&node.id, cluster.client(&node.id)?)));
    let index = &index;
    let results = changes.map(|(node, client)| async move {
        if let Err(error) = bring_in_step(cluster, node, &client, index).await {
            warn!(node, index = uid, %error, "a node is not in step");
        }
    });
    join_all(results).await;
    Ok(())
}

/// Sees to it that a node has an index, with the cluster's primary key and settings.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked.
pub async fn bring_in_step(
    cluster: &Cluster,
    node: &str,
    client: &NodeClient,
    index: &IndexRecord,
) -> Result<(), NodeError> {
    // Until it is adopted, its settings are the business of the adoption, which may take the node long.
    if index.adopting {
        return Ok(());
    }
    let uid = index.uid.as_str();
    let held = match client.index(uid).await? {
        Some(held) => held,
        None => {
            info!(node, index = uid, "creating an index that the node lacks");
            mark_lost(cluster, node, uid).await?;
            let task = create_on_node(client, uid, index.primary_key.as_deref()).await?;
            client.wait_for_task(task, IN_STEP_TIMEOUT).await?;
            client.index(uid).await?.unwrap_or_default()
        }
    };
    if let (None, Some(primary_key)) = (&held.primary_key, &index.primary_key) {
        info!(node, index = uid, primary_key, "setting a primary key that the node lacks");
        let task = client.set_primary_key(uid, primary_key).await?;
        client.wait_for_task(task, IN_STEP_TIMEOUT).await?;
    }
    let difference = difference(&client.settings(uid).await?, &node_settings(&index.settings));
    if !difference.is_empty() {
        let names: Vec<_> = difference.keys().cloned().collect();
        let held = cluster.store.node_settings_versions(uid).await?.get(node).copied();
        match held == Some(index.settings_version) {
            true => {
                warn!(node, index = uid, settings = ?names, "settings were changed on the node: repairing them");
                counter!("miroir_settings_drift_total", "node" => node.to_owned()).increment(1);
            }
            false => info!(node, index = uid, settings = ?names, "bringing settings up to date"),
        }
        let task = client.update_settings(uid, &Value::Object(difference)).await?;
        client.wait_for_task(task, IN_STEP_TIMEOUT).await?;
    }
    cluster.store.set_node_settings_version(uid, node, index.settings_version).await?;
    Ok(())
}

/// A node that had an index and lacks it now was wiped.
async fn mark_lost(cluster: &Cluster, node: &str, uid: &str) -> Result<(), NodeError> {
    match cluster.store.node_settings_versions(uid).await?.contains_key(node) {
        true => lose(cluster, node).await,
        false => Ok(()),
    }
}

/// A node was wiped: it missed every write to the shards that it owns. Without an index it refuses reads, which then go
/// elsewhere; with an empty one it would answer them. So it is not in step before every Envoy knows that its replicas are stale,
/// and no read is under way by an earlier table.
///
/// # Errors
/// [`NodeError::OutOfStep`] until then; if the store fails.
pub async fn lose(cluster: &Cluster, node: &str) -> Result<(), NodeError> {
    let epoch = cluster.store.current_epoch().await?.unwrap_or_default();
    let shards: Vec<ShardId> = epoch.owned_by(node).into_iter().collect();
    let stale = cluster.store.stale_replicas().await?;
    if !shards.iter().all(|shard| is_stale(&stale, node, *shard)) {
        error!(node, ?shards, "the node has lost what it held: its replicas are stale");
        cluster.store.mark_lost(node, &shards, epoch.shards()).await?;
        take_down(cluster, node).await;
        return Err(NodeError::OutOfStep(node.to_owned()));
    }
    match cluster.rebalance.is_loss_heard_of(cluster, node).await? {
        true => Ok(()),
        false => Err(NodeError::OutOfStep(node.to_owned())),
    }
}

/// The change that a node needs to hold the settings wanted. What it has beside them is a newer Meilisearch's.
pub(super) fn difference(held: &Value, wanted: &Value) -> Map<String, Value> {
    let wanted = wanted.as_object().into_iter().flatten();
    let mut difference: Map<String, Value> = wanted
        .filter(|(name, value)| !holds(held.get(name.as_str()), value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Embedders alone are kept unless they are named, by null to be removed.
    if let Some(Value::Object(embedders)) = difference.get_mut("embedders") {
        for name in held["embedders"].as_object().into_iter().flat_map(Map::keys) {
            embedders.entry(name).or_insert(Value::Null);
        }
    }
    difference
}

/// Whether a node holds a setting. Null for a part of one stands for the node's own default.
fn holds(held: Option<&Value>, wanted: &Value) -> bool {
    let Some(held) = held else { return false };
    match (held, wanted) {
        (Value::Object(held), Value::Object(wanted)) if wanted.values().any(Value::is_null) => {
            wanted.iter().all(|(part, wanted)| wanted.is_null() || held.get(part) == Some(wanted))
        }
        _ => held == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_repaired() {
        let held = json!({
            "stopWords": [],
            "synonyms": {"a": ["b"]},
            "embedders": {"old": {"source": "userProvided"}},
            "later": 1,
        });
        assert_eq!(difference(&held, &held), Map::new());
        let wanted = json!({"stopWords": ["the"], "synonyms": {}, "embedders": {}});
        assert_eq!(
            Value::Object(difference(&held, &wanted)),
            json!({"stopWords": ["the"], "synonyms": {}, "embedders": {"old": null}})
        );
    }

    #[test]
    fn a_node_s_own_defaults_are_right_where_the_user_set_nothing() {
        let defaults = json!({
            "filterableAttributes": [],
            "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
        });
        let new = node_settings(&Value::Null);
        assert!(!difference(&defaults, &new).is_empty());
        let mut held = defaults;
        held["filterableAttributes"] = new["filterableAttributes"].clone();
        held["faceting"]["maxValuesPerFacet"] = new["faceting"]["maxValuesPerFacet"].clone();
        assert_eq!(difference(&held, &new), Map::new());
    }
}
