//! `/batches`.

use miroir_harness::{Client, Method};
use serde_json::{Value, json};

use crate::{PAIR, documents};

async fn task(client: &Client, method: Method, path: &str, body: &Value) -> Value {
    let summary = client.request(method, path, body).await.unwrap().ok().unwrap();
    client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap()
}

async fn results(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("/batches?{query}")).await.unwrap().ok().unwrap();
    page["results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_task_is_in_a_batch_that_tells_of_it() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let documents = json!(documents(0..5));
    let path = "/indexes/batched/documents";
    let added = task(&client, Method::POST, path, &documents).await;
    let failed = task(&client, Method::POST, path, &json!([{ "id": "no id" }])).await;
    let settings = json!({ "stopWords": ["a"] });
    let tuned = task(&client, Method::PATCH, "/indexes/batched/settings", &settings).await;

    let batch = client.get(&format!("/batches/{}", added["batchUid"])).await.unwrap().ok().unwrap();
    assert_eq!(
        batch["stats"],
        json!({ "totalNbTasks": 1, "status": { "succeeded": 1 }, "types": { "documentAdditionOrUpdate": 1 },
                "indexUids": { "batched": 1 } })
    );
    assert_eq!(batch["details"], json!({ "receivedDocuments": 5, "indexedDocuments": 5 }));
    assert_eq!((&batch["uid"], &batch["progress"]), (&added["batchUid"], &Value::Null));
    for field in ["startedAt", "finishedAt", "duration"] {
        assert_eq!(batch[field], added[field], "{field}");
    }
    assert!(batch["batchStrategy"].is_string());

    let uids = |batches: &[Value]| batches.iter().map(|batch| batch["uid"].clone()).collect::<Vec<_>>();
    let [first, second, third] = [&added, &failed, &tuned].map(|task| task["batchUid"].clone());
    let all = results(&client, "indexUids=batched").await;
    assert_eq!(uids(&all), [third.clone(), second.clone(), first.clone()]);
    let reversed = results(&client, "indexUids=batched&reverse=true&limit=2").await;
    assert_eq!(uids(&reversed), [first.clone(), second.clone()]);
    for (query, expected) in [
        (format!("uids={}", tuned["uid"]), &third),
        (format!("batchUids={first}"), &first),
        ("indexUids=batched&statuses=failed".to_owned(), &second),
        ("indexUids=batched&types=settingsUpdate".to_owned(), &third),
        (format!("indexUids=batched&from={first}"), &first),
    ] {
        assert_eq!(uids(&results(&client, &query).await), std::slice::from_ref(expected), "{query}");
    }
    assert_eq!(results(&client, "indexUids=batched&statuses=enqueued").await, [] as [Value; 0]);
    let of_task = client.get(&format!("/tasks?batchUids={second}")).await.unwrap().ok().unwrap();
    assert_eq!(of_task["results"], json!([failed]));

    for (path, status, code) in
        [("/batches/4000000000", 404, "batch_not_found"), ("/batches/x", 400, "invalid_batch_uids")]
    {
        let answer = client.get(path).await.unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)));
    }
}
