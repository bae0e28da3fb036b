//! Writes while a node is down, and reads after it is back.

use std::time::Duration;

use miroir_harness::{Answer, Client, wait_until};
use miroir_suites::topology::{stale_shards, wait_for_status};
use serde_json::{Value, json};

use crate::cluster;
use crate::films::{COUNT, check_whole, film, films, prepare, search};

#[track_caller]
fn check_edition(answer: &Answer, edition: u64) {
    check_whole(answer);
    let found: Value = answer.json().unwrap();
    for hit in found["hits"].as_array().unwrap() {
        assert_eq!(hit["edition"], edition, "{hit}");
    }
}

#[tokio::test]
async fn an_acknowledged_write_is_never_lost_nor_undone() {
    // So slow that the node that was away is not repaired before it is looked at.
    let mut cluster = cluster(2, json!({ "rebalance": { "documents_per_second": 10 } })).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;

    cluster.stop_node(1);
    // At once, and when everybody knows.
    for edition in [2, 3] {
        let task = index.add_documents(&films(edition)).await.unwrap();
        assert_eq!(task["details"], json!({ "receivedDocuments": COUNT, "indexedDocuments": COUNT }));
        check_edition(&search(&client, 0).await, edition);
        wait_for_status(&cluster, 1, "down").await;
    }
    let gone = json!([COUNT, COUNT + 1]);
    index.add_documents(&[film(COUNT, 3), film(COUNT + 1, 3)]).await.unwrap();
    let deleted = client.post("/indexes/films/documents/delete-batch", &gone).await.unwrap();
    let task = client.wait_for_success(&deleted).await.unwrap();
    assert_eq!(task["details"]["deletedDocuments"], 2);
    assert!(!stale_shards(&cluster, 1).await.is_empty());
    assert!(stale_shards(&cluster, 0).await.is_empty() && stale_shards(&cluster, 2).await.is_empty());

    cluster.start_node(1).await.unwrap();
    let up = async || {
        check_edition(&search(&client, 0).await, 3);
        Ok(miroir_suites::topology::status(&cluster, 1).await == "up")
    };
    wait_until("node 1 to be up", Duration::from_secs(30), up).await.unwrap();
    // It holds the first edition, and is not asked for it.
    let old =
        cluster.node(1).client().index("films").search(&json!({ "filter": "edition = 1" })).await.unwrap();
    assert_ne!(old["hits"], json!([]));
    for number in 0..20 {
        check_edition(&search(&client, number).await, 3);
    }
    for id in 0..COUNT {
        assert_eq!(index.document(&id.to_string()).await.unwrap().ok().unwrap(), film(id, 3));
    }
    assert_eq!(index.document(&COUNT.to_string()).await.unwrap().status, 404);

    // What is written now goes to all copies.
    index.add_documents(&films(4)).await.unwrap();
    for number in 0..10 {
        check_edition(&search(&client, number).await, 4);
    }
}

async fn tasks(client: &Client) -> u64 {
    client.get("/tasks").await.unwrap().ok().unwrap()["total"].as_u64().unwrap()
}

#[track_caller]
fn check_no_quorum(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_deref()),
        (503, Some("miroir_no_quorum")),
        "{}",
        answer.text()
    );
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn without_a_quorum_nothing_is_acknowledged() {
    let mut cluster = cluster(2, json!({ "write_quorum": 2 })).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    let before = tasks(&client).await;

    cluster.stop_node(0);
    for _ in 0..2 {
        check_no_quorum(&index.post_documents(&films(2)).await.unwrap());
        let ids: Vec<u64> = (0..COUNT).collect();
        check_no_quorum(&client.post("/indexes/films/documents/delete-batch", &ids).await.unwrap());
        wait_for_status(&cluster, 0, "down").await;
    }
    assert_eq!(tasks(&client).await, before);

    // Doing the same again does what was asked for.
    cluster.start_node(0).await.unwrap();
    wait_for_status(&cluster, 0, "up").await;
    index.add_documents(&films(3)).await.unwrap();
    for number in 0..10 {
        check_edition(&search(&client, number).await, 3);
    }
}

#[tokio::test]
async fn with_one_copy_writes_to_a_node_that_is_down_are_not_acknowledged() {
    let mut cluster = cluster(1, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.stop_node(0);
    for _ in 0..2 {
        check_no_quorum(&index.post_documents(&films(2)).await.unwrap());
        wait_for_status(&cluster, 0, "down").await;
    }
    // What other nodes hold can still be written.
    let mut written = 0;
    for id in 0..20 {
        let answer = index.post_documents(&[film(id, 3)]).await.unwrap();
        if answer.status == 202 {
            client.wait_for_success(&answer).await.unwrap();
            assert_eq!(index.document(&id.to_string()).await.unwrap().ok().unwrap(), film(id, 3));
            written += 1;
        }
    }
    assert!(0 < written && written < 20, "{written}");
    cluster.start_node(0).await.unwrap();
    wait_for_status(&cluster, 0, "up").await;
    index.add_documents(&films(4)).await.unwrap();
    check_edition(&search(&client, 0).await, 4);
}

/// Indexes and settings that were made while it was away.
#[tokio::test]
async fn a_node_that_is_back_is_in_step_before_it_serves() {
    let mut cluster = cluster(2, json!({})).await;
    let client = cluster.client();
    prepare(&cluster).await;
    client.create_index("old", None).await.unwrap();
    cluster.stop_node(2);
    wait_for_status(&cluster, 2, "down").await;

    let index = client.index("films");
    index.update_settings(&json!({ "filterableAttributes": ["genre", "edition", "title"] })).await.unwrap();
    let new = client.create_index("new", Some("sku")).await.unwrap();
    new.update_settings(&json!({ "sortableAttributes": ["sku"] })).await.unwrap();
    let deleted = client.delete("/indexes/old").await.unwrap();
    client.wait_for_success(&deleted).await.unwrap();

    cluster.start_node(2).await.unwrap();
    let filter = json!({ "filter": "title = \"film 7\"" });
    let up = async || {
        let is_up = miroir_suites::topology::status(&cluster, 2).await == "up";
        // Until then and after, searches that need the new settings are answered.
        assert_eq!(index.search(&filter).await?["estimatedTotalHits"], 1);
        new.search(&json!({ "sort": ["sku:asc"] })).await?;
        Ok(is_up)
    };
    wait_until("node 2 to be up", Duration::from_secs(30), up).await.unwrap();

    let node = cluster.node(2).client();
    let filterable = node.get("/indexes/films/settings/filterable-attributes").await.unwrap().text();
    assert!(filterable.contains("title"), "{filterable}");
    assert_eq!(node.get("/indexes/new").await.unwrap().ok().unwrap()["primaryKey"], "sku");
    assert_eq!(node.get("/indexes/old").await.unwrap().status, 404);
    new.add_documents(&(0..50).map(|sku| json!({ "sku": sku })).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(new.count().await.unwrap(), 50);
    check_whole(&search(&client, 0).await);
}
