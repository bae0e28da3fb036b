//! Idempotency keys in SQLite.

use async_trait::async_trait;
use rusqlite::{Transaction, params};
use time::OffsetDateTime;

use super::{SqliteStore, bodies, json, nanoseconds};
use crate::store::{IdempotencyStore, KnownAnswer, StoreError, TaskRecord, TaskSummary, UsedKey};

const FIRST_ANSWER: &str = "SELECT body FROM idempotency_cache WHERE id = ?1 AND expires_at > ?2";

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn first_answer(&self, id: &str, now: OffsetDateTime) -> Result<Option<KnownAnswer>, StoreError> {
        Ok(self.bodies(FIRST_ANSWER, (id.to_owned(), nanoseconds(now))).await?.pop())
    }

    async fn forget_idempotency_keys(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        self.execute("DELETE FROM idempotency_cache WHERE expires_at <= ?1", [nanoseconds(now)]).await
    }
}

/// Remembers what a request is answered, unless there is an answer already.
pub fn remember(transaction: &Transaction, key: &UsedKey, task: &TaskRecord) -> Result<(), StoreError> {
    let known: Option<KnownAnswer> =
        bodies(transaction, FIRST_ANSWER, (&key.id, nanoseconds(task.enqueued_at)))?.pop();
    if let Some(known) = known {
        return Err(StoreError::KeyUsed(Box::new(known)));
    }
    let answer = KnownAnswer { fingerprint: key.fingerprint.clone(), task: TaskSummary::from(task) };
    let sql = "INSERT OR REPLACE INTO idempotency_cache (id, expires_at, body) VALUES (?1, ?2, ?3)";
    let values = params![key.id, nanoseconds(key.expires_at), json(&answer)?];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}
