//! Large bodies, and many clients at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::PAIR;

#[tokio::test]
async fn a_body_of_tens_of_megabytes_is_taken_whole() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let index = client.create_index("large", Some("id")).await.unwrap();
    // Only the ids are indexed: this is about getting there.
    index.update_settings(&json!({ "searchableAttributes": ["id"] })).await.unwrap();
    let text = "Ein längerer Text. ".repeat(600);
    let documents: Vec<Value> = (0..2500).map(|id| json!({ "id": id, "text": text, "n": id })).collect();
    assert!(serde_json::to_vec(&documents).unwrap().len() > 25_000_000);
    let task = index.add_documents(&documents).await.unwrap();
    assert_eq!(task["details"], json!({ "receivedDocuments": 2500, "indexedDocuments": 2500 }));
    assert_eq!(index.count().await.unwrap(), 2500);
    for id in [0, 1, 1249, 2498, 2499] {
        assert_eq!(index.document(&id.to_string()).await.unwrap().ok().unwrap(), documents[id]);
    }
}

#[tokio::test]
async fn many_clients_may_begin_an_index_at_once() {
    const CLIENTS: usize = 16;
    const EACH: usize = 10;
    let pair = PAIR.get().await;
    let tasks = (0..CLIENTS).map(|number| {
        let client = pair.miroir.client();
        async move {
            let documents: Vec<Value> =
                (0..EACH).map(|n| json!({ "sku": number * EACH + n, "by": number })).collect();
            let answer = client.post("/indexes/rush/documents?primaryKey=sku", &documents).await.unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text());
            client.wait_for_success(&answer).await.unwrap()
        }
    });
    let uids: BTreeSet<u64> =
        join_all(tasks).await.iter().map(|task| task["uid"].as_u64().unwrap()).collect();
    assert_eq!(uids.len(), CLIENTS);
    let index = pair.miroir.client().index("rush");
    let found = index.search(&json!({ "limit": 1000 })).await.unwrap();
    let ids: BTreeSet<u64> =
        found["hits"].as_array().unwrap().iter().map(|hit| hit["sku"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..(CLIENTS * EACH) as u64).collect());
    assert_eq!(index.count().await.unwrap(), (CLIENTS * EACH) as u64);
}
