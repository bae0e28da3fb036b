//! `X-Miroir-Session`.

use std::time::Duration;

use futures::future::join_all;
use miroir_harness::{Answer, Client, Cluster, Index, Options, Way, wait_until};
use miroir_suites::topology::stale_shards;
use serde_json::{Value, json};

use crate::{document, options, prepare, start};

const PATIENCE: Duration = Duration::from_secs(60);
const BEHIND: &str = "x-miroir-session-behind";

fn in_session(client: &Client, session: &str) -> Client {
    client.with_header("x-miroir-session", session).unwrap()
}

/// Writes one document; the task.
async fn write(client: &Client, index: &Index, id: u64, edition: u64) -> u64 {
    let answer = client.post(&index.path("/documents"), &json!([document(id, edition)])).await.unwrap();
    answer.ok().unwrap()["taskUid"].as_u64().unwrap()
}

/// The editions of a document that each way to read it finds, with the answers.
async fn read(client: &Client, index: &Index, id: u64, edition: u64) -> Vec<(Option<u64>, Answer)> {
    let query = json!({ "filter": format!("edition = {edition}"), "limit": 1000 });
    let search = client.post(&index.path("/search"), &query).await.unwrap();
    let mut federated = query.clone();
    federated["indexUid"] = index.uid().into();
    let multi = client.post("/multi-search", &json!({ "queries": [federated] })).await.unwrap();
    let get = client.get(&index.path(&format!("/documents/{id}"))).await.unwrap();
    let fetch = client.post(&index.path("/documents/fetch"), &query).await.unwrap();
    let list = client.get(&index.path("/documents?limit=1000")).await.unwrap();
    let edition_in = |answer: &Answer, place: &str| {
        let found: Value = answer.json().unwrap();
        let found = found.pointer(place)?.as_array()?.iter().find(|document| document["id"] == id);
        found.and_then(|document| document["edition"].as_u64())
    };
    vec![
        (edition_in(&search, "/hits"), search),
        (edition_in(&multi, "/results/0/hits"), multi),
        (get.json::<Value>().unwrap()["edition"].as_u64(), get),
        (edition_in(&fetch, "/results"), fetch),
        (edition_in(&list, "/results"), list),
    ]
}

#[track_caller]
fn check_fresh(answers: &[(Option<u64>, Answer)], edition: u64) {
    for (found, answer) in answers {
        assert_eq!((answer.status, answer.header(BEHIND)), (200, None), "{}", answer.text());
        assert_eq!(*found, Some(edition), "{}", answer.text());
    }
}

/// Writes by one Envoy and reads by the other, so many times.
async fn write_and_read(cluster: &Cluster, index: &Index, times: u64) {
    for edition in 1..=times {
        let envoy = (edition % 2) as usize;
        let session = format!("cart-{}", edition % 5);
        let id = edition % 7;
        write(&in_session(&cluster.client_of(envoy), &session), index, id, edition).await;
        let answers = read(&in_session(&cluster.client_of(1 - envoy), &session), index, id, edition).await;
        check_fresh(&answers, edition);
    }
}

