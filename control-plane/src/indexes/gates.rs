//! Writes that are under way, so that what uids name changes before or after them, not between their parts.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

/// How long a change of what uids name waits for the writes that are under way. Later ones are refused when they are
/// registered: see [`IndexRecord::generation`](crate::store::IndexRecord::generation).
const PATIENCE: Duration = Duration::from_secs(10);
/// A write that was not registered by then never will be: its filter is gone.
const FORGET: Duration = Duration::from_secs(600);

/// One gate per index: each write passes it when it begins, and a change of what the uid names closes it.
#[derive(Debug, Default)]
pub struct Gates {
    gates: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    passed: Mutex<HashMap<Uuid, Passed>>,
}

#[derive(Debug)]
struct Passed {
    index: String,
    at: Instant,
    _open: OwnedRwLockReadGuard<()>,
}

/// Gates that are closed until this is dropped.
#[derive(Debug)]
pub struct Closed(#[allow(dead_code)] Vec<OwnedRwLockWriteGuard<()>>);

impl Gates {
    /// Waits until the index's gate is open, and returns what the write is known by while it is under way.
    pub async fn pass(&self, index: &str) -> Uuid {
        let open = self.gate(index).read_owned().await;
        let write = Uuid::new_v4();
        let mut passed = lock(&self.passed);
        passed.retain(|_, write| write.at.elapsed() < FORGET);
        passed.insert(write, Passed { index: index.to_owned(), at: Instant::now(), _open: open });
        write
    }

    /// The write is over.
    pub fn leave(&self, write: Uuid) {
        lock(&self.passed).remove(&write);
    }

    /// Closes the gates of these indexes and waits a while for the writes that have passed.
    pub async fn close(&self, indexes: impl IntoIterator<Item = &str>) -> Closed {
        self.close_within(PATIENCE, indexes.into_iter().collect()).await
    }

    /// The set has one order, so that two changes never wait for each other.
    async fn close_within(&self, patience: Duration, indexes: BTreeSet<&str>) -> Closed {
        let deadline = Instant::now() + patience;
        let mut closed = Vec::new();
        for index in indexes {
            let mut writing = Box::pin(self.gate(index).write_owned());
            let left = deadline.saturating_duration_since(Instant::now());
            let guard = match timeout(left, &mut writing).await {
                Ok(guard) => guard,
                Err(_) => {
                    warn!(index, "writes were under way for more than {patience:?}: they will be refused");
                    lock(&self.passed).retain(|_, write| write.index != index);
                    writing.await
                }
            };
            closed.push(guard);
        }
        Closed(closed)
    }

    fn gate(&self, index: &str) -> Arc<RwLock<()>> {
        let mut gates = lock(&self.gates);
        // Those that nobody has passed or waits at are of no use any more.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        gates.entry(index.to_owned()).or_default().clone()
    }
}

/// Nothing panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_change_waits_for_the_writes_that_are_under_way_and_later_writes_for_the_change() {
        let gates = Arc::new(Gates::default());
        let write = gates.pass("a").await;
        let closing = tokio::spawn({
            let gates = gates.clone();
            async move { gates.close_within(LONG, BTreeSet::from(["a", "b"])).await }
        });
        while timeout(SHORT, gates.pass("a")).await.is_ok_and(|other| {
            gates.leave(other);
            true
        }) {}
        assert!(!closing.is_finished(), "the first write is still under way");
        gates.leave(write);
        let closed = closing.await.expect("it closes");
        assert!(timeout(SHORT, gates.pass("b")).await.is_err(), "the gate is closed");
        gates.pass("c").await;
        drop(closed);
        gates.pass("a").await;
        gates.pass("b").await;
    }

    #[tokio::test]
    async fn a_write_that_is_never_registered_does_not_keep_a_gate_open() {
        let gates = Gates::default();
        let write = gates.pass("a").await;
        drop(gates.close_within(SHORT, BTreeSet::from(["a"])).await);
        gates.leave(write);
        gates.pass("a").await;
    }
}
