//! New epochs, and the end of old ones.

use std::time::Duration;

use miroir_core::rebalance::Epoch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::store::StoreError;

/// How long an Envoy that is connected may take to run with a new epoch. After that its writes are refused until it does.
const ENVOYS_WAIT: Duration = Duration::from_secs(15);

/// How long writes that were routed by an earlier epoch may take to end before they are refused. No Envoy begins one any
/// more by then, so most end at once.
const WRITES_WAIT: Duration = Duration::from_secs(5);

/// Makes an epoch the current one. When this returns, no write that was routed by an earlier one can be acknowledged.
///
/// # Errors
/// [`StoreError::Conflict`] if it is not the next one or takes away the last clean copy of a shard, or if the store fails.
pub async fn enter(cluster: &Cluster, epoch: &Epoch) -> Result<(), StoreError> {
    cluster.store.add_epoch(epoch).await?;
    info!(epoch = epoch.epoch, "a new epoch");
    retire_earlier(cluster, epoch.epoch).await
}

/// Waits until Envoys run with the current epoch and the writes of those before it are over, and retires these.
///
/// # Errors
/// If the store fails.
pub async fn retire_earlier(cluster: &Cluster, epoch: u64) -> Result<(), StoreError> {
    let table = cluster.publish().await?;
    if timeout(ENVOYS_WAIT, cluster.envoys.run_with(table.version)).await.is_err() {
        warn!(
            epoch,
            "an Envoy did not take the epoch in {ENVOYS_WAIT:?}: its writes are refused until it does"
        );
    }
    if !cluster.gates.all_writes(WRITES_WAIT).await {
        warn!(epoch, "writes have been under way for {WRITES_WAIT:?}: those of earlier epochs are refused");
    }
    cluster.store.retire_epochs_below(epoch).await
}

/// Begins an epoch that differs from the last one in its number alone, so that what is under way can't be acknowledged any
/// more: for writes of which nobody knows whether they still are.
///
/// # Errors
/// If the store fails.
pub async fn fence(cluster: &Cluster) -> Result<(), StoreError> {
    let _one_at_a_time = cluster.rebalance.changing.lock().await;
    let Some(now) = cluster.store.current_epoch().await? else { return Ok(()) };
    let begun = std::time::Instant::now();
    enter(cluster, &Epoch { epoch: now.epoch + 1, ..now }).await?;
    cluster.gates.forget_before(begun);
    Ok(())
}
