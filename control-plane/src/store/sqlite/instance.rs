//! Keys, experimental features, search rules and webhooks in SQLite.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use rusqlite::Transaction;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{SqliteStore, json};
use crate::store::{InstanceStore, KeyRecord, StoreError, TaskRecord, Webhook};

#[async_trait]
impl InstanceStore for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys: Vec<KeyRecord> = self.bodies("SELECT body FROM api_keys", []).await?;
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(keys)
    }

    async fn key(&self, uid: Uuid) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.bodies("SELECT body FROM api_keys WHERE uid = ?1", [uid.to_string()]).await?.pop())
    }

    async fn save_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let key = key.clone();
        self.transact(move |transaction| save_key(transaction, &key)).await
    }

    async fn delete_key(&self, uid: Uuid) -> Result<(), StoreError> {
        self.execute("DELETE FROM api_keys WHERE uid = ?1", [uid.to_string()]).await
    }

    async fn key_nodes(&self) -> Result<BTreeSet<String>, StoreError> {
        self.transact(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT node FROM key_nodes")?;
            let nodes = statement.query_map([], |row| row.get(0))?;
            Ok(nodes.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn adopt_keys(&self, node: &str, keys: &[KeyRecord]) -> Result<(), StoreError> {
        let (node, keys) = (node.to_owned(), keys.to_vec());
        self.transact(move |transaction| {
            for key in &keys {
                save_key(transaction, key)?;
            }
            transaction.execute("INSERT OR IGNORE INTO key_nodes (node) VALUES (?1)", [node])?;
            Ok(())
        })
        .await
    }

    async fn experimental_features(&self) -> Result<Map<String, Value>, StoreError> {
        Ok(self.bodies("SELECT body FROM experimental_features", []).await?.pop().unwrap_or_default())
    }

    async fn save_experimental_features(&self, features: &Map<String, Value>) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO experimental_features (id, body) VALUES (0, ?1)";
        self.execute(sql, [json(features)?]).await
    }

    async fn search_rules(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        self.transact(|transaction| by_id(transaction, "SELECT uid, body FROM search_rules")).await
    }

    async fn save_search_rules(&self, rules: &BTreeMap<String, Value>) -> Result<(), StoreError> {
        let rules = rules.clone();
        self.transact(move |transaction| {
            transaction.execute("DELETE FROM search_rules", [])?;
            for (uid, rule) in &rules {
                let sql = "INSERT INTO search_rules (uid, body) VALUES (?1, ?2)";
                transaction.execute(sql, (uid, json(rule)?))?;
            }
            Ok(())
        })
        .await
    }

    async fn webhooks(&self) -> Result<BTreeMap<Uuid, Webhook>, StoreError> {
        let webhooks: BTreeMap<String, Webhook> =
            self.transact(|transaction| by_id(transaction, "SELECT uuid, body FROM webhooks")).await?;
        let webhooks = webhooks.into_iter().map(|(uuid, webhook)| {
            let uuid = uuid.parse().map_err(|error: uuid::Error| StoreError::Backend(error.to_string()))?;
            Ok((uuid, webhook))
        });
        webhooks.collect()
    }

    async fn save_webhook(&self, uuid: Uuid, webhook: &Webhook) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO webhooks (uuid, body) VALUES (?1, ?2)";
        self.execute(sql, (uuid.to_string(), json(webhook)?)).await
    }

    async fn delete_webhook(&self, uuid: Uuid) -> Result<(), StoreError> {
        let uuid = uuid.to_string();
        self.transact(move |transaction| {
            transaction.execute("DELETE FROM webhooks WHERE uuid = ?1", [&uuid])?;
            transaction.execute("DELETE FROM webhook_debts WHERE webhook = ?1", [&uuid])?;
            Ok(())
        })
        .await
    }

    async fn tasks_owed(&self, webhook: Uuid, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let sql = "SELECT body FROM webhook_debts JOIN tasks ON tasks.uid = task_uid
                   WHERE webhook = ?1 ORDER BY task_uid LIMIT ?2";
        self.bodies(sql, (webhook.to_string(), i64::try_from(limit).unwrap_or(i64::MAX))).await
    }

    async fn settle(&self, webhook: Uuid, tasks: &[u64]) -> Result<(), StoreError> {
        let sql = "DELETE FROM webhook_debts
                   WHERE webhook = ?1 AND task_uid IN (SELECT value FROM json_each(?2))";
        self.execute(sql, (webhook.to_string(), json(&tasks)?)).await
    }
}

/// Owes a task that is about to be saved as finished to every webhook, unless it was finished before.
pub fn owe_to_webhooks(transaction: &Transaction, task: u64) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO webhook_debts (webhook, task_uid) SELECT uuid, ?1 FROM webhooks
               WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE uid = ?1
                                 AND status IN ('succeeded', 'failed', 'canceled'))";
    transaction.prepare_cached(sql)?.execute([task])?;
    Ok(())
}

fn save_key(transaction: &Transaction, key: &KeyRecord) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO api_keys (uid, body) VALUES (?1, ?2)";
    transaction.execute(sql, (key.uid.to_string(), json(key)?))?;
    Ok(())
}

fn by_id<T: serde::de::DeserializeOwned>(
    transaction: &Transaction,
    sql: &str,
) -> Result<BTreeMap<String, T>, StoreError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        let value = serde_json::from_str(body).map_err(|error| StoreError::Backend(error.to_string()))?;
        all.insert(row.get(0)?, value);
    }
    Ok(all)
}
