//! Adopting indexes that a Meilisearch held before it was a node of the cluster.
//!
//! The node is the only one that holds anything, so it is asked without tags, and all is found from the start. Meanwhile
//! it gets the settings that nodes have, and each document its tag, in place. Only then may other nodes join: what has no tag
//! would not be copied to them. All of it is known from the index's record, so a control plane that was killed goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use miroir_core::error::ApiError;
use miroir_core::rebalance::Epoch;
use miroir_core::settings::{UserValues, node_settings, user_settings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tracing::{info, warn};
use utoipa::ToSchema;

use super::index_not_found;
use super::nodes::difference;
use crate::aliases;
use crate::cluster::Cluster;
use crate::copy::{self, CopiedIndex, CopyError, Progress, Replica};
use crate::node_client::{NodeClient, NodeError};
use crate::refusal::refused;
use crate::store::{IndexChange, IndexRecord, StoreError, generation};

/// How long a node may take to index all documents anew for the settings that it gets.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);
/// The pause after something went wrong.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known of adoptions beside the store.
#[derive(Debug, Default)]
pub struct Adoptions {
    begun: Notify,
    progress: Mutex<BTreeMap<String, Arc<Progress>>>,
}

impl Adoptions {
    fn progress(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Progress>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An index that is adopted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// Its uid.
    pub index_uid: String,
    /// How many documents have got their tags since the control plane was started.
    pub documents_done: u64,
    /// How many had none then, as far as is known.
    pub documents_total: u64,
}

/// The indexes that are being adopted.
///
/// # Errors
/// If the store fails.
pub async fn adoptions(cluster: &Cluster) -> Result<Vec<Adoption>, StoreError> {
    let indexes = cluster.store.indexes().await?;
    let progress = cluster.adoptions.progress();
    let adopting = indexes.into_values().filter(|index| index.adopting);
    let adoption = |index: IndexRecord| {
        let now = progress.get(&index.uid).map(|progress| progress.now()).unwrap_or_default();
        Adoption { index_uid: index.uid, documents_done: now.documents_done, documents_total: now.documents }
    };
    Ok(adopting.map(adoption).collect())
}

/// What can be adopted: the node, and those of its indexes that the cluster does not know.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The node.
    pub node: String,
    /// The indexes' uids.
    pub index_uids: Vec<String>,
}

/// Looks for what can be adopted: one index, or all.
///
/// # Errors
/// If there is more than one node that holds documents, or the node can't be asked; if the index that is asked for is not
/// there, or is the cluster's already.
pub async fn find(cluster: &Cluster, only: Option<&str>) -> Result<Found, ApiError> {
    let node = only_owner(&cluster.store.current_epoch().await?.unwrap_or_default())
        .ok_or_else(|| {
            let message = "Several nodes hold shards, and only what a single one holds can be adopted: begin with that node \
                           alone, adopt, and add the others then.";
            refused(409, "miroir_adoption_needs_one_node", message)
        })?;
    let client = client(cluster, &node).await?;
    let known = cluster.store.indexes().await?;
    let mut uids = client.index_uids().await.map_err(|error| unreachable(&node, &error))?;
    if let Some(only) = only {
        if known.get(only).is_some_and(|index| !index.adopting) {
            let message = format!("Index `{only}` already exists.");
            return Err(refused(409, "index_already_exists", message));
        }
        uids.retain(|uid| uid == only);
        if uids.is_empty() {
            return Err(index_not_found(only));
        }
    }
    uids.retain(|uid| !known.contains_key(uid));
    let aliases = cluster.store.aliases().await?;
    uids.iter().try_for_each(|uid| aliases::check_is_none(&aliases, uid))?;
    Ok(Found { node, index_uids: uids })
}

/// Adopts one index, or all that the node holds. When this returns, they are searched and written through Miroir; the
/// rest is done in the background.
///
/// # Errors
/// As [`find`]; if the store fails.
pub async fn adopt(cluster: &Cluster, only: Option<&str>) -> Result<Found, ApiError> {
    let _no_node_joins = cluster.rebalance.hold().await;
    let found = find(cluster, only).await?;
    let client = client(cluster, &found.node).await?;
    for uid in &found.index_uids {
        let _one_at_a_time = cluster.index_locks.lock(uid).await;
        if cluster.store.index(uid).await?.is_some() {
            continue;
        }
        aliases::check_is_none(&cluster.store.aliases().await?, uid)?;
        let index = record(&client, uid).await.map_err(|error| unreachable(&found.node, &error))?;
        info!(index = uid, node = found.node, "adopting an index");
        cluster.store.save_index(&index).await?;
        let version = index.settings_version;
        cluster.store.set_node_settings_version(uid, &found.node, version).await?;
    }
    cluster.publish_everywhere().await?;
    cluster.adoptions.begun.notify_one();
    Ok(found)
}

/// The node that owns all shards alone, with none that joins.
fn only_owner(epoch: &Epoch) -> Option<String> {
    let mut owners = (0..epoch.shards()).flat_map(|shard| epoch.owners_of(shard));
    let first = owners.next()?;
    let is_alone =
        owners.all(|owner| owner == first) && epoch.coming.is_empty() && epoch.leftovers.is_empty();
    is_alone.then(|| first.to_owned())
}

async fn client(cluster: &Cluster, node: &str) -> Result<NodeClient, ApiError> {
    let clients = cluster.up_clients().await;
    let client = clients.into_iter().find(|(id, _)| id == node).map(|(_, client)| client);
    client.ok_or_else(|| {
        let message = format!("Node {node} is down: `GET /_miroir/topology` says why.");
        refused(409, "miroir_node_unreachable", message)
    })
}

async fn record(client: &NodeClient, uid: &str) -> Result<IndexRecord, NodeError> {
    let held = client.index(uid).await?.unwrap_or_default();
    let settings = client.settings(uid).await?;
    let now = OffsetDateTime::now_utc();
    Ok(IndexRecord {
        uid: uid.to_owned(),
        primary_key: held.primary_key,
        created_at: held.created_at.unwrap_or(now),
        updated_at: held.updated_at.unwrap_or(now),
        settings: user_settings(&settings, &UserValues::of(&settings)),
        settings_version: 1,
        generation: generation(now),
        adopting: true,
    })
}

/// Finishes adoptions, for ever.
pub async fn run(cluster: &Cluster) {
    loop {
        match finish_all(cluster).await {
            Ok(()) => cluster.adoptions.begun.notified().await,
            Err(error) => {
                warn!(%error, "an index is not adopted yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn finish_all(cluster: &Cluster) -> Result<(), CopyError> {
    let indexes = cluster.store.indexes().await?;
    for index in indexes.into_values().filter(|index| index.adopting) {
        match finish(cluster, &index).await {
            // It has another uid now, and is found by that.
            Err(CopyError::IndexChanged(_)) => return Box::pin(finish_all(cluster)).await,
            done => done?,
        }
        cluster.adoptions.progress().remove(&index.uid);
        cluster.rebalance.wake();
    }
    Ok(())
}

async fn finish(cluster: &Cluster, index: &IndexRecord) -> Result<(), CopyError> {
    let epoch = cluster.store.current_epoch().await?.unwrap_or_default();
    let lost = || StoreError::Conflict(format!("the node that holds index {} is gone", index.uid));
    let node = only_owner(&epoch).ok_or_else(lost)?;
    let client = cluster.client(&node).ok_or_else(lost)?;
    let node = Replica { node, client };
    give_settings(cluster, &node, &index.uid).await.map_err(|error| node.failed(error))?;
    if let Some(copied) = CopiedIndex::new(index) {
        let progress = Arc::new(Progress::default());
        cluster.adoptions.progress().insert(index.uid.clone(), progress.clone());
        let context = cluster.rebalance.copying(cluster);
        copy::tag_all(context, &copied, &node, &progress).await?;
    }
    let _one_at_a_time = cluster.index_locks.lock(&index.uid).await;
    let now = cluster.store.index(&index.uid).await?;
    if now.is_none_or(|now| now.generation != index.generation) {
        return Err(CopyError::IndexChanged(index.uid.clone()));
    }
    let change = IndexChange { is_adopted: true, ..IndexChange::at(index.updated_at) };
    cluster.store.update_index(&index.uid, change).await?;
    info!(index = index.uid, "the index is adopted");
    Ok(())
}

/// Sees to it that the node has the settings that nodes have, whatever a client changes meanwhile.
async fn give_settings(cluster: &Cluster, node: &Replica, uid: &str) -> Result<(), NodeError> {
    loop {
        let one_at_a_time = cluster.index_locks.lock(uid).await;
        let Some(index) = cluster.store.index(uid).await? else { return Ok(()) };
        let held = node.client.settings(uid).await?;
        let difference = difference(&held, &node_settings(&index.settings));
        if difference.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = difference.keys().collect();
        info!(index = uid, node = node.node, settings = ?names, "giving the node the settings that nodes have");
        let task = node.client.update_settings(uid, &Value::Object(difference)).await?;
        drop(one_at_a_time);
        node.client.wait_for_task(task, SETTINGS_PATIENCE).await?;
    }
}

fn unreachable(node: &str, error: &NodeError) -> ApiError {
    refused(409, "miroir_node_unreachable", format!("Node {node} can't be asked: {error}."))
}
