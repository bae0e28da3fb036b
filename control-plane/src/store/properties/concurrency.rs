//! Several writers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use tokio::task::JoinSet;

use crate::store::conformance::task;
use crate::store::{NewTask, Origin, Store, StoreError, TaskQuery, TaskStatus, UsedKey};

const WRITERS: usize = 8;
const WRITES: usize = 12;

/// Each writer makes tasks of its own, and all make some that are the same, while others read, finish and prune.
pub async fn run<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(store.clone(), writer));
    }
    let readers = [(); 3].map(|()| tokio::spawn(read(store.clone())));
    let written: Vec<Written> = writers.join_all().await;
    for reader in readers {
        reader.await.unwrap();
    }

    let own: BTreeSet<u64> = written.iter().flat_map(|written| &written.own).copied().collect();
    let shared: BTreeSet<u64> = written.iter().flat_map(|written| &written.shared).copied().collect();
    let once: BTreeSet<u64> = written.iter().flat_map(|written| &written.once).copied().collect();
    assert_eq!(own.len(), WRITERS * WRITES, "no uid is given twice");
    assert_eq!((shared.len(), once.len()), (WRITES, WRITES), "one task per ticket and key, whoever asks");
    assert!(written.iter().all(|writer| writer.shared == written[0].shared));
    assert!(written.iter().all(|writer| writer.once == written[0].once));
    let firsts: usize = written.iter().map(|written| written.firsts).sum();
    assert_eq!(firsts, WRITES, "one writer is the first with a key");

    let all: BTreeSet<u64> = own.into_iter().chain(shared).chain(once).collect();
    assert!(all.iter().copied().eq(0..(WRITERS * WRITES + 2 * WRITES) as u64), "nothing lies between them");
    drop(Arc::into_inner(store).expect("nobody else has it"));
    let page = open().await.tasks(&TaskQuery { limit: usize::MAX, ..TaskQuery::default() }).await.unwrap();
    let left: BTreeSet<u64> = page.tasks.iter().map(|task| task.uid).collect();
    assert_eq!(left, all, "nothing is lost");
}

#[derive(Default)]
struct Written {
    /// Tasks of its own, one of each index.
    own: Vec<u64>,
    /// By tickets that all use.
    shared: Vec<u64>,
    /// By idempotency keys that all use.
    once: Vec<u64>,
    /// How often it was the first with a key.
    firsts: usize,
}

async fn write<S: Store>(store: Arc<S>, writer: usize) -> Written {
    let mut written = Written::default();
    for number in 0..WRITES {
        let index = format!("{writer}-{number}");
        let own = store.register_task(task(&index, TaskStatus::Enqueued), None).await.unwrap();
        let shared = NewTask { ticket: Some(number.to_string()), ..task("shared", TaskStatus::Enqueued) };
        let shared = store.register_task(shared, None).await.unwrap();
        let expires_at = OffsetDateTime::now_utc() + Duration::HOUR;
        let key = UsedKey { id: number.to_string(), fingerprint: "f".into(), expires_at };
        let origin = Origin { idempotency: Some(key), session: None };
        let once = NewTask { origin, ..task("once", TaskStatus::Enqueued) };
        match store.register_task(once, None).await {
            Ok(task) => {
                written.firsts += 1;
                written.once.push(task.uid);
            }
            Err(StoreError::KeyUsed(known)) => written.once.push(known.task.uid),
            Err(error) => panic!("{error}"),
        }
        written.own.push(own.uid);
        written.shared.push(shared.uid);
    }
    written
}

/// Lists until all is written: never an error, and no task is gone again.
async fn read<S: Store>(store: Arc<S>) {
    let mut known = 0;
    while known < WRITERS * WRITES + 2 * WRITES {
        let page = store.tasks(&TaskQuery { limit: usize::MAX, ..TaskQuery::default() }).await.unwrap();
        assert!(page.tasks.len() >= known);
        known = page.tasks.len();
    }
}
