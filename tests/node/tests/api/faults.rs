//! Failures that a test ordered.

use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn it_fails_and_refuses_as_ordered() {
    let node = Node::start_with(|cli| cli.faults = true).await;
    let order = async |orders| {
        let answer = node.client.put(node.url("/test-faults")).json(&orders).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    };
    let add = async |id: u64| node.post("/indexes/films/documents", json!([{ "id": id }])).await;
    node.done(add(0).await).await;

    order(json!({ "failTasks": 2 })).await;
    for id in [1, 2] {
        let task = node.finished(add(id).await).await;
        assert_eq!((&task["status"], &task["error"]["type"]), (&json!("failed"), &json!("system")), "{task}");
    }
    node.done(add(3).await).await;

    order(json!({ "refuse": "internal" })).await;
    let refused = node.request("/indexes/films/documents", json!([{ "id": 4 }])).await;
    node.refused(refused, 500).await;
    order(json!({})).await;
    node.done(add(5).await).await;
    let documents = node.get("/indexes/films/documents").await;
    assert_eq!(documents["results"], json!([{ "id": 0 }, { "id": 3 }, { "id": 5 }]));
}

#[tokio::test]
async fn who_was_not_started_for_it_takes_no_orders() {
    let node = Node::start().await;
    let answer = node.client.put(node.url("/test-faults")).json(&json!({})).send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
}
