//! What another backend needs to go on where this one ends.

use std::collections::BTreeMap;

use rusqlite::types::FromSql;
use rusqlite::{Row, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{SqliteStore, one};
use crate::store::contents::Internals;
use crate::store::{StoreError, TaskRecord};

impl SqliteStore {
    /// What it counts, and what it forgets by itself.
    ///
    /// # Errors
    /// If the file can't be read, or holds what is no answer, session or webhook.
    pub async fn internals(&self) -> Result<Internals, StoreError> {
        self.transact(|transaction| {
            let counter = |name: &str| {
                let sql = "SELECT value FROM counters WHERE name = ?1";
                Ok::<_, StoreError>(one(transaction, sql, [name])?.unwrap_or(0))
            };
            let last_change = "SELECT seq FROM sqlite_sequence WHERE name = 'pending_changes'";
            Ok(Internals {
                next_task_uid: counter("next_task_uid")?,
                next_miss: counter("next_miss")?,
                last_change: one(transaction, last_change, [])?.unwrap_or(0),
                changing_nodes: rows(transaction, "SELECT DISTINCT node FROM pending_changes", column)?,
                owed: owed(transaction)?,
                answers: answers(transaction)?,
                sessions: sessions(transaction)?,
            })
        })
        .await
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// If the file can't be read.
    pub async fn count_tasks(&self) -> Result<u64, StoreError> {
        self.transact(|transaction| Ok(one(transaction, "SELECT count(*) FROM tasks", [])?.unwrap_or(0)))
            .await
    }

    /// Up to `limit` tasks from this uid on, oldest first.
    ///
    /// # Errors
    /// If the file can't be read.
    pub async fn tasks_from(&self, uid: u64, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.bodies("SELECT body FROM tasks WHERE uid >= ?1 ORDER BY uid LIMIT ?2", (uid, limit)).await
    }
}

fn owed(transaction: &Transaction) -> Result<BTreeMap<Uuid, Vec<u64>>, StoreError> {
    let sql = "SELECT webhook, task_uid FROM webhook_debts ORDER BY task_uid";
    let mut owed: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
    for (webhook, task) in rows(transaction, sql, |row| Ok((column::<String>(row)?, row.get(1)?)))? {
        let webhook = webhook.parse().map_err(|error: uuid::Error| StoreError::Backend(error.to_string()))?;
        owed.entry(webhook).or_default().push(task);
    }
    Ok(owed)
}

fn answers(
    transaction: &Transaction,
) -> Result<Vec<(String, crate::store::KnownAnswer, OffsetDateTime)>, StoreError> {
    let sql = "SELECT id, body, expires_at FROM idempotency_cache";
    let found = rows(transaction, sql, |row| Ok((column(row)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    let parse = |(id, body, expires_at): (_, String, _)| {
        let answer = serde_json::from_str(&body).map_err(|error| StoreError::Backend(error.to_string()))?;
        Ok((id, answer, date(expires_at)))
    };
    found.into_iter().map(parse).collect()
}

fn sessions(transaction: &Transaction) -> Result<Vec<(String, Vec<u64>, OffsetDateTime)>, StoreError> {
    let sql = "SELECT id, task_uid, expires_at FROM sessions ORDER BY id, task_uid";
    let mut sessions: Vec<(String, Vec<u64>, OffsetDateTime)> = Vec::new();
    for (id, task, expires_at) in
        rows(transaction, sql, |row| Ok((column::<String>(row)?, row.get(1)?, row.get(2)?)))?
    {
        match sessions.last_mut().filter(|(last, ..)| *last == id) {
            Some((_, tasks, _)) => tasks.push(task),
            None => sessions.push((id, vec![task], date(expires_at))),
        }
    }
    Ok(sessions)
}

fn rows<T>(
    transaction: &Transaction,
    sql: &str,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn column<T: FromSql>(row: &Row) -> rusqlite::Result<T> {
    row.get(0)
}

fn date(nanoseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
