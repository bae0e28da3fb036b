//! Swapping and renaming, as on one node.

use miroir_harness::Client;
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::{PAIR, documents};

async fn swap(client: &Client, pairs: Value) -> Value {
    finished(client, client.post("/swap-indexes", &pairs).await).await
}

/// What an index is and holds: when it was made only as it compares to `other`.
async fn contents(client: &Client, uid: &str) -> Value {
    let mut index = client.get(&format!("/indexes/{uid}")).await.unwrap().json::<Value>().unwrap();
    if let Some(fields) = index.as_object_mut() {
        fields.retain(|name, _| !["createdAt", "updatedAt"].contains(&&**name));
    }
    let found = client.post(&format!("/indexes/{uid}/search"), &json!({ "limit": 100 })).await.unwrap();
    let mut hits: Vec<String> = match found.json::<Value>().unwrap()["hits"].as_array() {
        Some(hits) => hits.iter().map(Value::to_string).collect(),
        None => vec![found.status.to_string()],
    };
    hits.sort();
    let settings = client.get(&format!("/indexes/{uid}/settings/stop-words")).await.unwrap();
    json!([index, hits, settings.json::<Value>().unwrap()])
}

async fn created_at(client: &Client, uid: &str) -> String {
    client.get(&format!("/indexes/{uid}")).await.unwrap().ok().unwrap()["createdAt"].to_string()
}

async fn prepare(client: &Client, uids: &[&str]) {
    for (number, uid) in (0..).zip(uids) {
        let key = if number % 2 == 0 { "id" } else { "sku" };
        client.create_index(uid, Some(key)).await.unwrap();
        let documents: Vec<Value> = (0..10).map(|id| json!({ key: id + number * 100 })).collect();
        finished(client, client.post(&format!("/indexes/{uid}/documents"), &documents).await).await;
        let settings = client.index(uid).update_settings(&json!({ "stopWords": [uid] })).await;
        settings.unwrap();
    }
}

#[tokio::test]
async fn swapped_indexes_exchange_all_but_their_uids() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        prepare(&client, &["swap-a", "swap-b", "swap-c", "swap-d"]).await;
        let [a, b] = [created_at(&client, "swap-a").await, created_at(&client, "swap-b").await];
        let mut seen = vec![
            swap(&client, json!([{ "indexes": ["swap-a", "swap-b"] }, { "indexes": ["swap-c", "swap-d"], "rename": false }]))
                .await,
        ];
        for uid in ["swap-a", "swap-b", "swap-c", "swap-d"] {
            seen.push(contents(&client, uid).await);
        }
        let exchanged = [created_at(&client, "swap-b").await == a, created_at(&client, "swap-a").await == b];
        // Each goes on under its new uid.
        finished(&client, client.post("/indexes/swap-a/documents", &json!([{ "sku": 7, "new": 1 }])).await).await;
        finished(&client, client.post("/indexes/swap-b/documents", &json!([{ "id": 7, "new": 1 }])).await).await;
        seen.push(contents(&client, "swap-a").await);
        seen.push(contents(&client, "swap-b").await);
        // So do the tasks of before.
        let tasks = client.get("/tasks?indexUids=swap-a&types=settingsUpdate").await.unwrap().ok().unwrap();
        seen.push(tasks["results"][0]["details"].clone());
        seen.push(swap(&client, json!([{ "indexes": ["swap-b", "swap-a"] }])).await);
        seen.push(contents(&client, "swap-a").await);
        seen.push(swap(&client, json!([])).await);
        (seen, exchanged)
    })
    .await;
}

#[tokio::test]
async fn a_renamed_index_is_the_same_under_another_uid() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        prepare(&client, &["name-a", "name-b", "name-c"]).await;
        let made = created_at(&client, "name-a").await;
        let patch = async |uid: &str, body: Value| {
            finished(&client, client.patch(&format!("/indexes/{uid}"), &body).await).await
        };
        let mut seen = vec![patch("name-a", json!({ "uid": "name-new" })).await];
        let same = created_at(&client, "name-new").await == made;
        seen.push(contents(&client, "name-new").await);
        seen.push(contents(&client, "name-a").await);
        seen.push(swap(&client, json!([{ "indexes": ["name-new", "name-newer"], "rename": true }])).await);
        seen.push(contents(&client, "name-newer").await);
        // The old uid is free.
        finished(&client, client.post("/indexes/name-new/documents", &json!(documents(0..3))).await).await;
        seen.push(contents(&client, "name-new").await);
        seen.push(contents(&client, "name-newer").await);
        // What can't be.
        seen.push(patch("name-b", json!({ "uid": "name-c" })).await);
        seen.push(patch("name-absent", json!({ "uid": "name-d" })).await);
        seen.push(patch("name-b", json!({ "uid": "name-b" })).await);
        seen.push(contents(&client, "name-b").await);
        (seen, same)
    })
    .await;
}

#[tokio::test]
async fn a_renaming_may_set_the_primary_key_too() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        client.create_index("key-a", None).await.unwrap();
        let body = json!({ "uid": "key-b", "primaryKey": "sku" });
        let task = finished(&client, client.patch("/indexes/key-a", &body).await).await;
        finished(
            &client,
            client.post("/indexes/key-b/documents", &json!([{ "sku": 1 }, { "sku": 2 }])).await,
        )
        .await;
        (task, contents(&client, "key-b").await)
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_swapped_is_refused_as_meilisearch_refuses_it() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        prepare(&client, &["bad-a", "bad-b"]).await;
        let mut tasks = Vec::new();
        for pairs in [
            json!([{ "indexes": ["bad-a", "bad-absent"] }]),
            json!([{ "indexes": ["bad-absent", "bad-a"] }]),
            json!([{ "indexes": ["bad-absent", "bad-gone"] }, { "indexes": ["bad-a", "bad-b"] }]),
            json!([{ "indexes": ["bad-a", "bad-b"], "rename": true }]),
        ] {
            tasks.push(swap(&client, pairs).await);
        }
        let mut answers = Vec::new();
        for body in [
            json!([{ "indexes": ["bad-a", "bad-a"] }]),
            json!([{ "indexes": ["bad-a", "bad-b"] }, { "indexes": ["bad-b", "bad-c"] }]),
            json!([{ "indexes": ["bad-a"] }]),
            json!([{ "indexes": ["bad-a", "bad-b", "bad-c"] }]),
            json!([{ "indexes": "bad-a" }]),
            json!([{ "indexes": ["bad a", "bad-b"] }]),
            json!([{ "indexes": ["bad-a", "bad-b"], "rename": 1 }]),
            json!([{}]),
            json!([{ "indices": ["bad-a", "bad-b"] }]),
            json!({ "indexes": ["bad-a", "bad-b"] }),
        ] {
            let answer = client.post("/swap-indexes", &body).await.unwrap();
            answers.push((body, answer.status, answer.text()));
        }
        let answer = client.patch("/indexes/bad-a", &json!({ "uid": "not a uid" })).await.unwrap();
        (tasks, answers, answer.status, answer.text(), contents(&client, "bad-a").await)
    })
    .await;
}
