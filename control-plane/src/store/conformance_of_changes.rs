//! What every backend must do about changes of uids, and about tasks that act on tasks.

use std::collections::BTreeMap;
use std::future::Future;

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::conformance::{on_tasks, task};
use super::*;
use crate::testing::index;

pub async fn run<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    indexes_exchange_their_uids(open).await;
    a_change_and_its_task_are_there_or_neither_is(open).await;
    nodes_take_changes_in_order(open).await;
    a_write_to_what_is_another_index_by_now_is_refused(open).await;
    progress_does_not_undo_a_change_of_uids(open).await;
    tasks_are_canceled(open).await;
    finished_tasks_are_deleted(open).await;
    batches_are_listed(open).await;
}

fn swap(left: &str, right: &str, rename: bool) -> NodeChange {
    NodeChange::Swap(vec![IndexSwap { indexes: (left.into(), right.into()), rename }])
}

fn names(change: NodeChange, nodes: &[(&str, Option<u64>)]) -> NamesChange {
    let nodes = nodes.iter().map(|(node, from)| ((*node).to_owned(), *from)).collect();
    NamesChange { change, at: OffsetDateTime::now_utc(), nodes, besides: None }
}

/// Makes a change, and tells the ids of what is pending by it.
async fn make<S: Store>(store: &S, names: NamesChange) -> Vec<u64> {
    store.register_change(IndexesChange::Names(names), on_tasks("indexSwap")).await.unwrap().1
}

async fn indexes_exchange_their_uids<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("swaps").await;
    let (new, old) = (IndexRecord { settings_version: 3, ..index("new") }, index("old"));
    store.save_index(&new).await.unwrap();
    store.save_index(&old).await.unwrap();
    store.set_node_settings_version("new", "a", 3).await.unwrap();
    store.set_node_settings_version("old", "a", 1).await.unwrap();
    store.set_node_settings_version("old", "b", 1).await.unwrap();
    for uid in ["new", "old", "other"] {
        store.register_task(task(uid, TaskStatus::Enqueued), None).await.unwrap();
    }
    let change = names(swap("new", "old", false), &[("a", Some(5)), ("b", None)]);
    let generation = generation(change.at);
    assert_eq!(make(&store, change).await.len(), 2);
    drop(store);

    let store = open("swaps").await;
    let expected = IndexRecord { uid: "old".into(), generation, ..new };
    assert_eq!(store.index("old").await.unwrap(), Some(expected.clone()));
    assert_eq!(store.index("new").await.unwrap(), Some(IndexRecord { uid: "new".into(), generation, ..old }));
    let versions = async |uid| store.node_settings_versions(uid).await.unwrap();
    assert_eq!(versions("old").await, BTreeMap::from([("a".into(), 3)]));
    assert_eq!(versions("new").await, BTreeMap::from([("a".into(), 1), ("b".into(), 1)]));
    let uid_of = async |uid| store.task(uid).await.unwrap().unwrap().index_uid.unwrap();
    assert_eq!((&*uid_of(0).await, &*uid_of(1).await, &*uid_of(2).await), ("old", "new", "other"));
    let of_old = TaskQuery { limit: 9, index_uids: Some(vec!["old".into()]), ..TaskQuery::default() };
    assert_eq!(store.tasks(&of_old).await.unwrap().tasks[0].uid, 0);

    make(&store, names(swap("old", "newest", true), &[])).await;
    let renamed = store.index("newest").await.unwrap().unwrap();
    assert_eq!(IndexRecord { generation, ..renamed }, IndexRecord { uid: "newest".into(), ..expected });
    assert_eq!(store.index("old").await.unwrap(), None);
    assert_eq!(versions("newest").await, BTreeMap::from([("a".into(), 3)]));
    assert_eq!(uid_of(0).await, "newest");

    make(&store, names(NodeChange::Delete("newest".into()), &[])).await;
    assert_eq!(store.index("newest").await.unwrap(), None);
    assert_eq!(versions("newest").await, BTreeMap::new());
}

