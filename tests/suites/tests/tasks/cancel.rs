//! `POST /tasks/cancel`.

use futures::future::join_all;
use miroir_harness::{Client, Method};
use serde_json::{Value, json};

use crate::{cluster, documents, ids};

/// Enough work that what is enqueued behind it waits.
fn heavy() -> Vec<Value> {
    let words: Vec<String> = (0..400).map(|word| format!("word{word}")).collect();
    (0..20_000)
        .map(|id: u64| {
            let text: Vec<&str> =
                (0..60).map(|place| &*words[(id * 7 + place * 13) as usize % words.len()]).collect();
            json!({ "id": id, "text": text.join(" ") })
        })
        .collect()
}

async fn cancel(client: &Client, query: &str) -> Value {
    let path = format!("/tasks/cancel?{query}");
    let answer = client.send(Method::POST, &path, None, Vec::new()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let summary = answer.ok().unwrap();
    assert_eq!((&summary["type"], &summary["indexUid"]), (&json!("taskCancelation"), &Value::Null));
    client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_is_canceled_has_not_been_done_and_what_was_done_is_not_called_canceled() {
    let cluster = cluster(json!({})).await;
    let client = cluster.client();
    client.create_index("busy", Some("id")).await.unwrap();
    client.create_index("waiting", Some("id")).await.unwrap();
    let first = client.index("busy").post_documents(&heavy()).await.unwrap().ok().unwrap()["taskUid"].clone();
    let waiting = join_all((0..10).map(async |id| {
        let answer = client.index("waiting").post_documents(&documents([id])).await.unwrap();
        answer.ok().unwrap()["taskUid"].as_u64().unwrap()
    }))
    .await;
    let query = "indexUids=waiting&types=documentAdditionOrUpdate&statuses=enqueued,processing";
    let cancelation = cancel(&client, query).await;
    assert_eq!(cancelation["status"], "succeeded");
    assert_eq!(cancelation["details"]["originalFilter"], format!("?{query}"));

    let mut canceled = 0;
    let mut done = Vec::new();
    for (id, uid) in (0..).zip(waiting) {
        let task = client.wait_for_task(uid).await.unwrap();
        match task["status"].as_str() {
            Some("canceled") => {
                assert_eq!(task["canceledBy"], cancelation["uid"]);
                assert_eq!(task["batchUid"], cancelation["batchUid"]);
                assert_eq!(task["details"], json!({ "receivedDocuments": 1, "indexedDocuments": 0 }));
                assert_eq!(task["error"], Value::Null);
                canceled += 1;
            }
            Some("succeeded") => {
                assert_eq!(task["canceledBy"], Value::Null);
                done.push(id);
            }
            _ => panic!("{task}"),
        }
    }
    assert!(canceled > 0, "the nodes were too quick");
    assert_eq!(cancelation["details"]["canceledTasks"], canceled);
    assert!(cancelation["details"]["matchedTasks"].as_u64().unwrap() >= canceled);
    assert_eq!(ids(&client, "waiting").await, done);

    let listed =
        client.get(&format!("/tasks?canceledBy={}", cancelation["uid"])).await.unwrap().ok().unwrap();
    assert_eq!(listed["total"], canceled);
    let batch = client.get(&format!("/batches/{}", cancelation["batchUid"])).await.unwrap().ok().unwrap();
    assert_eq!(
        batch["stats"]["types"],
        json!({ "documentAdditionOrUpdate": canceled, "taskCancelation": 1 })
    );
    assert_eq!(client.wait_for_task(first.as_u64().unwrap()).await.unwrap()["status"], "succeeded");

    // What is over is matched, and stays as it is.
    let late = cancel(&client, &format!("uids={first}")).await;
    assert_eq!(
        late["details"],
        json!({ "matchedTasks": 1, "canceledTasks": 0, "originalFilter": format!("?uids={first}") })
    );
    let none = cancel(&client, "uids=4000000000").await;
    assert_eq!((&none["details"]["matchedTasks"], &none["details"]["canceledTasks"]), (&json!(0), &json!(0)));
    // The index is as good as ever.
    client.index("waiting").add_documents(&documents(20..25)).await.unwrap();
    assert_eq!(ids(&client, "waiting").await, [done, (20..25).collect()].concat());
}
