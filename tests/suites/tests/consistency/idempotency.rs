//! `Idempotency-Key`.

use futures::future::join_all;
use miroir_harness::{Answer, Client, Cluster, Method};
use serde_json::{Value, json};

use crate::{document, options, prepare, start, tasks};

const KEY: &str = "idempotency-key";

fn with_key(client: &Client, key: &str) -> Client {
    client.with_header(KEY, key).unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[track_caller]
fn check_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{}", answer.text());
}

/// Does something, and once more by the other Envoy.
async fn twice(cluster: &Cluster, key: &str, method: Method, path: &str, body: &Value) -> Value {
    let before = tasks(&cluster.client(), "").await;
    let first = with_key(&cluster.client(), key).request(method.clone(), path, body).await.unwrap();
    let again = with_key(&cluster.client_of(1), key).request(method.clone(), path, body).await.unwrap();
    let told = first.ok().unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
    assert!(!is_replayed(&first) && is_replayed(&again), "{method} {path}: {again:?}");
    assert_eq!((again.status, again.ok().unwrap()), (first.status, told.clone()), "{method} {path}");
    let version = "x-miroir-settings-version";
    assert_eq!(again.header(version), first.header(version));
    let other = format!("{path}?customMetadata=x");
    let other = with_key(&cluster.client(), key).request(method, &other, body).await.unwrap();
    check_refused(&other, 409, "miroir_idempotency_key_reused");
    assert_eq!(tasks(&cluster.client(), "").await, before + 1, "{path}");
    cluster.client().wait_for_task(told["taskUid"].as_u64().unwrap()).await.unwrap()
}

#[tokio::test]
async fn whatever_makes_a_task_makes_one() {
    let cluster = start(options(json!({}))).await;
    prepare(&cluster, "films").await;
    let documents = json!([document(1, 1), document(2, 1)]);
    let films = "/indexes/films";
    for (number, (method, path, body)) in [
        (Method::POST, format!("{films}/documents"), documents.clone()),
        (Method::PUT, format!("{films}/documents"), documents),
        (Method::DELETE, format!("{films}/documents/1"), json!(null)),
        (Method::POST, format!("{films}/documents/delete-batch"), json!([1, 2])),
        (Method::POST, format!("{films}/documents/delete"), json!({ "filter": "edition = 7" })),
        (Method::DELETE, format!("{films}/documents"), json!(null)),
        (Method::PATCH, format!("{films}/settings"), json!({ "stopWords": ["the"] })),
        (Method::PUT, format!("{films}/settings/stop-words"), json!(["a"])),
        (Method::DELETE, format!("{films}/settings/stop-words"), json!(null)),
        (Method::POST, "/indexes".into(), json!({ "uid": "books" })),
        (Method::PATCH, "/indexes/books".into(), json!({ "primaryKey": "isbn" })),
        (Method::POST, "/swap-indexes".into(), json!([{ "indexes": ["films", "books"] }])),
        (Method::DELETE, "/indexes/books".into(), json!(null)),
        (Method::POST, "/dumps".into(), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let task = twice(&cluster, &format!("key {number}"), method, &path, &body).await;
        assert_eq!(task["status"], "succeeded", "{path}: {task}");
    }
    let path = "/tasks/cancel?statuses=enqueued";
    let client = with_key(&cluster.client(), "cancel");
    let [first, again] = [client.post(path, &()).await.unwrap(), client.post(path, &()).await.unwrap()];
    assert_eq!((first.status, again.status, first.body), (200, 200, again.body));
}

#[tokio::test]
async fn a_key_is_a_clients_own_and_for_one_request() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    let client = with_key(&cluster.client(), "k");
    let documents = |edition| json!([document(1, edition)]);
    let path = index.path("/documents");

    // An error is not remembered, what fails later is.
    let malformed = client.send(Method::POST, &path, Some("application/json"), b"[{".to_vec()).await.unwrap();
    check_refused(&malformed, 400, "malformed_payload");
    let failing = client.post(&path, &json!([{ "id": "not an id!" }])).await.unwrap();
    let failed = client.wait_for_task(failing.ok().unwrap()["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(failed["status"], "failed");
    let again = client.post(&path, &json!([{ "id": "not an id!" }])).await.unwrap();
    assert_eq!((is_replayed(&again), again.ok().unwrap()), (true, failing.ok().unwrap()));
    check_refused(&client.post(&path, &documents(1)).await.unwrap(), 409, "miroir_idempotency_key_reused");
    check_refused(&client.put(&path, &documents(1)).await.unwrap(), 409, "miroir_idempotency_key_reused");

    // Someone else's key of the same name is another one.
    let rights = json!({ "actions": ["*"], "indexes": ["*"], "expiresAt": null });
    let key = cluster.client().post("/keys", &rights).await.unwrap().ok().unwrap();
    let other = with_key(&cluster.client().with_key(key["key"].as_str().unwrap()), "k");
    let written = other.post(&path, &documents(2)).await.unwrap();
    assert!(!is_replayed(&written));
    other.wait_for_success(&written).await.unwrap();

    for (key, is_valid) in [("k".repeat(255), true), ("k".repeat(256), false), (String::new(), false)] {
        let client = with_key(&cluster.client(), &key);
        let written = client.post(&path, &documents(3)).await.unwrap();
        match is_valid {
            true => assert_eq!(written.status, 202, "{}", written.text()),
            false => {
                check_refused(&written, 400, "miroir_invalid_idempotency_key");
                let created = client.post("/indexes", &json!({ "uid": "a" })).await.unwrap();
                check_refused(&created, 400, "miroir_invalid_idempotency_key");
            }
        }
    }
    // Reads have no use for it.
    assert_eq!(with_key(&cluster.client(), "").get(&index.path("/documents/1")).await.unwrap().status, 200);
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    for round in 0..5 {
        let before = tasks(&cluster.client(), "").await;
        let path = index.path(if round % 2 == 0 { "/documents" } else { "/settings" });
        let (method, body) = match round % 2 {
            0 => (Method::POST, json!([document(round, round)])),
            _ => (Method::PATCH, json!({ "stopWords": [format!("w{round}")] })),
        };
        let requests = (0..20).map(|number| {
            let client = with_key(&cluster.client_of(number % 2), &format!("round {round}"));
            let (method, path, body) = (method.clone(), path.clone(), body.clone());
            async move { client.request(method, &path, &body).await.unwrap() }
        });
        let answers = join_all(requests).await;
        assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status == 202 && answer.body == answers[0].body));
        assert_eq!(tasks(&cluster.client(), "").await, before + 1);
    }
}

