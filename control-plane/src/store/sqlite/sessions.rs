//! Sessions in SQLite.

use async_trait::async_trait;
use rusqlite::{Transaction, params};
use time::OffsetDateTime;

use super::{SqliteStore, nanoseconds};
use crate::store::{SessionRecord, SessionStore, SessionWrite, StoreError};

#[async_trait]
impl SessionStore for SqliteStore {
    async fn session(&self, id: &str, now: OffsetDateTime) -> Result<Option<SessionRecord>, StoreError> {
        let id = id.to_owned();
        self.transact(move |transaction| {
            let sql = "SELECT task_uid, coalesce(status IN ('enqueued', 'processing'), false)
                       FROM sessions LEFT JOIN tasks ON uid = task_uid
                       WHERE id = ?1 AND expires_at > ?2 ORDER BY task_uid";
            let mut statement = transaction.prepare_cached(sql)?;
            let writes = statement.query_map((id, nanoseconds(now)), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let writes: Vec<(u64, bool)> = writes.collect::<Result<_, _>>()?;
            let unfinished = writes.iter().filter(|(_, is_unfinished)| *is_unfinished).map(|(task, _)| *task);
            let unfinished = unfinished.collect();
            Ok(writes.last().map(|(last, _)| SessionRecord { last: *last, unfinished }))
        })
        .await
    }

    async fn forget_sessions(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        self.execute("DELETE FROM sessions WHERE expires_at <= ?1", [nanoseconds(now)]).await
    }
}

/// Adds a write, and forgets those that are over.
pub fn remember(transaction: &Transaction, session: &SessionWrite, task: u64) -> Result<(), StoreError> {
    let over = "DELETE FROM sessions WHERE id = ?1 AND NOT EXISTS
                (SELECT 1 FROM tasks WHERE uid = task_uid AND status IN ('enqueued', 'processing'))";
    transaction.prepare_cached(over)?.execute([&session.id])?;
    let expires_at = nanoseconds(session.expires_at);
    let rest = "UPDATE sessions SET expires_at = ?2 WHERE id = ?1";
    transaction.prepare_cached(rest)?.execute(params![session.id, expires_at])?;
    let write = "INSERT INTO sessions (id, task_uid, expires_at) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(write)?.execute(params![session.id, task, expires_at])?;
    Ok(())
}
