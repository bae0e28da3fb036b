//! Idempotency keys and sessions in Redis. They expire there by themselves.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::transaction::Transaction;
use super::{RedisStore, json, keys};
use crate::store::{
    IdempotencyStore, KnownAnswer, Origin, SessionRecord, SessionStore, SessionWrite, StoreError, TaskRecord,
    TaskSummary, UsedKey,
};

/// A value that is kept for a while. Redis counts by a clock of its own, so that when it ends is said here, too.
#[derive(Serialize, Deserialize)]
struct Expiring<T> {
    /// In milliseconds since 1970.
    expires_at: i64,
    value: T,
}

#[async_trait]
impl IdempotencyStore for RedisStore {
    async fn first_answer(&self, id: &str, now: OffsetDateTime) -> Result<Option<KnownAnswer>, StoreError> {
        self.unexpired(&keys::idempotency(id), now).await
    }

    async fn forget_idempotency_keys(&self, _: OffsetDateTime) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn session(&self, id: &str, now: OffsetDateTime) -> Result<Option<SessionRecord>, StoreError> {
        let tasks: Option<Vec<u64>> = self.unexpired(&keys::session(id), now).await?;
        let Some(tasks) = tasks else { return Ok(None) };
        let Some(last) = tasks.last().copied() else { return Ok(None) };
        let known = self.tasks_of(&*self.names().await?, &tasks).await?;
        Ok(Some(SessionRecord { last, unfinished: unfinished(&known) }))
    }

    async fn forget_sessions(&self, _: OffsetDateTime) -> Result<(), StoreError> {
        Ok(())
    }
}

impl RedisStore {
    /// Saves what a request says of the task that it makes.
    pub(super) async fn remember(
        &self,
        transaction: &mut Transaction<'_>,
        origin: &Origin,
        task: &TaskRecord,
    ) -> Result<(), StoreError> {
        if let Some(key) = &origin.idempotency {
            self.remember_answer(transaction, key, task).await?;
        }
        if let Some(session) = &origin.session {
            self.remember_write(transaction, session, task).await?;
        }
        Ok(())
    }

    async fn remember_answer(
        &self,
        transaction: &mut Transaction<'_>,
        key: &UsedKey,
        task: &TaskRecord,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.first_answer(&key.id, task.enqueued_at).await? {
            return Err(StoreError::KeyUsed(Box::new(known)));
        }
        let answer = KnownAnswer { fingerprint: key.fingerprint.clone(), task: TaskSummary::from(task) };
        remember_until(transaction, &keys::idempotency(&key.id), answer, key.expires_at)
    }

    /// Adds a write to those that are not over.
    async fn remember_write(
        &self,
        transaction: &mut Transaction<'_>,
        session: &SessionWrite,
        task: &TaskRecord,
    ) -> Result<(), StoreError> {
        let key = keys::session(&session.id);
        let tasks: Option<Vec<u64>> = self.unexpired(&key, task.enqueued_at).await?;
        let before = self.tasks_of(&transaction.state.names, &tasks.unwrap_or_default()).await?;
        let mut writes = unfinished(&before);
        writes.push(task.uid);
        remember_until(transaction, &key, writes, session.expires_at)
    }

    async fn unexpired<T: DeserializeOwned>(
        &self,
        key: &str,
        now: OffsetDateTime,
    ) -> Result<Option<T>, StoreError> {
        let found: Option<Expiring<T>> = self.value(key).await?;
        Ok(found.filter(|found| found.expires_at > milliseconds(now)).map(|found| found.value))
    }
}

/// Sets a value that is forgotten by then.
pub(super) fn remember_until<T: Serialize>(
    transaction: &mut Transaction<'_>,
    key: &str,
    value: T,
    expires_at: OffsetDateTime,
) -> Result<(), StoreError> {
    let expires_at = milliseconds(expires_at);
    let life = expires_at.saturating_sub(milliseconds(OffsetDateTime::now_utc())).max(1);
    transaction.command("SET", key, &[&json(&Expiring { expires_at, value })?, &"PX", &life]);
    Ok(())
}

fn unfinished(tasks: &[TaskRecord]) -> Vec<u64> {
    tasks.iter().filter(|task| !task.status.is_final()).map(|task| task.uid).collect()
}

/// Dates beyond what fits are as good as the last one that does.
fn milliseconds(date: OffsetDateTime) -> i64 {
    i64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
