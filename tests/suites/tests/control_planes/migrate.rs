//! `miroir store migrate`: a cluster goes from SQLite to Redis.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use miroir_harness::{Bootstrap, Client, Cluster, Options, binaries, wait_until};
use miroir_suites::topology::stale_shards;
use serde_json::{Value, json};

use crate::{PATIENCE, count};

fn sqlite() -> Value {
    json!({ "task_store": { "backend": "sqlite", "path": "miroir.db", "url": null } })
}

fn migrate(cluster: &mut Cluster) -> Output {
    let mut command = Command::new(binaries::control_plane().unwrap());
    command
        .args(["store", "migrate", "miroir.db", "--config"])
        .arg(cluster.control_plane(0).config_path())
        .current_dir(cluster.folder())
        .env("MIROIR_MASTER_KEY", "masterKey")
        .env("MIROIR_ADMIN_KEY", "adminKey");
    command.output().unwrap()
}

#[track_caller]
fn check_refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(reason), "{output:?}");
}

/// All that a client or an operator can ask for and that does not change by itself.
async fn everything(cluster: &Cluster) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let paths = [
        "/tasks?limit=1000",
        "/tasks?limit=1000&statuses=failed,canceled",
        "/batches?limit=1000",
        "/indexes",
        "/indexes/notes/settings",
        "/keys",
        "/webhooks",
        "/experimental-features",
    ];
    for path in paths {
        all.push((path.to_owned(), cluster.client().get(path).await.unwrap().ok().unwrap()));
    }
    for path in ["/_miroir/aliases", "/_miroir/aliases/memos"] {
        all.push((path.to_owned(), cluster.admin().get(path).await.unwrap().ok().unwrap()));
    }
    all
}

