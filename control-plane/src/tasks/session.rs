//! Waiting for what a session has written.

use std::collections::BTreeSet;
use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout_at;

use crate::cluster::Cluster;
use crate::store::{SessionRecord, StoreError};

/// Waits until all writes of a session are over, which they are only when no Envoy reads a copy that lacks them. Returns
/// what is still to be waited for at the deadline; `None` if the session is not known.
///
/// # Errors
/// If the store fails.
pub async fn wait(
    cluster: &Cluster,
    id: &str,
    deadline: Instant,
) -> Result<Option<SessionRecord>, StoreError> {
    'look: loop {
        // Before looking, so that none ends unnoticed in between.
        let mut finished = cluster.task_finished.subscribe();
        let session = cluster.store.session(id, OffsetDateTime::now_utc()).await?;
        let Some(session) = session else { return Ok(None) };
        let mut unfinished: BTreeSet<u64> = session.unfinished.iter().copied().collect();
        while !unfinished.is_empty() {
            match timeout_at(deadline.into(), finished.recv()).await {
                Ok(Ok(task)) => drop(unfinished.remove(&task)),
                // Too many ended at once: the store knows which.
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => continue 'look,
                Err(_) => break,
            }
        }
        return Ok(Some(SessionRecord { unfinished: unfinished.into_iter().collect(), ..session }));
    }
}
