use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::Server;
use super::*;
use crate::store::{InstanceStore, TaskStatus, conformance, properties};

fn holder(name: &str) -> Holder {
    Holder { envoy: format!("{name}:18000"), admin: format!("{name}:8080") }
}

async fn lead(link: &Arc<Link>, name: &str) -> u64 {
    match Lease::new(link.clone(), &holder(name)).unwrap().take().await.unwrap() {
        Standing::Leads(token) => token,
        Standing::Follows(other) => panic!("{other:?} leads"),
    }
}

/// The store of one that leads.
async fn open(link: &Arc<Link>) -> RedisStore {
    let token = lead(link, "us").await;
    RedisStore::open(link.clone(), token, Term::endless()).await.expect("the store opens")
}

#[tokio::test]
async fn conforms() {
    let server = Server::start().await;
    let names = std::sync::Mutex::new(Vec::new());
    conformance::run(|name| {
        let mut names = names.lock().unwrap();
        let database = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        let link = server.link(database);
        async move { open(&link).await }
    })
    .await;
}

#[test]
fn agrees_with_its_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let link = server.link(0);
    let last_case = AtomicUsize::new(usize::MAX);
    properties::run(&runtime, |case| {
        let is_new = last_case.swap(case, Ordering::Relaxed) != case;
        let link = link.clone();
        async move {
            if is_new {
                link.ask::<()>(redis::pipe().cmd("FLUSHALL").ignore()).await.unwrap();
            }
            open(&link).await
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_do_not_lose_each_other() {
    let server = Server::start().await;
    let link = server.link(0);
    properties::writers_do_not_lose_each_other(async || open(&link).await).await;
}

#[tokio::test]
async fn a_leader_that_lost_its_lease_changes_nothing() {
    let server = Server::start().await;
    let link = server.link(0);
    let first = Lease::new(link.clone(), &holder("a")).unwrap();
    let Standing::Leads(token) = first.take().await.unwrap() else { panic!("nobody led") };
    let store = RedisStore::open(link.clone(), token, Term::endless()).await.unwrap();
    let task = || conformance::task("movies", TaskStatus::Enqueued);
    assert_eq!(store.register_task(task(), None).await.unwrap().uid, 0);

    let second = Lease::new(link.clone(), &holder("b")).unwrap();
    assert_eq!(second.take().await.unwrap(), Standing::Follows(holder("a")));
    assert!(first.renew(token).await.unwrap());
    first.give_up(token).await.unwrap();
    assert!(matches!(store.register_task(task(), None).await, Err(StoreError::NotLeader)), "nobody leads");
    let Standing::Leads(next) = second.take().await.unwrap() else { panic!("nobody led") };
    assert!(next > token);
    assert!(!first.renew(token).await.unwrap());
    assert!(matches!(store.register_task(task(), None).await, Err(StoreError::NotLeader)));

    let successor = RedisStore::open(link, next, Term::endless()).await.unwrap();
    assert_eq!(successor.register_task(task(), None).await.unwrap().uid, 1);
    assert!(matches!(store.save_topology(&topology()).await, Err(StoreError::NotLeader)));
    assert_eq!(successor.topology().await.unwrap(), None);
}

#[tokio::test]
async fn tasks_that_are_gone_leave_nothing_in_redis() {
    let server = Server::start().await;
    let link = server.link(0);
    let store = open(&link).await;
    let keys = async || {
        let (mut keys,): (Vec<String>,) = link.ask(redis::pipe().cmd("KEYS").arg("*")).await.unwrap();
        keys.retain(|key| key != keys::COUNTERS);
        keys.sort_unstable();
        keys
    };
    store.save_webhook(uuid::Uuid::from_u128(1), &webhook()).await.unwrap();
    let before = keys().await;
    let first = store.register_task(conformance::task("movies", TaskStatus::Enqueued), None).await.unwrap();
    store.register_task(conformance::task("books", TaskStatus::Failed), None).await.unwrap();
    let canceled = TaskRecord { status: TaskStatus::Canceled, canceled_by: Some(1), ..first };
    store.save_task(&canceled).await.unwrap();
    store.settle(uuid::Uuid::from_u128(1), &[0, 1]).await.unwrap();
    assert!(keys().await.len() > before.len());
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 2);
    assert_eq!(keys().await, before);
}

#[tokio::test]
async fn who_reads_while_a_task_of_a_new_index_comes_sees_what_was_before() {
    let server = Server::start().await;
    let link = server.link(0);
    let store = open(&link).await;
    let movies = store.register_task(conformance::task("movies", TaskStatus::Failed), None).await.unwrap();
    let names = store.names().await.unwrap();
    store.register_task(conformance::task("books", TaskStatus::Failed), None).await.unwrap();
    assert_eq!(store.tasks_of(&names, &[0, 1]).await.unwrap(), [movies]);
    // What gets the index's number in Redis must not be taken for it.
    assert_eq!(store.prune_tasks(None, 10).await.unwrap(), 2);
    let films = store.register_task(conformance::task("films", TaskStatus::Failed), None).await.unwrap();
    assert_eq!(store.tasks_of(&names, &[2]).await.unwrap(), []);
    assert_eq!(store.task(2).await.unwrap(), Some(films));
}

fn webhook() -> crate::store::Webhook {
    crate::store::Webhook { url: "http://a".into(), headers: BTreeMap::new() }
}

fn topology() -> Topology {
    Topology { shards: 8, replication_factor: 1, nodes: Vec::new() }
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let server = Server::start().await;
    let link = server.link(0);
    let token = lead(&link, "us").await;
    RedisStore::open(link.clone(), token, Term::endless())
        .await
        .unwrap()
        .save_value(keys::SCHEMA, &99)
        .await
        .unwrap();
    let error = RedisStore::open(link, token, Term::endless()).await.expect_err("it is refused");
    assert!(error.to_string().contains("schema version 99"), "{error}");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_waited_for_and_then_it_is_said() {
    let server = Server::start().await;
    let link = server.link(0);
    let store = open(&link).await;
    let mut pause = redis::pipe();
    pause.cmd("CLIENT").arg("PAUSE").arg(4000).arg("ALL").ignore();
    server.link(0).ask::<()>(&pause).await.unwrap();
    store.save_topology(&topology()).await.expect("it was back in time");
    drop(server);
    let error = store.topology().await.expect_err("it is gone");
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
}