#[tokio::test]
async fn what_a_session_has_written_it_reads() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    write_and_read(&cluster, &index, 40).await;

    // Of several indexes all writes are waited for, and what is deleted is gone.
    let books = prepare(&cluster, "books").await;
    let client = in_session(&cluster.client(), "s");
    let documents: Vec<Value> = (0..2000).map(|id| document(id, 50)).collect();
    index.with_client(&client).post_documents(&documents).await.unwrap();
    write(&client, &books, 1, 51).await;
    client.delete(&books.path("/documents/1")).await.unwrap();
    let other = in_session(&cluster.client_of(1), "s");
    let queries = json!({ "queries": [
        { "indexUid": "films", "filter": "edition = 50" }, { "indexUid": "books" },
    ] });
    let found = other.post("/multi-search", &queries).await.unwrap().ok().unwrap();
    let totals: Vec<&Value> = (0..2).map(|place| &found["results"][place]["estimatedTotalHits"]).collect();
    assert_eq!(totals, [2000, 0]);
    // A session that has written nothing has nothing to wait for.
    check_fresh(&read(&in_session(&cluster.client(), "another"), &index, 7, 50).await, 50);

    for (session, is_valid) in [("s".repeat(128), true), ("s".repeat(129), false), ("a b".into(), false)] {
        let client = in_session(&cluster.client(), &session);
        let answers = [
            client.get(&index.path("/documents/1")).await.unwrap(),
            client.post(&index.path("/documents"), &json!([document(1, 1)])).await.unwrap(),
            client.patch(&index.path("/settings"), &json!({ "stopWords": ["a"] })).await.unwrap(),
        ];
        for answer in answers {
            let expected = (!is_valid).then_some("miroir_invalid_session");
            assert_eq!(answer.code().as_deref(), expected, "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_slow_node_is_waited_for_up_to_a_limit() {
    let config = json!({
        "sessions": { "wait_ms": 1500 },
        "timeouts": { "read_ms": 1000 },
        "health": { "interval_ms": 3_600_000 },
    });
    let cluster = start(Options { controlled_ways: true, ..options(config) }).await;
    let index = prepare(&cluster, "films").await;
    cluster.node(0).set_way(Way::Slow(Duration::from_millis(30)));
    write_and_read(&cluster, &index, 6).await;

    // Nobody knows whether it has done its part.
    cluster.node(0).set_way(Way::Open);
    let client = in_session(&cluster.client(), "s");
    // Of so many documents some are the node's.
    let documents: Vec<Value> = (0..500).map(|id| document(id, 10)).collect();
    let answer = index.with_client(&client).post_documents(&documents).await.unwrap();
    cluster.node(0).set_way(Way::Stalled);
    let task = answer.ok().unwrap()["taskUid"].as_u64().unwrap();
    let is_over = async || {
        let task = client.get(&format!("/tasks/{task}")).await.unwrap().ok().unwrap();
        task["status"] == "succeeded"
    };
    // It may have been quick.
    if !is_over().await {
        let answer = in_session(&cluster.client_of(1), "s").get(&index.path("/documents/1")).await.unwrap();
        assert_eq!((answer.status, answer.header(BEHIND)), (200, Some(&*task.to_string())));
    }
    cluster.node(0).set_way(Way::Open);
    wait_until("the task to be over", PATIENCE, async || Ok(is_over().await)).await.unwrap();
    check_fresh(&read(&in_session(&cluster.client_of(1), "s"), &index, 1, 10).await, 10);
}

#[tokio::test]
async fn a_copy_that_failed_to_take_the_write_is_not_read() {
    if std::env::var_os("MEILISEARCH_BIN").is_some() {
        return; // A real server can't be asked to fail.
    }
    let config = json!({ "sessions": { "wait_ms": 1500 } });
    let cluster = start(Options { controlled_ways: true, node_faults: true, ..options(config) }).await;
    let index = prepare(&cluster, "films").await;
    // All but this one do their part, and each of the others has all that was written before.
    let fail = async |node: usize| {
        wait_until("all copies to be clean", PATIENCE, async || {
            let stale = [0, 1, 2].map(|node| stale_shards(&cluster, node));
            Ok(join_all(stale).await.iter().all(Vec::is_empty))
        })
        .await
        .unwrap();
        for other in 0..3 {
            let orders = json!({ "failTasks": u64::from(other == node) });
            assert!(cluster.node(other).client().put("/test-faults", &orders).await.unwrap().status < 300);
        }
    };
    for edition in 1..=3 {
        fail(edition as usize % 3).await;
        let envoy = (edition % 2) as usize;
        write(&in_session(&cluster.client_of(envoy), "s"), &index, 1, edition).await;
        let answers = read(&in_session(&cluster.client_of(1 - envoy), "s"), &index, 1, edition).await;
        check_fresh(&answers, edition);
    }

    // An Envoy that does not hear which copy that is says so, before and after others have given it up.
    fail(0).await;
    cluster.set_way_of_xds(1, Way::Stalled);
    let documents: Vec<Value> = (0..100).map(|id| document(id, 20)).collect();
    let client = in_session(&cluster.client(), "s");
    let answer = index.with_client(&client).post_documents(&documents).await.unwrap();
    let task = answer.ok().unwrap()["taskUid"].as_u64().unwrap();
    let far = in_session(&cluster.client_of(1), "s");
    let behind = async || {
        let answer = far.get(&index.path("/documents/1")).await.unwrap();
        answer.header(BEHIND).map(str::to_owned)
    };
    assert_eq!(behind().await, Some(task.to_string()));
    cluster.client().wait_for_task(task).await.unwrap();
    assert_eq!(behind().await, Some(task.to_string()));
    check_fresh(&read(&client, &index, 1, 20).await, 20);
    cluster.set_way_of_xds(1, Way::Open);
    wait_until("the Envoy to hear of it", PATIENCE, async || Ok(behind().await.is_none())).await.unwrap();
    for id in 0..100 {
        let answer = far.get(&index.path(&format!("/documents/{id}"))).await.unwrap();
        assert_eq!((answer.ok().unwrap()["edition"].as_u64(), answer.header(BEHIND)), (Some(20), None));
    }
}

#[tokio::test]
async fn a_session_outlives_the_control_plane() {
    let mut cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    for edition in 1..=3 {
        write(&in_session(&cluster.client(), "s"), &index, 1, edition).await;
        cluster.stop_control_plane();
        let answer = in_session(&cluster.client_of(1), "s").get(&index.path("/documents/1")).await.unwrap();
        assert_eq!(answer.header(BEHIND), Some("unknown"), "{}", answer.text());
        // Without a session nothing is missed.
        let plain = cluster.client_of(1).get(&index.path("/documents")).await.unwrap();
        assert_eq!((plain.status, plain.header(BEHIND)), (200, None));
        cluster.start_control_plane().await.unwrap();
        // Envoy may still be looking for it.
        let reader = in_session(&cluster.client_of(1), "s");
        wait_until("the control plane to be asked", PATIENCE, async || {
            let answer = reader.get(&index.path("/documents/1")).await?;
            let is_known = answer.header(BEHIND).is_none();
            assert!(!is_known || answer.ok()?["edition"] == edition, "{}", answer.text());
            Ok(is_known)
        })
        .await
        .unwrap();
    }
}
