//! All that a store holds, to be taken to another backend.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::{Epoch, Stale};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    AliasRecord, IndexRecord, KeyRecord, KnownAnswer, PendingChange, RebalanceRecord, Store, StoreError,
    Topology, Webhook,
};

/// What whoever uses a store can ask it for, but for the tasks.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Contents {
    pub topology: Option<Topology>,
    pub epoch: Option<Epoch>,
    pub first_live_epoch: u64,
    pub stale: Stale,
    pub rebalance: Option<RebalanceRecord>,
    pub envoys: BTreeMap<String, OffsetDateTime>,
    pub indexes: BTreeMap<String, IndexRecord>,
    /// By index, and then by node.
    pub settings_versions: BTreeMap<String, BTreeMap<String, u64>>,
    /// By node.
    pub pending_changes: BTreeMap<String, Vec<PendingChange>>,
    pub aliases: BTreeMap<String, AliasRecord>,
    pub keys: BTreeMap<Uuid, KeyRecord>,
    pub key_nodes: BTreeSet<String>,
    pub features: Map<String, Value>,
    pub rules: BTreeMap<String, Value>,
    pub webhooks: BTreeMap<Uuid, Webhook>,
}

/// What a backend counts, and what it forgets by itself.
#[derive(Clone, Debug)]
pub struct Internals {
    /// The uid of the next task.
    pub next_task_uid: u64,
    /// The id of the last pending change.
    pub last_change: u64,
    /// See [`Store::mark_clean`].
    pub next_miss: u64,
    /// The nodes that have changes pending.
    pub changing_nodes: Vec<String>,
    /// Which finished tasks each webhook was not told of yet.
    pub owed: BTreeMap<Uuid, Vec<u64>>,
    /// What clients were answered, by the ids of their idempotency keys, until when.
    pub answers: Vec<(String, KnownAnswer, OffsetDateTime)>,
    /// The writes of each session, oldest first, until when.
    pub sessions: Vec<(String, Vec<u64>, OffsetDateTime)>,
}

impl Contents {
    /// All of it, and what these nodes have still to take.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub async fn of(store: &dyn Store, nodes: &[String]) -> Result<Contents, StoreError> {
        let indexes = store.indexes().await?;
        let mut settings_versions = BTreeMap::new();
        for uid in indexes.keys() {
            settings_versions.insert(uid.clone(), store.node_settings_versions(uid).await?);
        }
        let mut pending_changes = BTreeMap::new();
        for node in nodes {
            pending_changes.insert(node.clone(), store.pending_changes(node).await?);
        }
        Ok(Contents {
            topology: store.topology().await?,
            epoch: store.current_epoch().await?,
            first_live_epoch: store.first_live_epoch().await?,
            stale: store.stale_replicas().await?,
            rebalance: store.rebalance().await?,
            envoys: store.envoys().await?,
            indexes,
            settings_versions,
            pending_changes,
            aliases: store.aliases().await?,
            keys: store.keys().await?.into_iter().map(|key| (key.uid, key)).collect(),
            key_nodes: store.key_nodes().await?,
            features: store.experimental_features().await?,
            rules: store.search_rules().await?,
            webhooks: store.webhooks().await?,
        })
    }
}
