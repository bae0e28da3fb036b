//! Replacing, merging, deleting, and what the tasks tell of it.

use miroir_harness::Client;
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

async fn contents(client: &Client, index: &str) -> Vec<Value> {
    let found = client.index(index).search(&json!({ "limit": 1000 })).await.unwrap();
    let mut hits = found["hits"].as_array().cloned().unwrap();
    hits.sort_by_key(|hit| hit["id"].to_string());
    hits
}

#[tokio::test]
async fn post_replaces_and_put_merges() {
    let pair = PAIR.get().await;
    let held = pair.same(async |client| {
        let path = "/indexes/merging/documents";
        let first = json!([{ "id": 1, "a": 1, "b": { "c": 1 } }, { "id": 2, "a": 1 }, { "id": 3, "a": 1 }]);
        let second = json!([{ "id": 1, "x": 1 }, { "id": 4, "x": 1 }]);
        let third = json!([{ "id": 2, "x": 1 }, { "id": 1, "b": { "d": 2 } }, { "id": 5, "x": 1 }]);
        let tasks = [
            finished(&client, client.post(path, &first).await).await,
            finished(&client, client.post(path, &second).await).await,
            finished(&client, client.put(path, &third).await).await,
        ];
        (tasks, contents(&client, "merging").await)
    });
    let (_, documents) = held.await;
    assert_eq!(
        json!(documents),
        json!([
            { "id": 1, "x": 1, "b": { "d": 2 } },
            { "id": 2, "a": 1, "x": 1 },
            { "id": 3, "a": 1 },
            { "id": 4, "x": 1 },
            { "id": 5, "x": 1 },
        ])
    );
}

#[tokio::test]
async fn deletions_count_each_document_once() {
    let pair = PAIR.get().await;
    let documents: Vec<Value> = (0..100).map(|id| json!({ "id": id })).collect();
    let tasks = pair.same(async |client| {
        let path = "/indexes/deleting/documents";
        finished(&client, client.post(path, &documents).await).await;
        let batch: Vec<Value> =
            (10..60).map(|id| json!(id)).chain([json!("60"), json!("absent"), json!(1000)]).collect();
        [
            finished(&client, client.delete(&format!("{path}/3")).await).await,
            finished(&client, client.delete(&format!("{path}/3")).await).await,
            finished(&client, client.post(&format!("{path}/delete-batch"), &batch).await).await,
            finished(&client, client.post(&format!("{path}/delete-batch"), &json!([])).await).await,
            finished(&client, client.post(&format!("{path}/delete-batch"), &json!(["absent"])).await).await,
        ]
    });
    let tasks = tasks.await;
    assert_eq!(
        tasks[2]["details"],
        json!({ "providedIds": 53, "deletedDocuments": 51, "originalFilter": null })
    );
    let left = pair.same(async |client| {
        let gone = client.index("deleting").document("3").await.unwrap();
        (contents(&client, "deleting").await, client.index("deleting").count().await.unwrap(), gone.code())
    });
    assert_eq!(left.await.1, 100 - 1 - 51);
}

#[tokio::test]
async fn a_task_that_is_over_is_seen_by_every_search() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let index = client.index("seen");
    for round in 0..10 {
        index
            .add_documents(&[json!({ "id": "same", "round": round }), json!({ "id": round })])
            .await
            .unwrap();
        let document = index.document("same").await.unwrap().ok().unwrap();
        assert_eq!(document["round"], round);
        // Queries that differ ask different replicas.
        for query in
            [json!({ "limit": 100 }), json!({ "limit": 100, "q": "" }), json!({ "hitsPerPage": 100 })]
        {
            let found = index.search(&query).await.unwrap();
            let hits = found["hits"].as_array().unwrap();
            assert_eq!(hits.len(), round + 2, "{query} in round {round}");
            let same = hits.iter().find(|hit| hit["id"] == "same").unwrap();
            assert_eq!(same["round"], round);
        }
    }
}