async fn a_change_and_its_task_are_there_or_neither_is<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("changes-with-tasks").await;
    let expires_at = OffsetDateTime::now_utc() + Duration::HOUR;
    let register = async |store: &S, change: &IndexesChange, kind: &str| {
        let key = UsedKey { id: kind.into(), fingerprint: "f".into(), expires_at };
        let origin = Origin { idempotency: Some(key), session: None };
        store.register_change(change.clone(), NewTask { origin, ..on_tasks(kind) }).await
    };
    let movies = IndexRecord { settings_version: 2, ..index("movies") };
    let besides = IndexChange { primary_key: Some("id".into()), ..IndexChange::at(movies.updated_at) };
    let renaming = names(swap("movies", "films", true), &[("a", None)]);
    let renaming = NamesChange { besides: Some(besides), ..renaming };
    let at = generation(renaming.at);
    let changes = [
        (IndexesChange::Create(movies.clone()), "indexCreation"),
        (IndexesChange::Names(renaming), "indexUpdate"),
        (IndexesChange::Names(names(NodeChange::Delete("films".into()), &[("a", None)])), "indexDeletion"),
    ];
    for (number, (change, kind)) in changes.iter().enumerate() {
        let (task, pending) = register(&store, change, kind).await.unwrap();
        assert_eq!((task.uid, pending.len()), (number as u64, usize::from(number > 0)));
        match number {
            0 => assert_eq!(store.index("movies").await.unwrap(), Some(movies.clone())),
            1 => {
                let films = store.index("films").await.unwrap().unwrap();
                assert_eq!(
                    (films.primary_key.as_deref(), films.generation, films.settings_version),
                    (Some("id"), at, 2)
                );
            }
            _ => assert_eq!(store.indexes().await.unwrap(), BTreeMap::new()),
        }
    }
    drop(store);

    let store = open("changes-with-tasks").await;
    for (change, kind) in &changes {
        let again = register(&store, change, kind).await;
        assert!(matches!(again, Err(StoreError::KeyUsed(known)) if known.task.kind == *kind));
    }
    assert_eq!(store.indexes().await.unwrap(), BTreeMap::new(), "what was refused has changed nothing");
    assert_eq!(store.pending_changes("a").await.unwrap().len(), 2);
    assert_eq!(store.tasks(&TaskQuery::default()).await.unwrap().total, 3);
}

async fn nodes_take_changes_in_order<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("pending").await;
    let ids = make(&store, names(swap("x", "y", false), &[("a", Some(5)), ("b", None)])).await;
    make(&store, names(NodeChange::Delete("x".into()), &[("b", None)])).await;
    store.add_pending_change("b", &swap("y", "z", true)).await.unwrap();
    drop(store);

    let store = open("pending").await;
    let pending = async |node| {
        let pending = store.pending_changes(node).await.unwrap();
        pending.into_iter().map(|pending| (pending.change, pending.sent_from)).collect::<Vec<_>>()
    };
    assert_eq!(pending("a").await, [(swap("x", "y", false), Some(5))]);
    let later = [(NodeChange::Delete("x".into()), None), (swap("y", "z", true), None)];
    assert_eq!(pending("b").await[0], (swap("x", "y", false), None));
    assert_eq!(pending("b").await[1..], later);
    store.set_sent_from(ids[1], 7).await.unwrap();
    assert_eq!(pending("b").await[0].1, Some(7));
    store.remove_pending_change(ids[1]).await.unwrap();
    store.remove_pending_change(ids[0]).await.unwrap();
    assert_eq!(pending("b").await, later);
    assert_eq!(pending("a").await, []);
}

async fn a_write_to_what_is_another_index_by_now_is_refused<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("generations").await;
    store.save_index(&IndexRecord { generation: 7, ..index("movies") }).await.unwrap();
    let register = async |generation| {
        let index = Some(("movies".to_owned(), generation));
        let fence = Fence { epoch: 1, of: 0, missed: vec![("b".into(), vec![5])], index };
        store.register_task(task("movies", TaskStatus::Enqueued), Some(fence)).await
    };
    assert!(matches!(register(6).await, Err(StoreError::IndexChanged(uid)) if uid == "movies"));
    assert_eq!(store.stale_replicas().await.unwrap(), Stale::new());
    assert_eq!(register(7).await.unwrap().uid, 0, "what was refused took no uid");
    store.delete_index("movies").await.unwrap();
    assert!(matches!(register(7).await, Err(StoreError::IndexChanged(_))));
}

async fn progress_does_not_undo_a_change_of_uids<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("progress").await;
    let mut before = store.register_task(task("a", TaskStatus::Enqueued), None).await.unwrap();
    make(&store, names(swap("a", "b", false), &[])).await;
    before.status = TaskStatus::Succeeded;
    store.save_task(&before).await.unwrap();
    let after = store.task(0).await.unwrap().unwrap();
    assert_eq!((after.index_uid.as_deref(), after.status), (Some("b"), TaskStatus::Succeeded));
}

