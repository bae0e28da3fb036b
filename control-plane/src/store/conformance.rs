//! What every backend of the [`Store`] must do, as tests that are run against each.

mod aliases;
mod instance;
mod pruning;
mod requests;

use std::collections::BTreeSet;
use std::future::Future;

use miroir_core::control::PartOutcome;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::testing::index;

/// Runs every test. `open` opens the store of that name, and what was in it when it was last open is still there.
pub async fn run<S: Store, F: Future<Output = S>>(open: impl Fn(&'static str) -> F) {
    topology_and_epochs_survive(&open).await;
    stale_replicas_are_marked_and_cleaned(&open).await;
    who_joins_is_stale_and_who_leaves_is_not(&open).await;
    a_copy_of_what_has_left_is_not_clean(&open).await;
    a_write_that_no_clean_copy_took_is_refused(&open).await;
    what_a_refused_write_leaves_is_known(&open).await;
    nodes_that_are_gone_have_lost_what_they_held(&open).await;
    envoys_are_remembered_for_a_while(&open).await;
    another_number_of_shards_is_everywhere_the_same(&open).await;
    a_rebalance_is_kept(&open).await;
    indexes_come_and_go(&open).await;
    task_uids_grow_and_are_never_reused(&open).await;
    what_is_registered_twice_is_one_task(&open).await;
    a_retired_epoch_registers_nothing(&open).await;
    tasks_are_listed_as_asked(&open).await;
    unfinished_tasks_are_found(&open).await;
    aliases::run(&open).await;
    instance::run(&open).await;
    pruning::run(&open).await;
    requests::run(&open).await;
    super::conformance_of_changes::run(&open).await;
}

async fn topology_and_epochs_survive<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("epochs").await;
    assert_eq!(store.topology().await.unwrap(), None);
    assert_eq!(store.current_epoch().await.unwrap(), None);

    let node = NodeRecord {
        id: "a".into(),
        url: "http://a:7700".into(),
        group: "1".into(),
        weight: 1.5,
        cluster: None,
        drains: false,
        replaced_by: None,
    };
    let topology = Topology { shards: 64, replication_factor: 2, nodes: vec![node] };
    store.save_topology(&topology).await.unwrap();
    let epoch = |number| Epoch { epoch: number, ..placement(&["a"]) };
    assert!(store.add_epoch(&epoch(2)).await.is_err(), "the first epoch is 1");
    store.add_epoch(&epoch(1)).await.unwrap();
    store.add_epoch(&epoch(2)).await.unwrap();
    assert!(store.add_epoch(&epoch(2)).await.is_err(), "an epoch is added once");
    drop(store);

    let store = open("epochs").await;
    assert_eq!(store.topology().await.unwrap(), Some(topology));
    assert_eq!(store.current_epoch().await.unwrap(), Some(epoch(2)));
}

async fn stale_replicas_are_marked_and_cleaned<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("stale").await;
    store.add_epoch(&placement(&["a", "b"])).await.unwrap();
    store.mark_stale("a", &[1, 2, 3], 0).await.unwrap();
    let seen = store.stale_replicas().await.unwrap()["a"].clone();
    store.mark_stale("a", &[3, 4], 0).await.unwrap();
    store.mark_stale("b", &[1, 5], 0).await.unwrap();
    store.mark_stale("a nobody", &[1], 0).await.unwrap();
    // Of the third more was missed meanwhile.
    assert_eq!(store.mark_clean("a", &seen, Some("b")).await.unwrap(), [1, 2]);
    drop(store);

    let store = open("stale").await;
    // The first was the last clean copy of shard 1 when the second missed something.
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("a", vec![3, 4]), ("b", vec![5])]);
    store.mark_lost("b", &[3], 0).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("a", vec![3, 4]), ("b", vec![3, 5])]);
}

fn shards(stale: &Stale) -> Vec<(&str, Vec<ShardId>)> {
    stale.iter().map(|(node, shards)| (&**node, shards.keys().copied().collect())).collect()
}

