//! `GET /tasks`: filters, pages, and the fields of a task.

use std::collections::BTreeSet;

use miroir_harness::Client;
use miroir_suites::tasks::{finished, lasting};
use serde_json::{Value, json};

use crate::PAIR;

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("/tasks?{query}")).await.unwrap().ok().unwrap()
}

/// Tasks of several kinds and states.
async fn make_tasks(client: &Client) {
    let documents = "/indexes/listed/documents";
    for id in 0..4 {
        finished(client, client.post(documents, &json!([{ "id": id }])).await).await;
    }
    finished(client, client.delete(&format!("{documents}/1")).await).await;
    finished(client, client.post(documents, &json!([{ "id": "not an id" }])).await).await;
    finished(client, client.patch("/indexes/listed/settings", &json!({ "stopWords": ["a"] })).await).await;
    finished(client, client.delete("/indexes/listed-absent").await).await;
}

#[tokio::test]
async fn tasks_are_listed_filtered_and_paged() {
    let pair = PAIR.get().await;
    pair.both(async |client| make_tasks(&client).await).await;
    let filters = [
        "indexUids=listed",
        "indexUids=listed,listed-absent&statuses=failed",
        "indexUids=listed&statuses=succeeded&types=documentAdditionOrUpdate",
        "indexUids=listed&types=documentDeletion,settingsUpdate",
        "indexUids=listed&reverse=true",
        "indexUids=listed&limit=2",
        "indexUids=listed&statuses=enqueued,processing,canceled",
        "indexUids=never-heard-of",
        "indexUids=listed&types=*&statuses=*",
    ];
    for filter in filters {
        pair.same(async |client| {
            let found = list(&client, filter).await;
            let tasks: Vec<Value> =
                found["results"].as_array().unwrap().iter().cloned().map(lasting).collect();
            (tasks, found["total"].clone(), found["limit"].clone())
        })
        .await;
    }

    let client = pair.miroir.client();
    let whole = list(&client, "indexUids=listed").await;
    let mut from = whole["from"].clone();
    let mut paged = Vec::new();
    while !from.is_null() {
        let page = list(&client, &format!("indexUids=listed&limit=3&from={from}")).await;
        paged.extend(page["results"].as_array().unwrap().clone());
        from = page["next"].clone();
    }
    assert_eq!(json!(paged), whole["results"]);

    let uids: Vec<String> = paged.iter().map(|task| task["uid"].to_string()).collect();
    let two = list(&client, &format!("uids={},{}", uids[0], uids[2])).await;
    assert_eq!(two["results"], json!([paged[0], paged[2]]));
    let other = list(&client, &format!("uids={}&indexUids=listed-absent", uids[0])).await;
    assert_eq!(other["results"], json!([]));
}

#[tokio::test]
async fn a_task_and_its_summary_have_meilisearchs_fields() {
    let pair = PAIR.get().await;
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    pair.same(async |client| {
        let answer = client.post("/indexes/fields/documents", &json!([{ "id": 1 }])).await.unwrap();
        let summary = answer.ok().unwrap();
        let task = client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
        let times = ["enqueuedAt", "startedAt", "finishedAt"].map(|time| task[time].is_string());
        let starts_with_p = task["duration"].as_str().unwrap().starts_with("PT");
        (answer.status, lasting(summary.clone()), fields(&summary), fields(&task), times, starts_with_p)
    })
    .await;
    pair.same(async |client| {
        let absent = client.get("/tasks/4000000000").await.unwrap();
        let no_number = client.get("/tasks/x").await.unwrap();
        (absent.status, absent.text(), no_number.status, no_number.text())
    })
    .await;
}
