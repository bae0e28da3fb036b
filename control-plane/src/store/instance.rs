//! What of the store is about the instance as a whole: keys, experimental features, search rules, webhooks.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoreError, TaskRecord};

/// The part of [`Store`](super::Store) that is about the instance. Each method is one transaction.
#[async_trait]
pub trait InstanceStore {
    /// All API keys, newest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;
    /// One API key.
    async fn key(&self, uid: Uuid) -> Result<Option<KeyRecord>, StoreError>;
    /// Adds or replaces an API key.
    async fn save_key(&self, key: &KeyRecord) -> Result<(), StoreError>;
    /// Forgets an API key. Nothing happens if it isn't there.
    async fn delete_key(&self, uid: Uuid) -> Result<(), StoreError>;

    /// The nodes whose own keys were adopted.
    async fn key_nodes(&self) -> Result<BTreeSet<String>, StoreError>;
    /// Adds keys that a node had by itself, and records that this was done for that node.
    async fn adopt_keys(&self, node: &str, keys: &[KeyRecord]) -> Result<(), StoreError>;

    /// The experimental features as last set; empty if they never were.
    async fn experimental_features(&self) -> Result<Map<String, Value>, StoreError>;
    /// Replaces the experimental features.
    async fn save_experimental_features(&self, features: &Map<String, Value>) -> Result<(), StoreError>;

    /// The dynamic search rules, by uid, as nodes show them.
    async fn search_rules(&self) -> Result<BTreeMap<String, Value>, StoreError>;
    /// Replaces all dynamic search rules.
    async fn save_search_rules(&self, rules: &BTreeMap<String, Value>) -> Result<(), StoreError>;

    /// The webhooks.
    async fn webhooks(&self) -> Result<BTreeMap<Uuid, Webhook>, StoreError>;
    /// Adds or replaces a webhook. It is owed what ends from now on.
    async fn save_webhook(&self, uuid: Uuid, webhook: &Webhook) -> Result<(), StoreError>;
    /// Forgets a webhook and what it is owed. Nothing happens if it isn't there.
    async fn delete_webhook(&self, uuid: Uuid) -> Result<(), StoreError>;
    /// Up to `limit` finished tasks that a webhook was not told of yet, oldest first.
    async fn tasks_owed(&self, webhook: Uuid, limit: usize) -> Result<Vec<TaskRecord>, StoreError>;
    /// Records that a webhook was told of these tasks.
    async fn settle(&self, webhook: Uuid, tasks: &[u64]) -> Result<(), StoreError>;
}

/// An API key. Its value follows from its uid and the master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// What its users call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The same on every node.
    pub uid: Uuid,
    /// What it allows, by Meilisearch's names.
    pub actions: Vec<String>,
    /// The indexes on which it does, as patterns.
    pub indexes: Vec<String>,
    /// When it ceases to be valid.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its name or description last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Where finished tasks are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// The headers to send along.
    pub headers: BTreeMap<String, String>,
}