async fn tasks_are_canceled<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("cancelations").await;
    for status in [TaskStatus::Succeeded, TaskStatus::Enqueued, TaskStatus::Enqueued] {
        store.register_task(task("movies", status), None).await.unwrap();
    }
    let creation = NewTask { kind: "indexCreation".into(), ..task("movies", TaskStatus::Enqueued) };
    store.register_task(creation, None).await.unwrap();
    store.register_task(task("books", TaskStatus::Enqueued), None).await.unwrap();
    let movies = TaskQuery { index_uids: Some(vec!["movies".into()]), ..TaskQuery::default() };
    let (cancelation, targets) = store
        .register_cancelation(&movies, &["documentAdditionOrUpdate"], on_tasks("taskCancelation"))
        .await
        .unwrap();
    assert_eq!(targets.iter().map(|task| task.uid).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((cancelation.uid, &*cancelation.cancels), (5, &[1, 2][..]));
    assert_eq!(cancelation.details, json!({"matchedTasks": 4, "originalFilter": "?x"}));
    drop(store);
    assert_eq!(open("cancelations").await.task(5).await.unwrap(), Some(cancelation));
}

async fn finished_tasks_are_deleted<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("deletions").await;
    for status in [TaskStatus::Succeeded, TaskStatus::Enqueued, TaskStatus::Failed] {
        store.register_task(task("movies", status), None).await.unwrap();
    }
    let all = TaskQuery { uids: Some(vec![0, 1, 2, 3]), ..TaskQuery::default() };
    let deletion = store.register_deletion(&all, on_tasks("taskDeletion")).await.unwrap();
    assert_eq!((deletion.task.uid, deletion.task.status), (3, TaskStatus::Succeeded));
    assert_eq!(deletion.task.details, json!({"matchedTasks": 3, "originalFilter": "?x", "deletedTasks": 2}));
    assert_eq!(deletion.parts.len(), 2);
    let left = store.tasks(&TaskQuery { limit: 9, ..TaskQuery::default() }).await.unwrap();
    assert_eq!(left.tasks.iter().map(|task| task.uid).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(store.task(0).await.unwrap(), None);
    assert_eq!(store.register_task(task("a", TaskStatus::Enqueued), None).await.unwrap().uid, 4);
}

async fn batches_are_listed<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("batches").await;
    for status in [TaskStatus::Succeeded, TaskStatus::Enqueued, TaskStatus::Enqueued, TaskStatus::Failed] {
        store.register_task(task("movies", status), None).await.unwrap();
    }
    for uid in [1, 2] {
        let mut canceled = store.task(uid).await.unwrap().unwrap();
        canceled.status = TaskStatus::Canceled;
        canceled.canceled_by = Some(4);
        canceled.finished_at = Some(canceled.enqueued_at + Duration::hours(2));
        store.save_task(&canceled).await.unwrap();
    }
    let cancelation = NewTask { status: TaskStatus::Succeeded, ..on_tasks("taskCancelation") };
    store.register_task(cancelation, None).await.unwrap();
    store.register_task(task("books", TaskStatus::Enqueued), None).await.unwrap();

    let list = async |query: TaskQuery| {
        let page = store.batches(&query).await.unwrap();
        let uids = |batch: Batch| (batch.uid, batch.tasks.iter().map(|task| task.uid).collect::<Vec<_>>());
        (page.batches.into_iter().map(uids).collect::<Vec<_>>(), page.total, page.next)
    };
    let all = || TaskQuery { limit: 20, ..TaskQuery::default() };
    let (zero, three, four) = ((0, vec![0]), (3, vec![3]), (4, vec![1, 2, 4]));
    assert_eq!(list(all()).await, (vec![four.clone(), three.clone(), zero.clone()], 3, None));
    assert_eq!(list(TaskQuery { limit: 1, ..all() }).await, (vec![four.clone()], 3, Some(3)));
    assert_eq!(
        list(TaskQuery { from: Some(3), reverse: true, ..all() }).await,
        (vec![three.clone(), four.clone()], 3, None)
    );
    assert_eq!(list(TaskQuery { limit: 0, ..all() }).await, (vec![], 3, Some(4)));
    assert_eq!(list(TaskQuery { batch_uids: Some(vec![3, 5]), ..all() }).await, (vec![three], 1, None));
    assert_eq!(list(TaskQuery { uids: Some(vec![2, 5]), ..all() }).await, (vec![four.clone()], 1, None));
    let canceled = Some(vec![TaskStatus::Canceled]);
    assert_eq!(list(TaskQuery { statuses: canceled, ..all() }).await, (vec![four], 1, None));
    let enqueued = Some(vec![TaskStatus::Enqueued]);
    assert_eq!(list(TaskQuery { statuses: enqueued, ..all() }).await, (vec![], 0, None));
    let in_batch = TaskQuery { batch_uids: Some(vec![4]), ..all() };
    let tasks = store.tasks(&in_batch).await.unwrap().tasks;
    assert_eq!(tasks.iter().map(|task| task.uid).collect::<Vec<_>>(), [4, 2, 1]);
    assert!(tasks.iter().all(|task| task.batch_uid() == Some(4)));
}