/// The first epoch of eight shards that all of these own.
pub(super) fn placement(nodes: &[&str]) -> Epoch {
    let owners = vec![nodes.iter().map(|node| node.to_string()).collect(); 8];
    Epoch { epoch: 1, owners: BTreeMap::from([("1".into(), owners)]), ..Epoch::default() }
}

async fn who_joins_is_stale_and_who_leaves_is_not<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("joining").await;
    let first = placement(&["a"]);
    store.add_epoch(&first).await.unwrap();
    let mut joined = Epoch { epoch: 2, ..placement(&["a", "b"]) };
    joined.joining.entry("1".into()).or_default().insert(7, BTreeSet::from(["b".to_owned()]));
    store.add_epoch(&joined).await.unwrap();
    let stale = store.stale_replicas().await.unwrap();
    assert_eq!(shards(&stale), [("b", vec![7])]);
    let too_early = Epoch { epoch: 3, ..placement(&["b"]) };
    assert!(matches!(store.add_epoch(&too_early).await, Err(StoreError::Conflict(_))));
    store.mark_stale("a", &[7], 0).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", vec![7])], "the last that is clean");
    store.mark_clean("b", &stale["b"], Some("a")).await.unwrap();
    store.mark_stale("a", &[6], 0).await.unwrap();

    let leftovers = BTreeMap::from([("a".to_owned(), BTreeSet::from([0, 1]))]);
    store.add_epoch(&Epoch { leftovers, ..too_early }).await.unwrap();
    drop(store);
    let store = open("joining").await;
    assert_eq!(store.stale_replicas().await.unwrap(), Stale::new());
    store.remove_leftovers("a", &[0, 5]).await.unwrap();
    let left = store.current_epoch().await.unwrap().unwrap();
    assert_eq!((left.epoch, left.leftovers), (3, BTreeMap::from([("a".to_owned(), BTreeSet::from([1]))])));
}

async fn a_copy_of_what_has_left_is_not_clean<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("left").await;
    store.add_epoch(&placement(&["a", "b", "c"])).await.unwrap();
    store.mark_stale("c", &[0, 1, 2], 0).await.unwrap();
    store.mark_stale("a", &[1], 0).await.unwrap();
    let seen = store.stale_replicas().await.unwrap()["c"].clone();
    let mut next = Epoch { epoch: 2, ..placement(&["a", "b", "c"]) };
    next.owners.get_mut("1").unwrap()[2] = vec!["b".into(), "c".into()];
    store.add_epoch(&next).await.unwrap();
    assert_eq!(store.mark_clean("c", &seen, Some("a")).await.unwrap(), [0], "a missed 1, and has left 2");
    assert_eq!(store.mark_clean("c", &seen, Some("b")).await.unwrap(), [1, 2]);
}

async fn a_write_that_no_clean_copy_took_is_refused<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("copies").await;
    store.add_epoch(&placement(&["a", "b"])).await.unwrap();
    store.mark_stale("b", &[2], 0).await.unwrap();
    let write = async |node: &str, missed: &str| {
        let part = TaskPart { shards: vec![1, 2], ..TaskPart::new(node, PartOutcome::Accepted(7)) };
        let fence = Fence { epoch: 1, of: 0, missed: vec![(missed.into(), vec![1, 2])], index: None };
        let task = NewTask { parts: vec![part], ..task("movies", TaskStatus::Enqueued) };
        store.register_task(task, Some(fence)).await
    };
    assert!(matches!(write("b", "a").await, Err(StoreError::NoCleanCopy(2))));
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", vec![2])]);
    assert!(write("a", "b").await.unwrap().parts[0].unreliable.is_empty());
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", vec![1, 2])]);
    store.mark_lost("a", &[1, 2], 0).await.unwrap();
    assert_eq!(write("b", "a").await.unwrap().uid, 1, "where all was lost, one is as good as the other");
}

