//! What of the store is about the instance.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde_json::{Map, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::task;
use crate::store::{KeyRecord, NewTask, Store, TaskStatus, Webhook};

pub async fn run<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    keys_come_and_go(open).await;
    features_and_rules_are_replaced(open).await;
    each_webhook_is_owed_each_task_once(open).await;
}

async fn keys_come_and_go<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("keys").await;
    let (old, mut new, gone) = (key("old", 0), key("new", 1), key("gone", 2));
    for key in [&old, &new, &gone] {
        store.save_key(key).await.unwrap();
    }
    new.description = Some("é".into());
    store.save_key(&new).await.unwrap();
    store.delete_key(gone.uid).await.unwrap();
    store.delete_key(Uuid::new_v4()).await.unwrap();
    let adopted = key("adopted", 3);
    store.adopt_keys("a", std::slice::from_ref(&adopted)).await.unwrap();
    store.adopt_keys("a", &[]).await.unwrap();
    store.adopt_keys("b", &[]).await.unwrap();
    drop(store);

    let store = open("keys").await;
    assert_eq!(store.keys().await.unwrap(), [adopted, new.clone(), old], "newest first");
    assert_eq!(store.key(new.uid).await.unwrap(), Some(new));
    assert_eq!(store.key(gone.uid).await.unwrap(), None);
    assert_eq!(store.key_nodes().await.unwrap(), BTreeSet::from(["a".into(), "b".into()]));
}

async fn features_and_rules_are_replaced<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("features").await;
    assert_eq!(store.experimental_features().await.unwrap(), Map::new());
    let features = |metrics: bool| Map::from_iter([("metrics".to_owned(), json!(metrics))]);
    store.save_experimental_features(&features(false)).await.unwrap();
    store.save_experimental_features(&features(true)).await.unwrap();
    let rules = |uids: &[&str]| -> BTreeMap<String, _> {
        uids.iter().map(|uid| (uid.to_string(), json!({"uid": uid}))).collect()
    };
    store.save_search_rules(&rules(&["a", "b"])).await.unwrap();
    store.save_search_rules(&rules(&["b", "c"])).await.unwrap();
    drop(store);

    let store = open("features").await;
    assert_eq!(store.experimental_features().await.unwrap(), features(true));
    assert_eq!(store.search_rules().await.unwrap(), rules(&["b", "c"]));
}

async fn each_webhook_is_owed_each_task_once<S: Store, F: Future<Output = S>>(
    open: &impl Fn(&'static str) -> F,
) {
    let store = open("webhooks").await;
    let webhook = |url: &str| Webhook {
        url: url.to_owned(),
        headers: BTreeMap::from([("authorization".to_owned(), "secret".to_owned())]),
    };
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let register = async |status| {
        let new = NewTask { kind: "indexCreation".into(), ..task("movies", status) };
        store.register_task(new, None).await.unwrap()
    };
    let before = register(TaskStatus::Failed).await;
    store.save_webhook(first, &webhook("http://old")).await.unwrap();
    store.save_webhook(first, &webhook("http://first")).await.unwrap();
    let mut unfinished = register(TaskStatus::Enqueued).await;
    let failed = register(TaskStatus::Failed).await;
    store.save_webhook(second, &webhook("http://second")).await.unwrap();
    unfinished.status = TaskStatus::Processing;
    store.save_task(&unfinished).await.unwrap();
    unfinished.status = TaskStatus::Succeeded;
    for _ in 0..2 {
        store.save_task(&unfinished).await.unwrap();
    }
    store.save_task(&before).await.unwrap();

    let owed = async |webhook, limit| {
        let tasks = store.tasks_owed(webhook, limit).await.unwrap();
        tasks.iter().map(|task| (task.uid, task.status)).collect::<Vec<_>>()
    };
    let both = [(unfinished.uid, TaskStatus::Succeeded), (failed.uid, TaskStatus::Failed)];
    assert_eq!(owed(first, 10).await, both);
    assert_eq!(owed(first, 1).await, both[..1]);
    assert_eq!(owed(second, 10).await, both[..1]);
    store.settle(first, &[unfinished.uid]).await.unwrap();
    store.save_task(&unfinished).await.unwrap();
    assert_eq!(owed(first, 10).await, both[1..], "what was settled stays settled");
    store.delete_webhook(second).await.unwrap();
    assert_eq!(owed(second, 10).await, []);
    drop(store);

    let webhooks = open("webhooks").await.webhooks().await.unwrap();
    assert_eq!(webhooks, BTreeMap::from([(first, webhook("http://first"))]));
}

fn key(name: &str, minutes: i64) -> KeyRecord {
    let created_at = OffsetDateTime::UNIX_EPOCH + Duration::minutes(minutes);
    KeyRecord {
        name: Some(name.into()),
        description: None,
        uid: Uuid::new_v4(),
        actions: vec!["search".into()],
        indexes: vec!["*".into()],
        expires_at: (minutes == 1).then_some(created_at + Duration::DAY),
        created_at,
        updated_at: created_at,
    }
}
