//! Remembers which Envoys there are, so that after a restart it is known who may still read by an old routing table.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;
use tracing::error;

use crate::cluster::Cluster;

/// How often Envoys that stay connected are recorded again: several times while they would be waited for.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Records the Envoys that are connected, for ever.
pub async fn remember(cluster: &Cluster) {
    let mut envoys = cluster.envoys.subscribe();
    let mut known = BTreeSet::new();
    loop {
        let grace = Duration::from_millis(cluster.config.rebalance.envoy_grace_ms);
        let now: BTreeSet<String> = envoys
            .borrow_and_update()
            .values()
            .map(|envoy| envoy.node.clone())
            .filter(|node| !node.is_empty())
            .collect();
        // Those that have just gone were seen until now.
        let seen: Vec<String> = now.union(&known).cloned().collect();
        if let Err(error) = cluster.store.saw_envoys(&seen, OffsetDateTime::now_utc() - grace).await {
            error!(%error, "the connected Envoys could not be recorded");
        }
        known = now;
        // Everything that an Envoy is sent or takes is told, too; only who comes and goes matters.
        let _ = tokio::time::timeout((grace / 4).clamp(PAUSES.0, PAUSES.1), async {
            while envoys.changed().await.is_ok() {
                let now: BTreeSet<String> =
                    envoys.borrow_and_update().values().map(|envoy| envoy.node.clone()).collect();
                if now != known {
                    return;
                }
            }
        })
        .await;
    }
}
