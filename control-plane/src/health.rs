//! Which nodes can be used: they answer, take the master key, and are in step with the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use time::OffsetDateTime;
use tokio::sync::{MutexGuard, oneshot};
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, NodeHealth};
use crate::node_client::NodeClient;
use crate::reconcile::reconcile;

/// Checks all nodes from now on, in the background. Returns when each was found to be up or down for the first time.
pub async fn watch(cluster: &Arc<Cluster>) {
    let mut first_verdicts = Vec::new();
    for (node, client) in &cluster.clients {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(watch_node(cluster.clone(), node.clone(), client.clone(), sender));
        first_verdicts.push(receiver);
    }
    join_all(first_verdicts).await;
}

async fn watch_node(
    cluster: Arc<Cluster>,
    node: String,
    client: NodeClient,
    first_verdict: oneshot::Sender<()>,
) {
    let config = &cluster.config.health;
    let mut first_verdict = Some(first_verdict);
    let mut up = None;
    let mut streak = Streak::default();
    loop {
        let answer = probe(&client, Duration::from_millis(config.timeout_ms)).await;
        streak.count(answer.is_ok());
        let verdict = match (up, answer) {
            // Until the verdict is recorded no change passes the node by: one that comes up holds the lock.
            (Some(true), Err(reason)) if streak.bad >= config.unhealthy_threshold => Some(Err(reason)),
            (None, Err(reason)) => Some(Err(reason)),
            (None, Ok(())) => Some(bring_up(&cluster, &node).await),
            (Some(false), Ok(())) if streak.good >= config.healthy_threshold => {
                Some(bring_up(&cluster, &node).await)
            }
            _ => None,
        };
        if let Some(verdict) = verdict {
            up = Some(verdict.is_ok());
            record(&cluster, &node, verdict.as_ref().err().cloned()).await;
        }
        if let Some(first_verdict) = first_verdict.take() {
            let _nobody_waits_any_more = first_verdict.send(());
        }
        sleep(Duration::from_millis(config.interval_ms)).await;
    }
}

/// Good and bad answers in a row.
#[derive(Default)]
struct Streak {
    good: u32,
    bad: u32,
}

impl Streak {
    fn count(&mut self, good: bool) {
        *self = match good {
            true => Streak { good: self.good.saturating_add(1), bad: 0 },
            false => Streak { good: 0, bad: self.bad.saturating_add(1) },
        };
    }
}

async fn probe(client: &NodeClient, limit: Duration) -> Result<(), String> {
    let check = async {
        client.health().await?;
        // `/health` is open to all; this shows that the node takes our master key.
        client.newest_task().await.map(drop)
    };
    match timeout(limit, check).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

/// A node that was away may have missed changes of indexes and settings.
async fn bring_up<'c>(cluster: &'c Cluster, node: &str) -> Result<MutexGuard<'c, ()>, String> {
    reconcile(cluster, node).await.map_err(|error| format!("it can't be brought in step: {error}"))
}

async fn record(cluster: &Cluster, node: &str, reason: Option<String>) {
    let health = NodeHealth { up: reason.is_none(), reason, since: OffsetDateTime::now_utc() };
    if !replace(&mut *cluster.health.write().await, node, health) {
        return;
    }
    if let Err(error) = cluster.publish().await {
        tracing::error!(node, "the node's new state could not be published: {error}");
    }
}

/// Whether the node is up where it was down or the other way round.
fn replace(all: &mut BTreeMap<String, NodeHealth>, node: &str, mut health: NodeHealth) -> bool {
    let before = all.get(node);
    let changed = before.is_none_or(|before| before.up != health.up);
    if let Some(before) = before.filter(|_| !changed) {
        health.since = before.since;
    }
    match (&health.reason, changed) {
        (None, true) => tracing::info!(node, "node is up"),
        (Some(reason), true) => tracing::warn!(node, "node is down: {reason}"),
        _ => {}
    }
    all.insert(node.to_owned(), health);
    changed
}