async fn what_a_refused_write_leaves_is_known<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("refused").await;
    store.add_epoch(&placement(&["a", "b"])).await.unwrap();
    let of = |node: &str| BTreeMap::from([(node.to_owned(), BTreeSet::from([3]))]);
    let took = [of("a"), of("x")].into_iter().flatten().collect();
    store.leave(&Refused { took, missed: of("b"), of: 8, differs: false }).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", vec![3])]);
    assert_eq!(store.current_epoch().await.unwrap().unwrap().leftovers, of("x"));
}

async fn nodes_that_are_gone_have_lost_what_they_held<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("gone").await;
    store.add_epoch(&placement(&["a", "b"])).await.unwrap();
    let node = |id: &str| NodeRecord {
        id: id.into(),
        url: format!("http://{id}"),
        group: "1".into(),
        weight: 1.0,
        cluster: None,
        drains: false,
        replaced_by: None,
    };
    let rebalance = RebalanceRecord {
        target: Owners::new(),
        is_paused: false,
        is_canceled: false,
        shards: 0,
        resharding: None,
        since: OffsetDateTime::UNIX_EPOCH,
    };
    let of = |nodes: Vec<NodeRecord>| Topology { shards: 8, replication_factor: 1, nodes };
    store.mark_stale("b", &[2], 0).await.unwrap();
    let refused = store.change_topology(&of(vec![node("b")]), &rebalance).await;
    assert!(matches!(refused, Err(StoreError::Conflict(reason)) if reason.contains("shard 2")));
    store.change_topology(&of(vec![node("a")]), &rebalance).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", (0..8).collect())]);
}

async fn envoys_are_remembered_for_a_while<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("envoys").await;
    assert_eq!(store.first_live_epoch().await.unwrap(), 0);
    store.saw_envoys(&["e".into(), "f".into()], OffsetDateTime::UNIX_EPOCH).await.unwrap();
    drop(store);
    let store = open("envoys").await;
    assert_eq!(store.envoys().await.unwrap().into_keys().collect::<Vec<_>>(), ["e", "f"]);
    store.saw_envoys(&[], OffsetDateTime::now_utc() + Duration::minutes(1)).await.unwrap();
    assert_eq!(store.envoys().await.unwrap(), BTreeMap::new());
}

async fn another_number_of_shards_is_everywhere_the_same<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("resharding").await;
    let of = |shards: ShardId, number: u64| {
        let owners = vec![vec!["a".to_owned(), "b".to_owned()]; shards as usize];
        Epoch { epoch: number, owners: BTreeMap::from([("1".into(), owners)]), ..Epoch::default() }
    };
    store.add_epoch(&of(4, 1)).await.unwrap();
    let topology = Topology { shards: 4, replication_factor: 2, nodes: Vec::new() };
    store.save_topology(&topology).await.unwrap();
    let rebalance = RebalanceRecord {
        target: of(4, 1).owners,
        is_paused: false,
        is_canceled: false,
        shards: 0,
        resharding: Some(Resharding { from: 4, to: 8 }),
        since: OffsetDateTime::UNIX_EPOCH,
    };
    store.save_rebalance(&rebalance).await.unwrap();
    store.mark_stale("a", &[1], 4).await.unwrap();
    store.add_epoch(&of(8, 2)).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("a", vec![1, 5])]);
    assert_eq!(store.topology().await.unwrap().unwrap().shards, 8);
    assert_eq!(store.rebalance().await.unwrap().unwrap().target, of(8, 2).owners);

    // What was begun when there were four still speaks of four.
    store.mark_stale("b", &[2], 4).await.unwrap();
    let part = |node: &str, outcome| TaskPart { shards: vec![3], ..TaskPart::new(node, outcome) };
    let parts = vec![part("a", PartOutcome::Accepted(1))];
    let fence = Fence { epoch: 1, of: 4, missed: vec![("b".into(), vec![3])], index: None };
    let written = NewTask { parts, ..task("movies", TaskStatus::Enqueued) };
    let written = store.register_task(written, Some(fence)).await.unwrap();
    assert_eq!((&written.parts[0].shards, written.parts[0].of), (&vec![3, 7], 8));
    let took = BTreeMap::from([("x".to_owned(), BTreeSet::from([0]))]);
    store.leave(&Refused { took, of: 4, ..Refused::default() }).await.unwrap();
    let both = [("a", vec![1, 5]), ("b", vec![2, 3, 6, 7])];
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), both);
    let left = store.current_epoch().await.unwrap().unwrap().leftovers;
    assert_eq!(left, BTreeMap::from([("x".to_owned(), BTreeSet::from([0, 4]))]));

    // Two copies that each lack another half would be no whole one.
    assert!(matches!(store.add_epoch(&of(1, 3)).await, Err(StoreError::Conflict(_))));
    store.add_epoch(&of(4, 3)).await.unwrap();
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("a", vec![1]), ("b", vec![2, 3])]);
}

