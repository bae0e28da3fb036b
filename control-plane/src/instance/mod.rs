//! What the nodes have in common beside indexes: keys, experimental features, dynamic search rules.
//!
//! The store is right about them. A change goes into the store, then to every node that is up, before the client
//! hears of it; a node that is away gets it before it is read again. Nodes are compared with the store from time
//! to time, and what differs is repaired.

pub mod backups;
pub mod features;
pub mod rules;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::cluster::Cluster;
use crate::health::take_down;
use crate::keys;
use crate::node_client::{NodeClient, NodeError};

/// The pause between two comparisons of the nodes with the store.
const COMPARISONS: Duration = Duration::from_secs(10);
/// How long one attempt to bring a node in step may take, and all of them while a client waits. A node that does
/// not answer is found to be down meanwhile.
const ATTEMPT: Duration = Duration::from_secs(5);
const ATTEMPTS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Sees to it that a node has what the nodes have in common. The caller holds [`Cluster::instance`].
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn bring_in_step(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    keys::bring_in_step(cluster, node, client).await?;
    features::bring_in_step(cluster, node, client).await?;
    rules::bring_in_step(cluster, node, client).await
}

/// Brings every node that is up in step by `bring_in_step`, as the last step of a change. One that fails is tried
/// again until it is found to be down or time is up; then it is left to [`keep_in_step`]. The caller holds
/// [`Cluster::instance`].
pub async fn converge<F: Future<Output = Result<(), NodeError>>>(
    cluster: &Cluster,
    bring_in_step: impl Fn(String, NodeClient) -> F,
) {
    let nodes = cluster.up_clients().await;
    let bring_in_step = &bring_in_step;
    let attempts = nodes.into_iter().map(|(node, client)| async move {
        let deadline = Instant::now() + ATTEMPTS;
        while !attempt(&node, bring_in_step(node.clone(), client.clone())).await {
            let is_up = cluster.up_clients().await.iter().any(|(up, _)| *up == node);
            if !is_up || Instant::now() > deadline {
                break;
            }
            sleep(PAUSE).await;
        }
    });
    join_all(attempts).await;
}

/// Compares the nodes that are up with the store, for ever.
pub async fn keep_in_step(cluster: &Cluster) {
    loop {
        sleep(COMPARISONS).await;
        let _one_at_a_time = cluster.instance.lock().await;
        let nodes = cluster.up_clients().await.into_iter();
        let attempts = nodes.map(|(node, client)| async move {
            attempt(&node, compare(cluster, &node, &client)).await;
        });
        join_all(attempts).await;
    }
}

async fn compare(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    if keys::are_lost(cluster, node, client).await? {
        // With the keys it would take writes again, before anybody knows what it has lost.
        take_down(cluster, node).await;
        return Err(NodeError::OutOfStep(node.to_owned()));
    }
    bring_in_step(cluster, node, client).await
}

async fn attempt(node: &str, bringing: impl Future<Output = Result<(), NodeError>>) -> bool {
    let failure = match timeout(ATTEMPT, bringing).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {ATTEMPT:?}"),
    };
    warn!(node, "the node can't be brought in step: {failure}");
    false
}