/// Adds documents until it is over; those that were acknowledged.
async fn write(client: Client, is_over: Arc<AtomicBool>) -> Vec<u64> {
    let index = client.index("notes");
    let mut acknowledged = Vec::new();
    for id in 1000.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let document = json!([{ "id": id, "text": "written" }]);
        match client.post(&index.path("/documents"), &document).await {
            Ok(answer) if answer.status == 202 => acknowledged.push(id),
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            Err(error) => panic!("Envoy did not answer: {error:#}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    acknowledged
}

async fn prepare(cluster: &mut Cluster) {
    let client = cluster.client();
    let index = client.create_index("notes", Some("id")).await.unwrap();
    client.create_index("books", Some("id")).await.unwrap();
    index.update_settings(&json!({ "stopWords": ["the"], "filterableAttributes": ["text"] })).await.unwrap();
    let documents: Vec<Value> = (0..100).map(|id| json!({ "id": id, "text": "note" })).collect();
    index.add_documents(&documents).await.unwrap();
    let alias = json!({ "indexes": ["notes"] });
    cluster.admin().put("/_miroir/aliases/memos", &alias).await.unwrap().ok().unwrap();
    let key = json!({ "name": "mine", "actions": ["search"], "indexes": ["notes"], "expiresAt": "2050-01-01T00:00:00Z" });
    client.post("/keys", &key).await.unwrap().ok().unwrap();
    // Nobody is there, so it stays owed.
    let webhook = json!({ "url": "http://127.0.0.1:1/" });
    client.post("/webhooks", &webhook).await.unwrap().ok().unwrap();
    let refused = client.post(&index.path("/documents/delete"), &json!({ "filter": "unknown = 1" })).await;
    let failed = client.wait_for_task(refused.unwrap().ok().unwrap()["taskUid"].as_u64().unwrap()).await;
    assert_eq!(failed.unwrap()["status"], "failed");

    // One node misses a write, and that an index is gone.
    cluster.stop_node(2);
    let missed: Vec<Value> = (100..150).map(|id| json!({ "id": id, "text": "missed" })).collect();
    index.add_documents(&missed).await.unwrap();
    let deleted = client.delete("/indexes/books").await.unwrap().ok().unwrap();
    client.wait_for_task(deleted["taskUid"].as_u64().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_from_sqlite_to_redis_with_all_that_it_knows() {
    let options = Options {
        bootstrap: Bootstrap::Standalone,
        redis: true,
        shards: 16,
        config: sqlite(),
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    prepare(&mut cluster).await;
    let client = cluster.client();
    let once = client.with_header("idempotency-key", "once").unwrap();
    let once = once.with_header("x-miroir-session", "mine").unwrap();
    let document = json!([{ "id": 500, "text": "once" }]);
    let first = once.post("/indexes/notes/documents", &document).await.unwrap().ok().unwrap();
    client.wait_for_task(first["taskUid"].as_u64().unwrap()).await.unwrap();
    let (before, stale) = (everything(&cluster).await, stale_shards(&cluster, 2).await);
    assert!(!stale.is_empty());

    let is_over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(client.clone(), is_over.clone()));
    cluster.reconfigure(&json!({})).unwrap();
    check_refused(&migrate(&mut cluster), "another control plane uses this store");
    cluster.stop_control_plane();
    let migrated = migrate(&mut cluster);
    assert!(migrated.status.success(), "{migrated:?}");
    println!("{}", String::from_utf8_lossy(&migrated.stdout));
    cluster.start_control_plane().await.unwrap();

    let after = everything(&cluster).await;
    for ((path, before), (_, after)) in before.iter().zip(&after) {
        match path.starts_with("/tasks") || path.starts_with("/batches") {
            // What was written meanwhile is newer.
            true => check_ends_with(after, before),
            false if path == "/indexes" => assert_eq!(uids(after), uids(before)),
            false => assert_eq!(after, before, "{path}"),
        }
    }
    let again = once.post("/indexes/notes/documents", &document).await.unwrap().ok().unwrap();
    assert_eq!(again, first, "the answer of the first request with the key");
    check_refused(&migrate(&mut cluster), "leads on this Redis database");

    // What node 2 missed before is repaired now, and the index that was deleted is deleted there.
    cluster.start_node(2).await.unwrap();
    wait_until("the node to have what it missed", PATIENCE * 4, async || {
        Ok(stale_shards(&cluster, 2).await.is_empty())
    })
    .await
    .unwrap();
    wait_until("the index to be gone", PATIENCE * 4, async || {
        Ok(cluster.node(2).client().get("/indexes/books").await?.status == 404)
    })
    .await
    .unwrap();
    is_over.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    wait_until("all tasks to be over", PATIENCE * 4, async || {
        let unfinished = client.get("/tasks?statuses=enqueued,processing&limit=1").await?.ok()?;
        Ok(unfinished["total"] == 0)
    })
    .await
    .unwrap();
    let found = client.post("/indexes/memos/search", &json!({ "filter": "text = written" })).await.unwrap();
    assert!(count(&found.ok().unwrap()) >= acknowledged.len() as u64);
    for id in &acknowledged {
        assert_eq!(client.index("notes").document(&id.to_string()).await.unwrap().status, 200, "{id}");
    }
    let found = client.post("/indexes/memos/search", &json!({ "limit": 0 })).await.unwrap().ok().unwrap();
    assert_eq!(count(&found), client.index("notes").count().await.unwrap());
    cluster.stop_control_plane();
    check_refused(&migrate(&mut cluster), "holds the state of a cluster");
}

fn uids(indexes: &Value) -> Vec<&Value> {
    indexes["results"].as_array().unwrap().iter().map(|index| &index["uid"]).collect()
}

/// All that there was is there, and what is newer comes before it.
#[track_caller]
fn check_ends_with(after: &Value, before: &Value) {
    let (after, before) = (after["results"].as_array().unwrap(), before["results"].as_array().unwrap());
    assert!(after.ends_with(before), "{after:#?}\n{before:#?}");
}
