//! Finds settings that someone changed on a node, and indexes that a node lost, and repairs them.

use std::time::Duration;

use tracing::{error, warn};

use super::names::under_way;
use super::nodes::bring_in_step;
use super::settings::pending_changes;
use crate::cluster::Cluster;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{IndexRecord, StoreError};

/// Checks all nodes from now on.
pub async fn watch(cluster: &Cluster) {
    let pause = Duration::from_millis(cluster.config.health.settings_interval_ms);
    loop {
        tokio::time::sleep(pause).await;
        if let Err(error) = check(cluster).await {
            error!(%error, "the settings of the nodes could not be checked");
        }
    }
}

async fn check(cluster: &Cluster) -> Result<(), StoreError> {
    for uid in cluster.store.indexes().await?.into_keys() {
        let Some(_no_change_under_way) = cluster.index_locks.try_lock(&uid) else { continue };
        if !pending_changes(cluster, &uid).await?.is_empty() || under_way(cluster, &uid, None).await? {
            continue;
        }
        let Some(index) = cluster.store.index(&uid).await? else { continue };
        let table = cluster.table();
        for node in table.nodes.iter().filter(|node| node.up) {
            let Some(client) = cluster.client(&node.id) else { continue };
            if let Err(error) = check_node(cluster, &node.id, &client, &index).await {
                warn!(node = node.id, index = uid, %error, "a node is not in step");
            }
        }
    }
    Ok(())
}

/// A node that has work to do may yet do what it seems to lack.
async fn check_node(
    cluster: &Cluster,
    node: &str,
    client: &NodeClient,
    index: &IndexRecord,
) -> Result<(), NodeError> {
    match client.oldest_unfinished_task().await? {
        Some(_) => Ok(()),
        None => bring_in_step(cluster, node, client, index).await,
    }
}
