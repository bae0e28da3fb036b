//! `/tasks…` and `/batches…`.

use serde_json::json;

use crate::step::{delete, get, order, post};
use crate::trio::same;

#[tokio::test]
async fn tasks_are_listed_filtered_and_paged() {
    same([
        post("/indexes", json!({ "uid": "tasked" })),
        post("/indexes", json!({ "uid": "tasked" })),
        post("/indexes/tasked/documents", json!([{ "id": 1 }])),
        get("/tasks?indexUids=tasked"),
        get("/tasks?indexUids=tasked&statuses=failed"),
        get("/tasks?indexUids=tasked&types=indexCreation&limit=1"),
        get("/tasks?indexUids=tasked&reverse=true"),
        get("/tasks?indexUids=tasked&afterEnqueuedAt=2000-01-01"),
        get("/tasks?indexUids=tasked&beforeEnqueuedAt=2000-01-01"),
        get("/tasks?uids=0,1"),
        get("/tasks?limit=2"),
        get("/tasks?statuses=nope"),
        get("/tasks?types=nope"),
        get("/tasks?uids=x"),
        get("/tasks?nope=1"),
        get("/tasks/0"),
        get("/tasks/99999999"),
        get("/tasks/x"),
        delete("/indexes/tasked"),
    ])
    .await;
}

#[tokio::test]
async fn the_total_counts_tasks_that_a_key_does_not_see() {
    const KEY: &str = "00000000-0000-4000-8000-00000000007a";
    let listed = |path: &str| get(path).with_key(KEY);
    same([
        post("/indexes", json!({ "uid": "seen" })),
        post("/indexes", json!({ "uid": "unseen" })),
        post(
            "/keys",
            json!({ "uid": KEY, "actions": ["tasks.get"], "indexes": ["seen"], "expiresAt": null }),
        ),
        listed("/tasks?indexUids=seen"),
        listed("/tasks?indexUids=unseen"),
        listed("/tasks?indexUids=seen,unseen"),
        listed("/batches?indexUids=seen,unseen"),
        delete(format!("/keys/{KEY}")),
        delete("/indexes/seen"),
        delete("/indexes/unseen"),
    ])
    .await;
}

#[tokio::test]
async fn tasks_are_canceled_and_deleted() {
    same([
        post("/indexes", json!({ "uid": "forgotten" })),
        order("/tasks/cancel"),
        order("/tasks/cancel?indexUids=forgotten"),
        delete("/tasks"),
        delete("/tasks?indexUids=forgotten&statuses=succeeded"),
        get("/tasks?indexUids=forgotten"),
        delete("/tasks?statuses=nope"),
        delete("/indexes/forgotten"),
    ])
    .await;
}

#[tokio::test]
async fn batches_are_listed_and_read() {
    same([
        post("/indexes", json!({ "uid": "batched" })),
        post("/indexes/batched/documents", json!([{ "id": 1 }])),
        get("/batches?indexUids=batched"),
        get("/batches?indexUids=batched&statuses=failed"),
        get("/batches?indexUids=batched&limit=1&reverse=true"),
        get("/batches/0"),
        get("/batches/99999999"),
        get("/batches/x"),
        delete("/indexes/batched"),
    ])
    .await;
}
