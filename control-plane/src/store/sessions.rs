//! Which writes a session has made.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;

/// What every backend can do for sessions. A write is saved with its task, see [`Origin`](super::Origin).
#[async_trait]
pub trait SessionStore {
    /// The writes of a session; `None` if it is unknown or has expired by `now`.
    async fn session(&self, id: &str, now: OffsetDateTime) -> Result<Option<SessionRecord>, StoreError>;
    /// Forgets the sessions that have expired by `now`.
    async fn forget_sessions(&self, now: OffsetDateTime) -> Result<(), StoreError>;
}

/// The session of a request that makes a task.
#[derive(Clone, Debug)]
pub struct SessionWrite {
    /// What the client calls it.
    pub id: String,
    /// When all of it is forgotten, if nothing more is written.
    pub expires_at: OffsetDateTime,
}

/// The writes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The last one's task.
    pub last: u64,
    /// The tasks that are not over, oldest first.
    pub unfinished: Vec<u64>,
}
