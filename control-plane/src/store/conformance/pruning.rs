//! Old tasks go, and nothing of them stays behind.

use std::collections::BTreeMap;
use std::future::Future;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{on_tasks, task};
use crate::store::{
    IndexSwap, IndexesChange, NamesChange, NewTask, NodeChange, Origin, SessionRecord, SessionWrite, Store,
    TaskQuery, TaskStatus, UsedKey, Webhook,
};

pub async fn run<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    the_oldest_that_are_over_go_first(open).await;
    what_is_younger_stays(open).await;
    what_a_webhook_is_owed_stays(open).await;
    what_refers_to_a_task_that_is_gone_is_as_before(open).await;
    a_batch_goes_with_its_last_task(open).await;
    an_index_without_tasks_may_have_some_again(open).await;
}

async fn uids<S: Store>(store: &S, query: TaskQuery) -> Vec<u64> {
    let page = store.tasks(&TaskQuery { limit: 20, reverse: true, ..query }).await.unwrap();
    assert_eq!(page.total, page.tasks.len() as u64);
    page.tasks.iter().map(|task| task.uid).collect()
}

async fn the_oldest_that_are_over_go_first<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("pruning").await;
    use TaskStatus::{Enqueued, Failed, Succeeded};
    for status in [Succeeded, Enqueued, Failed, Succeeded, Failed] {
        store.register_task(task("movies", status), None).await.unwrap();
    }
    assert_eq!(store.prune_tasks(None, 0).await.unwrap(), 0);
    assert_eq!(store.prune_tasks(None, 2).await.unwrap(), 2);
    drop(store);

    let store = open("pruning").await;
    assert_eq!(uids(&store, TaskQuery::default()).await, [1, 3, 4]);
    let of =
        |statuses: &[TaskStatus]| TaskQuery { statuses: Some(statuses.to_vec()), ..TaskQuery::default() };
    assert_eq!(uids(&store, of(&[Succeeded])).await, [3]);
    assert_eq!(uids(&store, of(&[Failed])).await, [4]);
    let movies = TaskQuery { index_uids: Some(vec!["movies".into()]), ..TaskQuery::default() };
    assert_eq!(uids(&store, movies).await, [1, 3, 4]);
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 2);
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 0);
    assert_eq!(uids(&store, TaskQuery::default()).await, [1]);
    assert_eq!(
        store.register_task(task("movies", Failed), None).await.unwrap().uid,
        5,
        "no uid is used again"
    );
}

async fn what_is_younger_stays<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("pruning-by-age").await;
    let noon = OffsetDateTime::UNIX_EPOCH + Duration::hours(12);
    for hours in [0, 1, 2, 1] {
        let mut task = store.register_task(task("movies", TaskStatus::Enqueued), None).await.unwrap();
        task.status = TaskStatus::Succeeded;
        task.finished_at = Some(noon + Duration::hours(hours));
        store.save_task(&task).await.unwrap();
    }
    assert_eq!(store.prune_tasks(Some(noon), 10).await.unwrap(), 0, "the bound is exclusive");
    assert_eq!(store.prune_tasks(Some(noon + 2 * Duration::HOUR), 10).await.unwrap(), 2);
    assert_eq!(uids(&store, TaskQuery::default()).await, [2, 3], "the last is behind one that is younger");
    assert_eq!(store.prune_tasks(Some(noon + 3 * Duration::HOUR), 10).await.unwrap(), 2);
}

async fn what_a_webhook_is_owed_stays<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("pruning-owed").await;
    let register = async || store.register_task(task("movies", TaskStatus::Failed), None).await.unwrap();
    register().await;
    let (idle, slow) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for webhook in [idle, slow] {
        let record = Webhook { url: "http://a".into(), headers: BTreeMap::new() };
        store.save_webhook(webhook, &record).await.unwrap();
    }
    register().await;
    register().await;
    store.settle(idle, &[1, 2]).await.unwrap();
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 1);
    store.settle(slow, &[1]).await.unwrap();
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 1);
    assert_eq!(store.tasks_owed(slow, 10).await.unwrap()[0].uid, 2);
    // What a client has deleted is owed no more.
    let all = TaskQuery { uids: Some(vec![2]), ..TaskQuery::default() };
    let deletion = NewTask { index_uid: None, ..task("", TaskStatus::Enqueued) };
    store.register_deletion(&all, deletion).await.unwrap();
    for webhook in [idle, slow] {
        store.settle(webhook, &[3]).await.unwrap();
    }
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 1);
}