async fn a_rebalance_is_kept<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("rebalance").await;
    assert_eq!(store.rebalance().await.unwrap(), None);
    let rebalance = RebalanceRecord {
        target: placement(&["a"]).owners,
        is_paused: true,
        is_canceled: false,
        shards: 3,
        resharding: Some(Resharding { from: 8, to: 16 }),
        since: OffsetDateTime::UNIX_EPOCH,
    };
    store.save_rebalance(&rebalance).await.unwrap();
    drop(store);
    let store = open("rebalance").await;
    assert_eq!(store.rebalance().await.unwrap(), Some(rebalance.clone()));
    let topology = Topology { shards: 8, replication_factor: 1, nodes: Vec::new() };
    let rebalance = RebalanceRecord { is_paused: false, ..rebalance };
    store.change_topology(&topology, &rebalance).await.unwrap();
    assert_eq!(store.topology().await.unwrap(), Some(topology));
    assert_eq!(store.rebalance().await.unwrap(), Some(rebalance));
}

async fn indexes_come_and_go<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("indexes").await;
    let mut movies = index("movies");
    movies.adopting = true;
    store.save_index(&movies).await.unwrap();
    store.save_index(&index("books")).await.unwrap();
    let change = IndexChange {
        primary_key: Some("id".into()),
        settings: Some(json!({"z": 1, "a": [null, "é"]})),
        is_adopted: true,
        ..IndexChange::at(movies.updated_at + Duration::minutes(1))
    };
    assert_eq!(store.update_index("never was", change.clone()).await.unwrap(), None);
    movies = movies.changed(change.clone());
    assert_eq!(store.update_index("movies", change).await.unwrap(), Some(movies.clone()));
    assert_eq!((movies.primary_key.as_deref(), movies.settings_version), (Some("id"), 1));
    assert!(!movies.adopting);
    // A version that was promised is reached at once, and never left again.
    for (promised, reached) in [(4, 4), (3, 4)] {
        let change = IndexChange { settings_version: Some(promised), ..IndexChange::at(movies.created_at) };
        movies = store.update_index("movies", change).await.unwrap().unwrap();
        assert_eq!(movies.settings_version, reached);
    }
    store.set_node_settings_version("movies", "a", 1).await.unwrap();
    store.set_node_settings_version("movies", "a", 2).await.unwrap();
    store.set_node_settings_version("books", "a", 7).await.unwrap();
    store.delete_index("books").await.unwrap();
    store.delete_index("never was").await.unwrap();
    drop(store);

    let store = open("indexes").await;
    assert_eq!(store.index("movies").await.unwrap(), Some(movies.clone()));
    assert_eq!(store.index("books").await.unwrap(), None);
    assert_eq!(store.indexes().await.unwrap(), BTreeMap::from([("movies".into(), movies)]));
    let versions = store.node_settings_versions("movies").await.unwrap();
    assert_eq!(versions, BTreeMap::from([("a".into(), 2)]));
    assert_eq!(store.node_settings_versions("books").await.unwrap(), BTreeMap::new());
}

