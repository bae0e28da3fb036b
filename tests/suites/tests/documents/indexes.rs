//! Indexes: create, get, list, update, delete; and their statistics.

use std::time::Duration;

use miroir_harness::{Client, wait_for};
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

/// An index without its times.
fn timeless(mut index: Value) -> Value {
    for time in ["createdAt", "updatedAt"] {
        if let Some(value) = index.get_mut(time) {
            *value = json!(value.is_string());
        }
    }
    index
}

async fn get(client: &Client, uid: &str) -> (u16, Value) {
    let answer = client.get(&format!("/indexes/{uid}")).await.unwrap();
    (answer.status, timeless(answer.json().unwrap()))
}

#[tokio::test]
async fn an_index_lives_as_on_one_node() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        let create = async |body: Value| finished(&client, client.post("/indexes", &body).await).await;
        let mut seen = vec![
            create(json!({ "uid": "life", "primaryKey": "sku" })).await,
            create(json!({ "uid": "life" })).await,
            create(json!({ "uid": "life-without-key" })).await,
        ];
        let mut found = vec![get(&client, "life").await, get(&client, "life-without-key").await];
        let patch = async |uid: &str, body: Value| {
            finished(&client, client.patch(&format!("/indexes/{uid}"), &body).await).await
        };
        seen.push(patch("life-without-key", json!({ "primaryKey": "id" })).await);
        seen.push(patch("life", json!({ "primaryKey": "other" })).await);
        seen.push(patch("life-absent", json!({ "primaryKey": "other" })).await);
        finished(&client, client.post("/indexes/life/documents", &json!([{ "other": 1 }])).await).await;
        seen.push(patch("life", json!({ "primaryKey": "sku" })).await);
        found.push(get(&client, "life").await);
        seen.push(finished(&client, client.delete("/indexes/life").await).await);
        seen.push(finished(&client, client.delete("/indexes/life").await).await);
        found.push(get(&client, "life").await);
        // It can be made again, and is empty.
        seen.push(create(json!({ "uid": "life" })).await);
        found.push(get(&client, "life").await);
        let count = client.index("life").count().await.unwrap();
        (seen, found, count)
    })
    .await;
}

#[tokio::test]
async fn indexes_are_listed() {
    let pair = PAIR.get().await;
    let listed = pair.same(async |client| {
        for uid in ["list-c", "list-a", "list-b"] {
            client.create_index(uid, None).await.unwrap();
        }
        let all = client.get("/indexes?limit=1000").await.unwrap().ok().unwrap();
        let uids = all["results"].as_array().unwrap().iter().map(|index| index["uid"].as_str().unwrap());
        let ours: Vec<String> = uids.filter(|uid| uid.starts_with("list-")).map(str::to_owned).collect();
        let page = client.get("/indexes?limit=1&offset=1").await.unwrap().ok().unwrap();
        (ours, page["results"].as_array().unwrap().len(), page["limit"].clone(), page["offset"].clone())
    });
    assert_eq!(listed.await.0, ["list-a", "list-b", "list-c"]);
}

#[tokio::test]
async fn statistics_count_each_document_once() {
    let pair = PAIR.get().await;
    let documents: Vec<Value> = (0..200)
        .map(|id| if id % 2 == 0 { json!({ "id": id, "even": 1 }) } else { json!({ "id": id }) })
        .collect();
    let settled = async |client: &Client| {
        wait_for("the index to be at rest", Duration::from_secs(30), async || {
            let stats = client.get("/indexes/counted/stats").await?.ok()?;
            Ok((stats["isIndexing"] == false).then_some(stats))
        })
        .await
        .unwrap()
    };
    let stats = pair.same(async |client| {
        finished(&client, client.post("/indexes/counted/documents", &documents).await).await;
        let stats = settled(&client).await;
        let all = client.get("/stats").await.unwrap().ok().unwrap();
        let of_all = all["indexes"]["counted"]["numberOfDocuments"].clone();
        let fields: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
        (stats["numberOfDocuments"].clone(), stats["fieldDistribution"].clone(), of_all, fields)
    });
    let (count, distribution, ..) = stats.await;
    assert_eq!((count, distribution), (json!(200), json!({ "even": 100, "id": 200 })));
}