#[tokio::test]
async fn a_long_body_is_not_sent_to_nodes_again() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    let body = |last: u64| -> Vec<u8> {
        let line = |id: u64| {
            let edition = if id == 2999 { last } else { 1 };
            format!("{}\n", json!({ "id": id, "edition": edition, "text": "x".repeat(8000) }))
        };
        (0..3000).flat_map(|id| line(id).into_bytes()).collect()
    };
    let client = with_key(&cluster.client(), "k");
    let send = async |body: Vec<u8>| {
        client
            .send(Method::POST, &index.path("/documents"), Some("application/x-ndjson"), body)
            .await
            .unwrap()
    };
    let written = send(body(1)).await;
    client.wait_for_success(&written).await.unwrap();
    let on_nodes = async || {
        let mut total = 0;
        for node in cluster.nodes() {
            total += tasks(&node.client(), "").await;
        }
        total
    };
    let before = on_nodes().await;
    let again = send(body(1)).await;
    assert_eq!((is_replayed(&again), again.body), (true, written.body));
    check_refused(&send(body(2)).await, 409, "miroir_idempotency_key_reused");
    assert_eq!(on_nodes().await, before);
    assert_eq!(index.document("2999").await.unwrap().ok().unwrap()["edition"], 1);
}

#[tokio::test]
async fn a_key_is_forgotten_in_time() {
    let cluster = start(options(json!({ "idempotency": { "ttl_ms": 1 } }))).await;
    let index = prepare(&cluster, "films").await;
    let client = with_key(&cluster.client(), "k");
    for edition in [1, 1, 2] {
        let answer = client.post(&index.path("/documents"), &json!([document(1, edition)])).await.unwrap();
        client.wait_for_success(&answer).await.unwrap();
        assert!(!is_replayed(&answer));
    }
}
