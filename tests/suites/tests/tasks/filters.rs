//! Each filter of `/tasks`, alone and together, and what is wrong with one.

use miroir_harness::Client;
use miroir_suites::tasks::{finished, lasting};
use serde_json::{Value, json};

use crate::PAIR;

async fn make_tasks(client: &Client) -> Vec<Value> {
    let documents = "/indexes/filtered/documents";
    let mut uids = Vec::new();
    for id in 0..3 {
        let answer = client.post(documents, &json!([{ "id": id }])).await.unwrap().ok().unwrap();
        uids.push(client.wait_for_task(answer["taskUid"].as_u64().unwrap()).await.unwrap());
    }
    let mut take = async |answer: anyhow::Result<miroir_harness::Answer>| {
        let uid = answer.unwrap().ok().unwrap()["taskUid"].as_u64().unwrap();
        uids.push(client.wait_for_task(uid).await.unwrap());
    };
    take(client.delete(&format!("{documents}/1")).await).await;
    take(client.patch("/indexes/filtered/settings", &json!({ "stopWords": ["a"] })).await).await;
    take(client.delete("/indexes/filtered-absent").await).await;
    uids
}

#[tokio::test]
async fn tasks_are_filtered_by_what_they_are_and_when_they_were() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        let tasks = make_tasks(&client).await;
        let text = |task: usize, field: &str| tasks[task][field].as_str().unwrap().replace('+', "%2B");
        let uid = |task: usize| tasks[task]["uid"].to_string();
        let of = "indexUids=filtered,filtered-absent";
        let filters = [
            format!("uids={},{}", uid(0), uid(3)),
            format!("uids={}&reverse=true&from={}", [uid(0), uid(2), uid(4)].join(","), uid(1)),
            format!("{of}&batchUids={}", tasks[4]["batchUid"]),
            format!("{of}&types=DocumentAdditionOrUpdate&statuses=Succeeded"),
            format!("{of}&types=indexDeletion,documentDeletion"),
            format!("{of}&statuses=failed,canceled"),
            format!("{of}&canceledBy={}", uid(0)),
            format!("{of}&canceledBy=*&uids=*&batchUids=*&indexUids=*&types=*&statuses=*&limit=0"),
            format!("{of}&afterEnqueuedAt={}", text(2, "enqueuedAt")),
            format!("{of}&beforeEnqueuedAt={}", text(2, "enqueuedAt")),
            format!("{of}&afterStartedAt={}&beforeStartedAt={}", text(0, "startedAt"), text(5, "startedAt")),
            format!("{of}&afterFinishedAt={}", text(3, "finishedAt")),
            format!("{of}&beforeFinishedAt={}&limit=1", text(3, "finishedAt")),
            format!("{of}&afterEnqueuedAt=2020-01-01&beforeFinishedAt=*"),
            format!("{of}&beforeStartedAt=2020-01-01"),
        ];
        let mut found = Vec::new();
        for filter in &filters {
            let page = client.get(&format!("/tasks?{filter}")).await.unwrap().ok().unwrap();
            let results = page["results"].as_array().unwrap().iter().cloned().map(lasting);
            // How many there are of all indexes differs between the two.
            let total = if filter.contains("indexUids=*") { Value::Null } else { page["total"].clone() };
            found.push((results.collect::<Vec<_>>(), total, page["limit"].clone(), page["next"].is_null()));
        }
        found
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_filter_is_said_as_meilisearch_says_it() {
    let pair = PAIR.get().await;
    for query in [
        "limit=x",
        "limit=-1",
        "from=x",
        "reverse=1",
        "uids=1,x",
        "uids=-1",
        "batchUids=x",
        "canceledBy=x",
        "types=documentAddition",
        "statuses=done",
        "indexUids=a%20b",
        "beforeEnqueuedAt=yesterday",
        "afterEnqueuedAt=2024-13-01",
        "beforeStartedAt=x",
        "afterStartedAt=x",
        "beforeFinishedAt=x",
        "afterFinishedAt=x",
        "uid=1",
    ] {
        pair.same(async |client| {
            let listed = client.get(&format!("/tasks?{query}")).await.unwrap();
            let canceled = client
                .send(miroir_harness::Method::POST, &format!("/tasks/cancel?{query}"), None, Vec::new())
                .await
                .unwrap();
            let deleted = client.delete(&format!("/tasks?{query}")).await.unwrap();
            [listed, canceled, deleted].map(|answer| (query, answer.status, answer.text()))
        })
        .await;
    }
    pair.same(async |client| {
        let canceled =
            client.send(miroir_harness::Method::POST, "/tasks/cancel", None, Vec::new()).await.unwrap();
        let deleted = client.delete("/tasks").await.unwrap();
        let page = client.delete("/tasks?limit=3").await.unwrap();
        [canceled, deleted, page].map(|answer| (answer.status, answer.text()))
    })
    .await;
}

#[tokio::test]
async fn custom_metadata_comes_back_with_the_task() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let answer = client.post("/indexes/marked/documents?customMetadata=mine", &json!([{ "id": 1 }])).await;
    let summary = answer.unwrap().ok().unwrap();
    let task = client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(task["status"], "succeeded");
    // Nothing was given with this one.
    let other =
        finished(&client, client.post("/indexes/marked/documents", &json!([{ "id": 2 }])).await).await;
    assert_eq!(other.get("customMetadata"), None);
}