async fn task_uids_grow_and_are_never_reused<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("uids").await;
    for expected in 0..3 {
        let task = store.register_task(task("movies", TaskStatus::Enqueued), None).await.unwrap();
        assert_eq!(task.uid, expected);
        assert_eq!(store.task(expected).await.unwrap(), Some(task));
    }
    drop(store);

    let store = open("uids").await;
    assert_eq!(store.register_task(task("movies", TaskStatus::Failed), None).await.unwrap().uid, 3);
    assert_eq!(store.task(4).await.unwrap(), None);
    assert_eq!(store.task(u64::MAX).await.unwrap(), None);
}

async fn what_is_registered_twice_is_one_task<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("tickets").await;
    let write =
        |ticket: &str| NewTask { ticket: Some(ticket.into()), ..task("movies", TaskStatus::Enqueued) };
    let first = store.register_task(write("a"), None).await.unwrap();
    store.save_task(&TaskRecord { status: TaskStatus::Succeeded, ..first }).await.unwrap();
    drop(store);

    let store = open("tickets").await;
    store.retire_epochs_below(3).await.unwrap();
    let late = Fence { epoch: 2, of: 0, missed: vec![("b".into(), vec![5])], index: None };
    let again = store.register_task(write("a"), Some(late)).await.unwrap();
    assert_eq!((again.uid, again.status), (0, TaskStatus::Succeeded));
    assert_eq!(store.register_task(write("b"), None).await.unwrap().uid, 1);
}

async fn a_retired_epoch_registers_nothing<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("fence").await;
    store.add_epoch(&placement(&["a", "b"])).await.unwrap();
    let fence = |epoch| Fence { epoch, of: 0, missed: vec![("b".into(), vec![5])], index: None };
    store.retire_epochs_below(3).await.unwrap();
    store.retire_epochs_below(2).await.unwrap();
    drop(store);

    let store = open("fence").await;
    let refused = store.register_task(task("movies", TaskStatus::Enqueued), Some(fence(2))).await;
    assert!(matches!(refused, Err(StoreError::EpochRetired(2))));
    assert_eq!(store.stale_replicas().await.unwrap(), Stale::new());

    let registered = store.register_task(task("movies", TaskStatus::Enqueued), Some(fence(3))).await.unwrap();
    assert_eq!(registered.uid, 0, "what was refused took no uid");
    assert_eq!(shards(&store.stale_replicas().await.unwrap()), [("b", vec![5])]);
}

