//! What the embedded node has not: only with `MEILISEARCH_BIN`.

use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::{PAIR, documents};

/// Whether nodes are real servers.
fn nodes_are_real() -> bool {
    let real = std::env::var_os("MEILISEARCH_BIN").is_some_and(|path| !path.is_empty());
    if !real {
        eprintln!("only with MEILISEARCH_BIN: the embedded node has no such route");
    }
    real
}

#[tokio::test]
async fn fields_are_listed_without_the_tag() {
    if !nodes_are_real() {
        return;
    }
    let pair = PAIR.get().await;
    pair.same(async |client| {
        let settings = json!({ "displayedAttributes": ["id", "a"], "filterableAttributes": ["a", "x.y"], "sortableAttributes": ["b"],
                               "rankingRules": ["words", "b:desc"], "searchableAttributes": ["a", "c"] });
        client.create_index("fielded", Some("id")).await.unwrap();
        finished(&client, client.patch("/indexes/fielded/settings", &settings).await).await;
        let all: Vec<Value> = (0..40)
            .map(|id| json!({ "id": id, "a": 1, "b": 2, format!("only-{id}"): 1, "x": { "y": 1 }, "c": "d" }))
            .collect();
        finished(&client, client.post("/indexes/fielded/documents", &all).await).await;
        let mut answers = Vec::new();
        for query in [
            json!({}),
            json!({ "limit": 200 }),
            json!({ "offset": 3, "limit": 2 }),
            json!({ "filter": { "displayed": true } }),
            json!({ "filter": { "filterable": true, "displayed": false } }),
            json!({ "filter": { "sortable": true, "rankingRule": true } }),
            json!({ "filter": { "attributePatterns": ["only-1*", "a"] } }),
            json!({ "filter": { "searchable": true, "distinct": false } }),
            json!({ "filter": { "no": 1 } }),
            json!({ "limit": -1 }),
            json!([]),
        ] {
            let answer = client.post("/indexes/fielded/fields", &query).await.unwrap();
            answers.push((query, answer.status, answer.json::<Value>().unwrap()));
        }
        let absent = client.post("/indexes/fielded-absent/fields", &json!({})).await.unwrap();
        (answers, absent.status, absent.text())
    })
    .await;
}

#[tokio::test]
async fn indexes_are_compacted() {
    if !nodes_are_real() {
        return;
    }
    let pair = PAIR.get().await;
    pair.same(async |client| {
        let index = client.create_index("compacted", Some("id")).await.unwrap();
        index.add_documents(&documents(0..50)).await.unwrap();
        let mut task = finished(&client, client.post("/indexes/compacted/compact", &json!({})).await).await;
        for size in ["preCompactionSize", "postCompactionSize"] {
            let shown = task["details"][size].as_str().unwrap().to_owned();
            assert!(shown.ends_with('B'), "{shown}");
            task["details"][size] = json!(null);
        }
        let absent =
            finished(&client, client.post("/indexes/compacted-absent/compact", &json!({})).await).await;
        (task, absent, index.count().await.unwrap())
    })
    .await;
}
