//! Gets the placement to where the topology wants it, and keeps all replicas clean, while traffic runs.
//!
//! What there is to do follows from what the store holds: the epoch, the stale replicas and the target of the rebalance.
//! See [`miroir_core::rebalance`] for what is decided and why it is safe. So a control plane that was killed goes on where it
//! was; the only thing that it must do again is to retire the epochs that were current before, since it does not know
//! which writes are under way.

mod changes;
mod cleanup;
mod fence;
mod notices;
mod progress;
mod repair;
mod reshard;
mod round;
mod target;
mod trust;
mod witness;

pub use changes::{Change, ChangeError, NewNode, Plan, cancel, change, pause, plan};
pub use fence::fence;
pub use progress::{Move, MoveState, Repair, State, Status, left, planned, status};
pub use reshard::{ReshardStatus, reshard_to};
pub use round::run;
pub use trust::trust;
pub use witness::remember;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify};

use crate::cluster::Cluster;
use crate::copy::{ChunkLimits, Context, Pace, Progress};
use crate::store::StoreError;
use notices::Notice;
use progress::Work;

/// What the control plane knows of the rebalance beside the store.
#[derive(Debug)]
pub struct Rebalance {
    /// Makes changes of the topology and of epochs follow each other.
    changing: AsyncMutex<()>,
    /// Ends the pause until the next round.
    wake: Notify,
    pace: Pace,
    work: Mutex<Work>,
    /// Nodes that have lost what they had, with the routing table that says so.
    lost: Mutex<BTreeMap<String, Notice>>,
    /// How far documents have got other tags.
    tagging: Mutex<Option<Arc<Progress>>>,
}

impl Rebalance {
    /// Before the first round.
    pub fn new(documents_per_second: Option<f64>) -> Rebalance {
        Rebalance {
            changing: AsyncMutex::default(),
            wake: Notify::new(),
            pace: Pace::new(documents_per_second),
            work: Mutex::default(),
            lost: Mutex::default(),
            tagging: Mutex::default(),
        }
    }

    /// Something has changed: there may be something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// While this is held, neither the topology changes nor does an epoch begin.
    pub async fn hold(&self) -> AsyncMutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// What all copies share.
    pub fn copying<'c>(&'c self, cluster: &'c Cluster) -> Context<'c> {
        Context {
            store: &*cluster.store,
            gates: &cluster.gates,
            tags: cluster.table().tags(),
            pace: &self.pace,
            limits: ChunkLimits::default(),
            write_patience: Duration::from_millis(cluster.config.rebalance.write_patience_ms),
        }
    }

    /// Whether no read is under way any more that takes the replicas of a node for clean which are marked stale now, since the
    /// node has lost them. To be asked again until it is so.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_loss_heard_of(&self, cluster: &Cluster, node: &str) -> Result<bool, StoreError> {
        let version = cluster.publish().await?.version;
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_heard = lost.entry(node.to_owned()).or_insert(Notice::new(version)).is_heard(cluster);
        if is_heard {
            lost.remove(node);
        }
        Ok(is_heard)
    }

    fn tagging(&self) -> MutexGuard<'_, Option<Arc<Progress>>> {
        self.tagging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Nothing panics while it holds the lock.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
