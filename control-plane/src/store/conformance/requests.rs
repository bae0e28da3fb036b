//! What is saved of the requests that make tasks: idempotency keys and sessions.

use std::future::Future;

use time::{Duration, OffsetDateTime};

use super::task;
use crate::store::{
    KnownAnswer, NewTask, Origin, SessionRecord, SessionWrite, Store, StoreError, TaskRecord, TaskStatus,
    TaskSummary, UsedKey,
};

pub async fn run<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    a_key_is_saved_with_its_task(open).await;
    a_key_expires(open).await;
    a_session_knows_what_it_waits_for(open).await;
    a_session_expires(open).await;
}

fn in_an_hour() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::HOUR
}

fn with_key(id: &str, fingerprint: &str, expires_at: OffsetDateTime) -> NewTask {
    let key = UsedKey { id: id.into(), fingerprint: fingerprint.into(), expires_at };
    let origin = Origin { idempotency: Some(key), session: None };
    NewTask { origin, ..task("movies", TaskStatus::Enqueued) }
}

async fn a_key_is_saved_with_its_task<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("idempotency").await;
    assert_eq!(store.first_answer("k", OffsetDateTime::now_utc()).await.unwrap(), None);
    let first = store.register_task(with_key("k", "f", in_an_hour()), None).await.unwrap();
    let expected = KnownAnswer { fingerprint: "f".into(), task: TaskSummary::from(&first) };
    drop(store);

    let store = open("idempotency").await;
    let known = store.first_answer("k", OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!(known.as_ref(), Some(&expected));
    for fingerprint in ["f", "another"] {
        let again = store.register_task(with_key("k", fingerprint, in_an_hour()), None).await;
        assert!(matches!(again, Err(StoreError::KeyUsed(known)) if *known == expected));
    }
    let other = store.register_task(with_key("another", "f", in_an_hour()), None).await.unwrap();
    assert_eq!(other.uid, first.uid + 1, "what was refused has left nothing");
}

async fn a_key_expires<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("idempotency-expiry").await;
    let now = OffsetDateTime::now_utc();
    store.register_task(with_key("k", "f", now - Duration::SECOND), None).await.unwrap();
    store.register_task(with_key("l", "f", in_an_hour()), None).await.unwrap();
    assert_eq!(store.first_answer("k", now).await.unwrap(), None);
    let again = store.register_task(with_key("k", "g", in_an_hour()), None).await.unwrap();
    let known = store.first_answer("k", now).await.unwrap().map(|known| (known.fingerprint, known.task.uid));
    assert_eq!(known, Some(("g".to_owned(), again.uid)));
    store.forget_idempotency_keys(now).await.unwrap();
    assert!(store.first_answer("k", now).await.unwrap().is_some());
    let later = in_an_hour() + Duration::SECOND;
    store.forget_idempotency_keys(later).await.unwrap();
    assert_eq!(store.first_answer("l", later).await.unwrap(), None);
}

fn in_session(id: &str, expires_at: OffsetDateTime) -> NewTask {
    let session = SessionWrite { id: id.into(), expires_at };
    let origin = Origin { idempotency: None, session: Some(session) };
    NewTask { origin, ..task("movies", TaskStatus::Enqueued) }
}

async fn a_session_knows_what_it_waits_for<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("sessions").await;
    let now = OffsetDateTime::now_utc();
    let finish = async |task: TaskRecord| {
        store.save_task(&TaskRecord { status: TaskStatus::Failed, ..task }).await.unwrap();
    };
    let record = |last, unfinished: &[u64]| Some(SessionRecord { last, unfinished: unfinished.to_vec() });
    assert_eq!(store.session("s", now).await.unwrap(), None);
    let mut tasks = Vec::new();
    for id in ["s", "s", "another", "s"] {
        tasks.push(store.register_task(in_session(id, in_an_hour()), None).await.unwrap());
    }
    assert_eq!(store.session("s", now).await.unwrap(), record(3, &[0, 1, 3]));
    assert_eq!(store.session("another", now).await.unwrap(), record(2, &[2]));
    // The last one may be over before an earlier one.
    finish(tasks.pop().unwrap()).await;
    assert_eq!(store.session("s", now).await.unwrap(), record(3, &[0, 1]));
    let next = store.register_task(in_session("s", in_an_hour()), None).await.unwrap();
    finish(tasks.swap_remove(0)).await;
    drop(store);

    let store = open("sessions").await;
    assert_eq!(store.session("s", now).await.unwrap(), record(next.uid, &[1, next.uid]));
}

async fn a_session_expires<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("sessions-expiry").await;
    let now = OffsetDateTime::now_utc();
    store.register_task(in_session("s", now + Duration::MINUTE), None).await.unwrap();
    let later = now + 2 * Duration::MINUTE;
    assert_eq!(store.session("s", later).await.unwrap(), None);
    store.register_task(in_session("s", in_an_hour()), None).await.unwrap();
    let session = store.session("s", later).await.unwrap();
    assert_eq!(session, Some(SessionRecord { last: 1, unfinished: vec![0, 1] }), "a write prolongs it all");
    store.forget_sessions(later).await.unwrap();
    assert_eq!(store.session("s", now).await.unwrap(), session);
    let later = in_an_hour() + Duration::SECOND;
    store.forget_sessions(later).await.unwrap();
    assert_eq!(store.session("s", later).await.unwrap(), None);
}
