//! One lock per index.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Makes changes of one index follow each other, while those of different indexes go on together.
#[derive(Debug, Default)]
pub struct IndexLocks {
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl IndexLocks {
    /// Waits until nobody else changes the index.
    pub async fn lock(&self, uid: &str) -> OwnedMutexGuard<()> {
        self.lock_of(uid).lock_owned().await
    }

    /// Waits until nobody else changes any of the indexes.
    pub async fn lock_all<'u>(&self, uids: impl IntoIterator<Item = &'u str>) -> Vec<OwnedMutexGuard<()>> {
        // In one order, so that nobody waits for each other.
        let uids: BTreeSet<&str> = uids.into_iter().collect();
        let mut guards = Vec::with_capacity(uids.len());
        for uid in uids {
            guards.push(self.lock(uid).await);
        }
        guards
    }

    /// `None` if somebody else changes the index.
    pub fn try_lock(&self, uid: &str) -> Option<OwnedMutexGuard<()>> {
        self.lock_of(uid).try_lock_owned().ok()
    }

    fn lock_of(&self, uid: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for are of no use any more.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(uid.to_owned()).or_default().clone()
    }
}
