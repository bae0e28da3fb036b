//! Writes that are under way, so that what uids name changes before or after them, not between their parts.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::{timeout, timeout_at};
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
    under_way: Arc<UnderWay>,
}

/// What has passed and has not left yet.
#[derive(Debug, Default)]
struct UnderWay {
    passed: Mutex<HashMap<Uuid, Passed>>,
    /// Tells that something is not under way any more.
    left: Notify,
}

#[derive(Debug)]
struct Passed {
    index: String,
    at: Instant,
    /// A copy keeps it itself.
    open: Option<OwnedRwLockReadGuard<()>>,
}

impl Passed {
    fn is_write(&self) -> bool {
        self.open.is_some()
    }
}

/// Gates that are closed until this is dropped.
#[derive(Debug)]
pub struct Closed(#[allow(dead_code)] Vec<OwnedRwLockWriteGuard<()>>);

/// A part of a copy that is under way until this is dropped. What the uid names stays as it is meanwhile, as for a write.
#[derive(Debug)]
pub struct CopyPass {
    id: Uuid,
    under_way: Arc<UnderWay>,
    _open: Option<OwnedRwLockReadGuard<()>>,
}

impl Drop for CopyPass {
    fn drop(&mut self) {
        self.under_way.remove(self.id);
    }
}

impl UnderWay {
    fn add(&self, index: &str, open: Option<OwnedRwLockReadGuard<()>>) -> Uuid {
        let id = Uuid::new_v4();
        let mut passed = lock(&self.passed);
        passed.retain(|_, write| write.at.elapsed() < FORGET);
        passed.insert(id, Passed { index: index.to_owned(), at: Instant::now(), open });
        id
    }

    fn remove(&self, id: Uuid) {
        lock(&self.passed).remove(&id);
        self.left.notify_waiters();
    }
}

impl Gates {
    /// Waits until the index's gate is open, and returns what the write is known by while it is under way.
    pub async fn pass(&self, index: &str) -> Uuid {
        let open = self.gate(index).read_owned().await;
        self.under_way.add(index, Some(open))
    }

    /// The write is over.
    pub fn leave(&self, write: Uuid) {
        self.under_way.remove(write);
    }

    /// Waits until the index's gate is open, for a part of a copy of its documents.
    pub async fn pass_for_copy(&self, index: &str) -> CopyPass {
        let open = self.gate(index).read_owned().await;
        self.copy_pass(index, Some(open))
    }

    /// A part of a copy by who [holds](Self::hold) the index's gate.
    pub fn pass_while_held(&self, index: &str, _held: &Closed) -> CopyPass {
        self.copy_pass(index, None)
    }

    fn copy_pass(&self, index: &str, open: Option<OwnedRwLockReadGuard<()>>) -> CopyPass {
        let under_way = self.under_way.clone();
        CopyPass { id: under_way.add(index, None), under_way, _open: open }
    }

    /// Waits until every write to the index, and every part of a copy of it, that had passed when this was called is over,
    /// but no longer than `patience`. Returns whether they are. Those that pass later are not waited for.
    pub async fn barrier(&self, index: &str, patience: Duration) -> bool {
        self.wait_for(|passed| passed.index == index, patience).await
    }

    /// The same for every write and copy, whatever its index.
    pub async fn all_barriers(&self, patience: Duration) -> bool {
        self.wait_for(|_| true, patience).await
    }

    /// The same for every write, whatever its index.
    pub async fn all_writes(&self, patience: Duration) -> bool {
        self.wait_for(Passed::is_write, patience).await
    }

    async fn wait_for(&self, is_meant: impl Fn(&Passed) -> bool, patience: Duration) -> bool {
        let before: Vec<(Uuid, Instant)> = {
            let passed = lock(&self.under_way.passed);
            let meant = passed.iter().filter(|(_, passed)| is_meant(passed));
            meant.map(|(id, passed)| (*id, passed.at)).collect()
        };
        let deadline = Instant::now() + patience;
        loop {
            let left = self.under_way.left.notified();
            tokio::pin!(left);
            // Before looking, so that none leaves unnoticed in between.
            left.as_mut().enable();
            let next_forgotten = {
                let passed = lock(&self.under_way.passed);
                let under_way = before.iter().filter(|(write, _)| passed.contains_key(write));
                under_way.map(|(_, at)| *at + FORGET).filter(|forgotten| *forgotten > Instant::now()).min()
            };
            let Some(next_forgotten) = next_forgotten else { return true };
            if Instant::now() >= deadline {
                return false;
            }
            // Whatever ends it, one looks again.
            let _ = timeout_at(deadline.min(next_forgotten).into(), left).await;
        }
    }

    /// Whether a write is under way for longer than this: most likely, whoever began it is gone.
    pub fn is_any_older(&self, age: Duration) -> bool {
        let passed = lock(&self.under_way.passed);
        passed.values().any(|passed| passed.is_write() && passed.at.elapsed() > age)
    }

    /// Gives up the writes that began before: they can't be acknowledged any more, since their epoch is retired.
    pub fn forget_before(&self, time: Instant) {
        lock(&self.under_way.passed).retain(|_, write| write.at >= time);
        self.under_way.left.notify_waiters();
    }

    /// Closes the index's gate once no write is under way. `None` if that takes longer than `patience`: other than
    /// [`close`](Self::close), this never gives a write up, so that what was written before is all there is.
    pub async fn hold(&self, index: &str, patience: Duration) -> Option<Closed> {
        let closed = timeout(patience, self.gate(index).write_owned()).await.ok()?;
        Some(Closed(vec![closed]))
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
                    lock(&self.under_way.passed).retain(|_, write| write.index != index);
                    self.under_way.left.notify_waiters();
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
    async fn writes_that_were_left_behind_are_known_by_their_age() {
        let gates = Gates::default();
        let copy = gates.pass_for_copy("a").await;
        assert!(!gates.is_any_older(Duration::ZERO), "a copy ends by itself");
        gates.pass("b").await;
        assert!(gates.is_any_older(Duration::ZERO) && !gates.is_any_older(LONG));
        gates.forget_before(Instant::now());
        assert!(!gates.is_any_older(Duration::ZERO));
        drop(copy);
    }

    #[tokio::test]
    async fn a_write_that_is_never_registered_does_not_keep_a_gate_open() {
        let gates = Gates::default();
        let write = gates.pass("a").await;
        drop(gates.close_within(SHORT, BTreeSet::from(["a"])).await);
        gates.leave(write);
        gates.pass("a").await;
    }

    #[tokio::test]
    async fn a_barrier_waits_for_the_writes_before_it_alone() {
        let gates = Arc::new(Gates::default());
        let copy = gates.pass_for_copy("a").await;
        assert!(!gates.barrier("a", SHORT).await, "a part of a copy is under way");
        drop(copy);
        let elsewhere = gates.pass("b").await;
        assert!(gates.barrier("a", LONG).await, "no write is under way");
        let before = [gates.pass("a").await, gates.pass("a").await];
        assert!(!gates.barrier("a", SHORT).await, "it is given up in the end");
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.barrier("a", LONG).await }
        });
        tokio::task::yield_now().await;
        let after = gates.pass("a").await;
        gates.leave(before[0]);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "one of them is still under way");
        gates.leave(before[1]);
        assert!(waiting.await.expect("it ends"));
        for write in [after, elsewhere] {
            gates.leave(write);
        }
    }

    #[tokio::test]
    async fn a_gate_is_held_only_when_no_write_is_under_way() {
        let gates = Gates::default();
        let write = gates.pass("a").await;
        assert!(gates.hold("a", SHORT).await.is_none());
        assert!(!gates.barrier("a", SHORT).await, "the write was not given up");
        gates.leave(write);
        let held = gates.hold("a", LONG).await;
        assert!(held.is_some());
        assert!(timeout(SHORT, gates.pass("a")).await.is_err(), "the gate is closed");
        drop(held);
        let write = gates.pass("a").await;
        gates.leave(write);
    }
}
