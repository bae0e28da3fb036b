//! Which nodes can be used: they answer, take the master key, and are in step with the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use time::OffsetDateTime;
use tokio::sync::{MutexGuard, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::{Cluster, Members, NodeHealth};
use crate::node_client::{NodeClient, NodeError};
use crate::reconcile::reconcile;

/// Checks all nodes, also those that are added later, for ever. Says when each of the first was found to be up or down.
pub async fn watch(cluster: Arc<Cluster>, first_verdicts: oneshot::Sender<()>) {
    let mut first_verdicts = Some(first_verdicts);
    let mut members = cluster.subscribe_members();
    let mut watched: BTreeMap<String, (String, AbortOnDropHandle<()>)> = BTreeMap::new();
    loop {
        let now = members.borrow_and_update().clone();
        let is_there =
            |id: &String, url: &str| now.nodes.iter().any(|node| node.id == *id && node.url == url);
        watched.retain(|id, (url, _)| is_there(id, url));
        let mut awaited = Vec::new();
        for node in now.nodes.iter().filter(|node| !watched.contains_key(&node.id)).collect::<Vec<_>>() {
            let Some(client) = now.clients.get(&node.id) else { continue };
            let (sender, receiver) = oneshot::channel();
            let watching = watch_node(cluster.clone(), node.id.clone(), client.clone(), sender);
            watched
                .insert(node.id.clone(), (node.url.clone(), AbortOnDropHandle::new(tokio::spawn(watching))));
            awaited.push(receiver);
        }
        forget(&cluster, &now).await;
        if let Some(first_verdicts) = first_verdicts.take() {
            join_all(awaited).await;
            let _nobody_waits_any_more = first_verdicts.send(());
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Forgets how nodes were that are gone.
async fn forget(cluster: &Cluster, members: &Members) {
    cluster.health.write().await.retain(|node, _| members.clients.contains_key(node));
    if let Err(error) = cluster.publish().await {
        tracing::error!("the nodes that are left could not be published: {error}");
    }
}

async fn watch_node(
    cluster: Arc<Cluster>,
    node: String,
    client: NodeClient,
    first_verdict: oneshot::Sender<()>,
) {
    let config = &cluster.config.health;
    let mut first_verdict = Some(first_verdict);
    let mut streak = Streak::default();
    let mut newest_task = None;
    loop {
        let answer = probe(&client, Duration::from_millis(config.timeout_ms)).await;
        if let Ok(newest) = answer
            && std::mem::replace(&mut newest_task, newest) > newest
        {
            // It came back so soon that no check has missed it.
            record(&cluster, &node, Some("it has lost its tasks, and so perhaps all it had".into())).await;
        }
        let up = cluster.health.read().await.get(&node).map(|health| health.up);
        streak.count(answer.is_ok());
        let verdict = match (up, answer) {
            (Some(true), Err(reason)) if streak.bad >= config.unhealthy_threshold => Some(Err(reason)),
            (None, Err(reason)) => Some(Err(reason)),
            (None, Ok(_)) => Some(bring_up(&cluster, &node).await),
            (Some(false), Ok(_)) if streak.good >= config.healthy_threshold => {
                Some(bring_up(&cluster, &node).await)
            }
            _ => None,
        };
        // A node that comes up holds the lock of what all have in common until it takes part in changes of it.
        if let Some(verdict) = verdict {
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

/// The uid of the node's newest task, which only ever grows.
async fn probe(client: &NodeClient, limit: Duration) -> Result<Option<u64>, String> {
    let check = async {
        client.health().await?;
        // `/health` is open to all; this shows that the node takes our master key.
        Ok::<_, NodeError>(client.newest_task().await?.map(|task| task.uid))
    };
    match timeout(limit, check).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

/// Takes a node down although it answers, because it missed a change of indexes or has lost what it had: it is brought in
/// step by the next check, and not read or written before.
pub async fn take_down(cluster: &Cluster, node: &str) {
    if cluster.health.read().await.get(node).is_some_and(|health| !health.up) {
        return;
    }
    record(cluster, node, Some("it is not in step with the cluster".into())).await;
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