async fn tasks_are_listed_as_asked<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("tasks").await;
    for (index, status) in [
        ("movies", TaskStatus::Succeeded),
        ("books", TaskStatus::Enqueued),
        ("movies", TaskStatus::Failed),
        ("movies_fr", TaskStatus::Enqueued),
    ] {
        store.register_task(task(index, status), None).await.unwrap();
    }
    let global = NewTask { index_uid: None, kind: "dumpCreation".into(), ..task("", TaskStatus::Enqueued) };
    store.register_task(global, None).await.unwrap();
    let mut canceled = store.task(1).await.unwrap().unwrap();
    canceled.status = TaskStatus::Canceled;
    canceled.canceled_by = Some(4);
    canceled.finished_at = Some(canceled.enqueued_at + Duration::hours(2));
    store.save_task(&canceled).await.unwrap();

    let list = async |query: TaskQuery| {
        let page = store.tasks(&query).await.unwrap();
        (page.tasks.iter().map(|task| task.uid).collect::<Vec<_>>(), page.total, page.next)
    };
    let all = || TaskQuery { limit: 20, ..TaskQuery::default() };
    assert_eq!(list(all()).await, (vec![4, 3, 2, 1, 0], 5, None));
    assert_eq!(list(TaskQuery { limit: 2, ..all() }).await, (vec![4, 3], 5, Some(2)));
    assert_eq!(list(TaskQuery { limit: 2, from: Some(2), ..all() }).await, (vec![2, 1], 5, Some(0)));
    assert_eq!(list(TaskQuery { limit: 2, reverse: true, ..all() }).await, (vec![0, 1], 5, Some(2)));
    assert_eq!(list(TaskQuery { limit: 0, ..all() }).await, (vec![], 5, Some(4)));
    assert_eq!(list(TaskQuery { from: Some(3), reverse: true, ..all() }).await, (vec![3, 4], 5, None));
    assert_eq!(list(TaskQuery { uids: Some(vec![1, 3, 9]), ..all() }).await, (vec![3, 1], 2, None));
    assert_eq!(list(TaskQuery { uids: Some(vec![]), ..all() }).await, (vec![], 0, None));
    let failed = Some(vec![TaskStatus::Failed, TaskStatus::Succeeded]);
    assert_eq!(list(TaskQuery { statuses: failed, ..all() }).await, (vec![2, 0], 2, None));
    let dumps = Some(vec!["dumpCreation".into()]);
    assert_eq!(list(TaskQuery { types: dumps, ..all() }).await, (vec![4], 1, None));
    let movies = || Some(vec!["movies".into()]);
    assert_eq!(list(TaskQuery { index_uids: movies(), ..all() }).await, (vec![2, 0], 2, None));
    assert_eq!(list(TaskQuery { visible_indexes: movies(), ..all() }).await, (vec![2, 0], 2, None));
    let patterns = Some(vec!["movies*".into()]);
    assert_eq!(list(TaskQuery { visible_indexes: patterns, ..all() }).await, (vec![3, 2, 0], 3, None));
    assert_eq!(list(TaskQuery { canceled_by: Some(vec![4]), ..all() }).await, (vec![1], 1, None));

    let later = Some(canceled.enqueued_at + Duration::hours(1));
    let dates = |dates| TaskQuery { dates, ..all() };
    let finished_later = DateBounds { after_finished_at: later, ..DateBounds::default() };
    assert_eq!(list(dates(finished_later)).await, (vec![1], 1, None));
    let finished_before = DateBounds { before_finished_at: later, ..DateBounds::default() };
    assert_eq!(list(dates(finished_before)).await, (vec![2, 0], 2, None));
    let enqueued_later = DateBounds { after_enqueued_at: later, ..DateBounds::default() };
    assert_eq!(list(dates(enqueued_later)).await, (vec![], 0, None));
    let exact = DateBounds { before_enqueued_at: Some(canceled.enqueued_at), ..DateBounds::default() };
    assert_eq!(list(dates(exact)).await, (vec![0], 1, None), "bounds are exclusive");
}

async fn unfinished_tasks_are_found<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("unfinished").await;
    for status in [TaskStatus::Enqueued, TaskStatus::Failed, TaskStatus::Enqueued, TaskStatus::Enqueued] {
        store.register_task(task("movies", status), None).await.unwrap();
    }
    let mut processing = store.task(2).await.unwrap().unwrap();
    processing.status = TaskStatus::Processing;
    store.save_task(&processing).await.unwrap();
    let uids = async |limit| {
        let tasks = store.unfinished_tasks(limit).await.unwrap();
        tasks.iter().map(|task| task.uid).collect::<Vec<_>>()
    };
    assert_eq!(uids(10).await, [0, 2, 3]);
    assert_eq!(uids(2).await, [0, 2]);
}

pub fn task(index: &str, status: TaskStatus) -> NewTask {
    let part = TaskPart { counted: true, shards: vec![1, 2], ..TaskPart::new("a", PartOutcome::Accepted(7)) };
    NewTask {
        index_uid: Some(index.into()),
        kind: "documentAdditionOrUpdate".into(),
        status,
        details: json!({"receivedDocuments": 1, "indexedDocuments": null}),
        error: None,
        parts: vec![part],
        custom_metadata: Some("from the shop".into()),
        ticket: None,
        settings_version: None,
        origin: Origin::default(),
    }
}

/// A task that acts on tasks.
pub fn on_tasks(kind: &str) -> NewTask {
    let details = json!({"matchedTasks": 0, "originalFilter": "?x"});
    NewTask { index_uid: None, kind: kind.into(), details, parts: vec![], ..task("", TaskStatus::Enqueued) }
}
