//! Forgets what is kept for a while only: answers to idempotency keys, sessions, and tasks that are over.

use std::time::Duration;

use time::OffsetDateTime;
use tracing::warn;

use super::pruning;
use crate::cluster::Cluster;
use crate::store::StoreError;

const PAUSE: Duration = Duration::from_secs(60);

/// The moment so many milliseconds from now.
pub fn after(milliseconds: u64) -> OffsetDateTime {
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    OffsetDateTime::now_utc().saturating_add(time::Duration::milliseconds(milliseconds))
}

/// Forgets what is old from now on.
pub async fn run(cluster: &Cluster) {
    loop {
        if let Err(error) = forget(cluster).await {
            warn!(%error, "what is old could not be forgotten yet");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn forget(cluster: &Cluster) -> Result<(), StoreError> {
    let now = OffsetDateTime::now_utc();
    cluster.store.forget_idempotency_keys(now).await?;
    cluster.store.forget_sessions(now).await?;
    pruning::prune(cluster).await
}