async fn what_refers_to_a_task_that_is_gone_is_as_before<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("pruning-origins").await;
    let now = OffsetDateTime::now_utc();
    let expires_at = now + Duration::HOUR;
    let origin = Origin {
        idempotency: Some(UsedKey { id: "k".into(), fingerprint: "f".into(), expires_at }),
        session: Some(SessionWrite { id: "s".into(), expires_at }),
    };
    let new = NewTask { origin, ..task("movies", TaskStatus::Failed) };
    store.register_task(new, None).await.unwrap();
    let first = store.first_answer("k", now).await.unwrap();
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 1);
    assert!(first.is_some());
    assert_eq!(store.first_answer("k", now).await.unwrap(), first);
    let session = SessionRecord { last: 0, unfinished: Vec::new() };
    assert_eq!(store.session("s", now).await.unwrap(), Some(session));
    let session = Some(SessionWrite { id: "s".into(), expires_at });
    let new =
        NewTask { origin: Origin { idempotency: None, session }, ..task("movies", TaskStatus::Enqueued) };
    store.register_task(new, None).await.unwrap();
    let session = SessionRecord { last: 1, unfinished: vec![1] };
    assert_eq!(store.session("s", now).await.unwrap(), Some(session));
}

async fn a_batch_goes_with_its_last_task<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("pruning-batches").await;
    for _ in 0..3 {
        store.register_task(task("movies", TaskStatus::Enqueued), None).await.unwrap();
    }
    let canceling =
        NewTask { index_uid: None, kind: "taskCancelation".into(), ..task("", TaskStatus::Enqueued) };
    let movies = TaskQuery { uids: Some(vec![0, 1, 2]), ..TaskQuery::default() };
    let (mut canceling, canceled) =
        store.register_cancelation(&movies, &["documentAdditionOrUpdate"], canceling).await.unwrap();
    for mut task in canceled {
        task.status = TaskStatus::Canceled;
        task.canceled_by = Some(canceling.uid);
        store.save_task(&task).await.unwrap();
    }
    canceling.status = TaskStatus::Succeeded;
    canceling.started_at = Some(canceling.enqueued_at);
    store.save_task(&canceling).await.unwrap();
    for left in [vec![1, 2, 3], vec![2, 3], vec![3]] {
        assert_eq!(store.prune_tasks(None, 1).await.unwrap(), 1);
        let batches = store.batches(&TaskQuery { limit: 10, ..TaskQuery::default() }).await.unwrap();
        assert_eq!(batches.total, 1);
        assert_eq!(batches.batches[0].tasks.iter().map(|task| task.uid).collect::<Vec<_>>(), left);
    }
    assert_eq!(store.prune_tasks(None, 1).await.unwrap(), 1);
    assert_eq!(store.batches(&TaskQuery { limit: 10, ..TaskQuery::default() }).await.unwrap().total, 0);
}

async fn an_index_without_tasks_may_have_some_again<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("pruning-indexes").await;
    for index in ["a", "b"] {
        store.register_task(task(index, TaskStatus::Failed), None).await.unwrap();
    }
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 2);
    drop(store);

    let store = open("pruning-indexes").await;
    let of = |index: &str| TaskQuery { index_uids: Some(vec![index.into()]), ..TaskQuery::default() };
    assert!(uids(&store, of("a")).await.is_empty());
    let swap = IndexSwap { indexes: ("a".into(), "b".into()), rename: false };
    let swap = NodeChange::Swap(vec![swap]);
    for index in ["b", "c"] {
        store.register_task(task(index, TaskStatus::Enqueued), None).await.unwrap();
    }
    let names = NamesChange { change: swap, at: OffsetDateTime::now_utc(), nodes: Vec::new(), besides: None };
    store.register_change(IndexesChange::Names(names), on_tasks("indexSwap")).await.unwrap();
    assert_eq!(uids(&store, of("a")).await, [2]);
    assert!(uids(&store, of("b")).await.is_empty());
    store.register_task(task("b", TaskStatus::Enqueued), None).await.unwrap();
    drop(store);
    let store = open("pruning-indexes").await;
    assert_eq!((uids(&store, of("a")).await, uids(&store, of("b")).await), (vec![2], vec![5]));
    assert_eq!(uids(&store, of("c")).await, [3]);
}
