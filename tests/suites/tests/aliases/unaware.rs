//! An Envoy that does not hear of a change, and a control plane that is killed in the middle of one.

use std::time::Duration;

use miroir_harness::{Client, Options, Way, wait_until};
use serde_json::{Value, json};

use crate::{cluster, film, films, refusal, refused, set};

const PATIENCE: Duration = Duration::from_secs(60);

/// Writes until it is taken, as clients do that are told to retry.
async fn written(client: &Client, path: &str, documents: &Value) -> Value {
    let mut task = Value::Null;
    wait_until("a write to be taken", PATIENCE, async || {
        let answer = client.post(path, documents).await?;
        if answer.status == 503 {
            return Ok(false);
        }
        task = answer.ok()?;
        Ok(true)
    })
    .await
    .unwrap();
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_missed_a_flip_writes_nothing_to_the_index_before() {
    let cluster = cluster(Options { envoys: 2, controlled_ways: true, ..Options::default() }).await;
    let client = cluster.client();
    let (v1, v2) = (films(&client, "v1", 1).await, films(&client, "v2", 2).await);
    set(&cluster, "current", &["v1"]).await;
    let unaware = cluster.client_of(1);
    unaware.index("current").search(&json!({})).await.unwrap();
    cluster.set_way_of_xds(1, Way::Cut);
    set(&cluster, "current", &["v2"]).await;
    set(&cluster, "fresh", &["v2"]).await;

    let count = v1.count().await.unwrap();
    for path in ["/indexes/current/documents", "/indexes/fresh/documents"] {
        let answer = unaware.post(path, &json!([film(5000, 3)])).await.unwrap();
        assert_eq!(refusal(&answer), refused(503, "miroir_routing_stale"), "{path}: {}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(v1.count().await.unwrap(), count);
    assert_eq!(client.get("/indexes/fresh").await.unwrap().ok().unwrap()["uid"], "v2");
    for node in cluster.nodes() {
        assert_eq!(node.client().get("/indexes/fresh").await.unwrap().status, 404);
    }
    cluster.set_way_of_xds(1, Way::Open);
    for (path, id) in [("/indexes/current/documents", 5000), ("/indexes/fresh/documents", 5001)] {
        let task = written(&unaware, path, &json!([film(id, 3)])).await;
        assert_eq!(task["indexUid"], "v2");
        client.wait_for_task(task["taskUid"].as_u64().unwrap()).await.unwrap();
        assert_eq!(v2.document(&id.to_string()).await.unwrap().status, 200);
        assert_eq!(v1.document(&id.to_string()).await.unwrap().status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_control_plane_was_killed_in_is_made_or_not() {
    let mut cluster = cluster(Options::default()).await;
    let client = cluster.client();
    let indexes = [films(&client, "v1", 1).await, films(&client, "v2", 2).await];
    set(&cluster, "current", &["v1"]).await;
    for round in 0..4u64 {
        let target = ["v2", "v1"][round as usize % 2];
        let admin = cluster.admin();
        let change = tokio::spawn(async move {
            admin.put("/_miroir/aliases/current", &json!({ "indexes": [target] })).await
        });
        tokio::time::sleep(Duration::from_millis(round * 4)).await;
        cluster.stop_control_plane();
        let answered = change.await.unwrap().is_ok_and(|answer| answer.status == 200);
        // Reads go on: each goes by one meaning or the other.
        let found =
            client.index("current").search(&json!({ "limit": 200, "filter": "edition < 3" })).await.unwrap();
        let editions: Vec<&Value> =
            found["hits"].as_array().unwrap().iter().map(|hit| &hit["edition"]).collect();
        assert!(editions.iter().all(|edition| *edition == editions[0]), "{editions:?}");
        cluster.start_control_plane().await.unwrap();
        let alias = cluster.admin().get("/_miroir/aliases/current").await.unwrap().ok().unwrap();
        let meant = alias["indexes"][0].as_str().unwrap();
        assert!(!answered || meant == target, "an answered change is lost: {alias}");
        // Whatever it means now, writes go there and there alone.
        let id = 7000 + round;
        let task = written(&client, "/indexes/current/documents", &json!([film(id, 3)])).await;
        assert_eq!(task["indexUid"], meant);
        client.wait_for_task(task["taskUid"].as_u64().unwrap()).await.unwrap();
        for index in &indexes {
            let expected = if index.uid() == meant { 200 } else { 404 };
            assert_eq!(index.document(&id.to_string()).await.unwrap().status, expected);
        }
        set(&cluster, "current", &[target]).await;
    }
}
