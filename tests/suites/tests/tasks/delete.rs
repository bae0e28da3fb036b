//! `DELETE /tasks`.

use std::time::Duration;

use miroir_harness::{Client, wait_until};
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::{PAIR, cluster, documents};

async fn delete(client: &Client, query: &str) -> Value {
    let answer = client.delete(&format!("/tasks?{query}")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    client.wait_for_task(answer.ok().unwrap()["taskUid"].as_u64().unwrap()).await.unwrap()
}

#[tokio::test]
async fn tasks_that_are_over_are_deleted() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        for id in 0..3 {
            finished(&client, client.post("/indexes/forgotten/documents", &json!([{ "id": id }])).await)
                .await;
        }
        finished(&client, client.delete("/indexes/forgotten-absent").await).await;
        let mut deletion = delete(&client, "indexUids=forgotten,forgotten-absent&statuses=failed").await;
        let left = client.get("/tasks?indexUids=forgotten,forgotten-absent").await.unwrap().ok().unwrap();
        let details = deletion["details"].take();
        let again = delete(&client, "indexUids=forgotten-absent").await["details"].clone();
        let all = delete(&client, "indexUids=forgotten").await["details"].clone();
        let none = client.get("/tasks?indexUids=forgotten").await.unwrap().ok().unwrap();
        (details, left["total"].clone(), again, all, none["results"].clone(), deletion["type"].clone())
    })
    .await;
}

/// Their queues don't grow for ever.
#[tokio::test]
async fn nodes_forget_their_parts() {
    let cluster = cluster(json!({})).await;
    let client = cluster.client();
    let index = client.create_index("forgotten", Some("id")).await.unwrap();
    for _ in 0..3 {
        index.add_documents(&documents(0..50)).await.unwrap();
    }
    let deletion = delete(&client, "indexUids=forgotten").await;
    assert_eq!(deletion["details"]["deletedTasks"], 4);
    for node in cluster.nodes() {
        let additions = "/tasks?indexUids=forgotten&types=documentAdditionOrUpdate";
        let forgotten = async || Ok(node.client().get(additions).await?.ok()?["total"] == 0);
        wait_until("the node to forget", Duration::from_secs(30), forgotten).await.unwrap();
    }
}
