//! Keys, experimental features, search rules and webhooks in Redis.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{RedisStore, Transaction, keys};
use crate::store::{InstanceStore, KeyRecord, StoreError, TaskRecord, Webhook};

#[async_trait]
impl InstanceStore for RedisStore {
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys: Vec<KeyRecord> = self.fields(keys::API_KEYS).await?.into_values().collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(keys)
    }

    async fn key(&self, uid: Uuid) -> Result<Option<KeyRecord>, StoreError> {
        self.field(keys::API_KEYS, &uid.to_string()).await
    }

    async fn save_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.set_field(keys::API_KEYS, &key.uid.to_string(), key)?;
        transaction.commit().await
    }

    async fn delete_key(&self, uid: Uuid) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.command("HDEL", keys::API_KEYS, &[&uid.to_string()]);
        transaction.commit().await
    }

    async fn key_nodes(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("SMEMBERS").arg(keys::KEY_NODES);
        let (nodes,): (BTreeSet<String>,) = self.link.ask(&request).await?;
        Ok(nodes)
    }

    async fn adopt_keys(&self, node: &str, keys: &[KeyRecord]) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        for key in keys {
            transaction.set_field(keys::API_KEYS, &key.uid.to_string(), key)?;
        }
        transaction.command("SADD", keys::KEY_NODES, &[&node]);
        transaction.commit().await
    }

    async fn experimental_features(&self) -> Result<Map<String, Value>, StoreError> {
        Ok(self.value(keys::FEATURES).await?.unwrap_or_default())
    }

    async fn save_experimental_features(&self, features: &Map<String, Value>) -> Result<(), StoreError> {
        self.save_value(keys::FEATURES, features).await
    }

    async fn search_rules(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        Ok(self.value(keys::RULES).await?.unwrap_or_default())
    }

    async fn save_search_rules(&self, rules: &BTreeMap<String, Value>) -> Result<(), StoreError> {
        self.save_value(keys::RULES, rules).await
    }

    async fn webhooks(&self) -> Result<BTreeMap<Uuid, Webhook>, StoreError> {
        let webhooks: BTreeMap<String, Webhook> = self.fields(keys::WEBHOOKS).await?;
        let webhooks = webhooks.into_iter().map(|(uuid, webhook)| {
            let uuid = uuid.parse().map_err(|error: uuid::Error| StoreError::Backend(error.to_string()))?;
            Ok((uuid, webhook))
        });
        webhooks.collect()
    }

    async fn save_webhook(&self, uuid: Uuid, webhook: &Webhook) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.webhooks.insert(uuid);
        transaction.set_field(keys::WEBHOOKS, &uuid.to_string(), webhook)?;
        transaction.commit().await
    }

    async fn delete_webhook(&self, uuid: Uuid) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.webhooks.remove(&uuid);
        transaction.command("HDEL", keys::WEBHOOKS, &[&uuid.to_string()]);
        transaction.command("DEL", &keys::debts(uuid), &[]);
        transaction.commit().await
    }

    async fn tasks_owed(&self, webhook: Uuid, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
        let mut request = redis::pipe();
        request.cmd("ZRANGE").arg(keys::debts(webhook)).arg(0).arg(i64::try_from(last).unwrap_or(i64::MAX));
        let (uids,): (Vec<u64>,) = self.link.ask(&request).await?;
        self.tasks_of(&*self.names().await?, &uids).await
    }

    async fn settle(&self, webhook: Uuid, tasks: &[u64]) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::begin(self).await?;
        let words = tasks.iter().map(|uid| uid.to_string().into_bytes()).collect();
        transaction.command_of_many("ZREM", &keys::debts(webhook), words);
        transaction.commit().await
    }
}
