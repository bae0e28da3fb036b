//! Answers that clients get again when they repeat a request.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{StoreError, TaskRecord};

/// What every backend can do for idempotency keys. A key is saved with its task, see [`Origin`](super::Origin).
#[async_trait]
pub trait IdempotencyStore {
    /// What the first request with a key was answered, unless that has expired by `now`.
    async fn first_answer(&self, id: &str, now: OffsetDateTime) -> Result<Option<KnownAnswer>, StoreError>;
    /// Forgets the keys that have expired by `now`.
    async fn forget_idempotency_keys(&self, now: OffsetDateTime) -> Result<(), StoreError>;
}

/// The idempotency key of a request that makes a task.
#[derive(Clone, Debug)]
pub struct UsedKey {
    /// A digest of the key and of who uses it.
    pub id: String,
    /// The request's [`Fingerprint`](miroir_core::idempotency::Fingerprint).
    pub fingerprint: String,
    /// When it is forgotten.
    pub expires_at: OffsetDateTime,
}

/// What the first request with a key was, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAnswer {
    /// The request's fingerprint.
    pub fingerprint: String,
    /// The task that it made.
    pub task: TaskSummary,
}

/// What a client is told of a task when it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TaskSummary {
    pub uid: u64,
    pub index_uid: Option<String>,
    pub kind: String,
    #[serde(with = "time::serde::rfc3339")]
    pub enqueued_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_version: Option<u64>,
}

impl From<&TaskRecord> for TaskSummary {
    fn from(task: &TaskRecord) -> TaskSummary {
        TaskSummary {
            uid: task.uid,
            index_uid: task.index_uid.clone(),
            kind: task.kind.clone(),
            enqueued_at: task.enqueued_at,
            custom_metadata: task.custom_metadata.clone(),
            settings_version: task.settings_version,
        }
    }
}
