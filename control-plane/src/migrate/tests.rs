use std::path::PathBuf;

use super::*;
use crate::store::{RedisServer, StoreError, Topology, conformance};

struct Quiet;

impl Observer for Quiet {
    fn begins(&self, _: u64) {}
    fn has_written(&self, _: usize) {}
    fn verifies(&self) {}
    fn has_verified(&self, _: usize) {}
}

fn target(redis: &RedisServer, database: usize) -> TaskStoreConfig {
    TaskStoreConfig { backend: Backend::Redis, url: Some(redis.url(database)), ..TaskStoreConfig::default() }
}

/// Of a cluster without a node.
async fn fill(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    if store.topology().await.unwrap().is_none() {
        let topology = Topology { shards: 8, replication_factor: 1, nodes: Vec::new() };
        store.save_topology(&topology).await.unwrap();
    }
    store
}

async fn open(redis: &RedisServer, database: usize) -> Result<RedisStore, StoreError> {
    let link = redis.link(database);
    let Standing::Leads(token) = Lease::new(link.clone(), &nobody())?.take().await? else {
        panic!("another one leads")
    };
    RedisStore::open(link, token, Term::endless()).await
}

/// Whatever the conformance suite leaves in stores is taken.
#[tokio::test]
async fn everything_is_taken() {
    let (directory, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().await);
    conformance::run(|name| {
        let path = directory.path().join(name);
        async move { SqliteStore::open(&path).unwrap() }
    })
    .await;
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let stores: Vec<PathBuf> = files.filter(|path| path.extension().is_none()).collect();
    assert!(stores.len() > 20);
    let mut rows = std::collections::BTreeMap::new();
    for (database, path) in stores.iter().enumerate() {
        let store = fill(path).await;
        let next = store.register_task(conformance::task("last", crate::store::TaskStatus::Enqueued), None);
        let last = next.await.unwrap();
        let missed = store.stale_replicas().await.unwrap();
        drop(store);
        let migrated = migrate(path, &target(&redis, database), &Quiet).await.unwrap();
        let counts = serde_json::to_value(&migrated).unwrap();
        for (what, count) in counts.as_object().unwrap() {
            *rows.entry(what.clone()).or_insert(0) += count.as_u64().unwrap();
        }
        let store = open(&redis, database).await.unwrap();
        assert_eq!(store.stale_replicas().await.unwrap(), missed);
        let next = store.register_task(conformance::task("next", crate::store::TaskStatus::Enqueued), None);
        assert_eq!(next.await.unwrap().uid, last.uid + 1);
    }
    let nodes = rows.remove("nodes");
    assert!(nodes.is_some() && rows.values().all(|count| *count > 0), "{rows:?}");
}

#[tokio::test]
async fn one_that_was_interrupted_is_begun_anew() {
    let (directory, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().await);
    let path = directory.path().join("miroir.db");
    let store = fill(&path).await;
    let task = || conformance::task("movies", crate::store::TaskStatus::Enqueued);
    let mut stray = store.register_task(task(), None).await.unwrap();
    drop(store);

    let lease = Lease::new(redis.link(0), &nobody()).unwrap();
    let import = Import::begin(redis.link(0), lead(&lease).await.unwrap(), Term::endless()).await.unwrap();
    stray.uid = 7;
    import.add_tasks(&[stray]).await.unwrap();
    drop(import);
    assert!(matches!(open(&redis, 0).await, Err(StoreError::Incomplete)));

    migrate(&path, &target(&redis, 0), &Quiet).await.unwrap();
    let store = open(&redis, 0).await.unwrap();
    assert_eq!(store.tasks(&TaskQuery::default()).await.unwrap().total, 1);
    let refused = migrate(&path, &target(&redis, 0), &Quiet).await.unwrap_err().to_string();
    assert!(refused.contains("holds the state of a cluster"), "{refused}");
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let (directory, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().await);
    let path = directory.path().join("miroir.db");
    let refused = migrate(&path, &target(&redis, 0), &Quiet).await.unwrap_err().to_string();
    assert!(refused.ends_with("miroir.db is not there"), "{refused}");
    assert!(!path.exists());
    drop(SqliteStore::open(&path).unwrap());
    let refused = migrate(&path, &target(&redis, 0), &Quiet).await.unwrap_err().to_string();
    assert!(refused.ends_with("miroir.db holds no cluster"), "{refused}");
}
