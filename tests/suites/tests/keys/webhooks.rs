//! Webhooks: clients are told of their tasks, each once, by the uid that they know.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use flate2::read::GzDecoder;
use miroir_harness::{Client, wait_until};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{PAIR, cluster, lacking, outcome};

const PATIENCE: Duration = Duration::from_secs(60);

/// Something that is told of tasks. Ends when dropped.
struct Receiver {
    url: String,
    heard: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tasks?of=miroir", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<(HeaderMap, Value)>>> = Arc::default();
        let hear = heard.clone();
        let receive = post(async move |headers: HeaderMap, body: Bytes| {
            let mut text = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            assert!(text.ends_with('\n'));
            let tasks = text.lines().map(|line| (headers.clone(), serde_json::from_str(line).unwrap()));
            hear.lock().unwrap().extend(tasks);
        });
        let router = Router::new().route("/tasks", receive);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, heard, server }
    }

    /// How often it was told of each task.
    fn tasks(&self) -> BTreeMap<u64, usize> {
        let mut tasks = BTreeMap::new();
        for (_, task) in self.heard.lock().unwrap().iter() {
            *tasks.entry(task["uid"].as_u64().unwrap()).or_default() += 1;
        }
        tasks
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn register(client: &Client, url: &str) -> Value {
    let headers = json!({ "Authorization": "Bearer a-secret-of-mine", "X-Shop": "books" });
    let answer = client.post("/webhooks", &json!({ "url": url, "headers": headers })).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json().unwrap()
}

#[tokio::test]
async fn each_task_is_told_once() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    client.create_index("untold", None).await.unwrap();
    let receiver = Receiver::start().await;
    let webhook = register(&client, &receiver.url).await;
    assert_eq!(webhook["headers"]["Authorization"], "Bearer a-XXXX...");
    assert_eq!(client.get("/webhooks").await.unwrap().ok().unwrap(), json!({ "results": [webhook] }));

    let index = client.create_index("told", Some("id")).await.unwrap();
    let documents: Vec<Value> = (0..40).map(|id| json!({ "id": id })).collect();
    for batch in documents.chunks(4) {
        index.post_documents(batch).await.unwrap().ok().unwrap();
    }
    index.update_settings(&json!({ "stopWords": ["a"] })).await.unwrap();
    // It fails.
    client.post("/indexes", &json!({ "uid": "told" })).await.unwrap().ok().unwrap();
    cluster.stop_control_plane();
    cluster.start_control_plane().await.unwrap();
    let last = index.add_documents(&documents[..1]).await.unwrap();

    let newest = last["uid"].as_u64().unwrap();
    let expected: BTreeMap<u64, usize> = (1..=newest).map(|uid| (uid, 1)).collect();
    let told = async || Ok(receiver.tasks().len() >= expected.len());
    wait_until("all tasks to be told", PATIENCE, told).await.unwrap();
    assert_eq!(receiver.tasks(), expected);
    let heard = receiver.heard.lock().unwrap().clone();
    for (headers, task) in heard {
        let path = format!("/tasks/{}", task["uid"]);
        assert_eq!(client.get(&path).await.unwrap().ok().unwrap(), task);
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(header("authorization"), "Bearer a-secret-of-mine");
        assert_eq!(header("x-shop"), "books");
        assert_eq!(header("content-type"), "application/x-ndjson");
        assert_eq!(header("content-encoding"), "gzip");
    }

    // The nodes were not told to tell anyone, and one that is gone is told no more.
    let path = format!("/webhooks/{}", webhook["uuid"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.unwrap().status, 204);
    let other = Receiver::start().await;
    register(&client, &other.url).await;
    index.add_documents(&documents[..1]).await.unwrap();
    let told = async || Ok(other.tasks().len() == 1);
    wait_until("the other webhook to be told", PATIENCE, told).await.unwrap();
    assert_eq!(receiver.tasks(), expected);
}

#[tokio::test]
async fn one_that_does_not_answer_keeps_no_other_waiting() {
    let cluster = cluster().await;
    let client = cluster.client();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    register(&client, &format!("http://{}", silent.local_addr().unwrap())).await;
    register(&client, "http://127.0.0.1:1/nobody-there").await;
    let receiver = Receiver::start().await;
    register(&client, &receiver.url).await;
    for index in ["a", "b", "c"] {
        client.create_index(index, None).await.unwrap();
    }
    let told = async || Ok(receiver.tasks().len() == 3);
    wait_until("all tasks to be told", PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn webhooks_are_refused_and_shown_as_on_one_node() {
    let pair = PAIR.get().await;
    if lacking(&pair.single.client(), "/webhooks").await {
        return;
    }
    let url = "http://127.0.0.1:1/";
    let many: BTreeMap<String, &str> = (0..201).map(|number| (format!("h{number}"), "")).collect();
    // The messages name a uuid that was just made up.
    let nameless = |mut outcome: Value| {
        let words: Vec<String> = outcome["message"]
            .as_str()
            .unwrap_or_default()
            .split(' ')
            .map(|word| {
                if word.len() >= 36 && word.matches('-').count() == 4 { "uuid" } else { word }.to_owned()
            })
            .collect();
        outcome["message"] = json!(words.join(" "));
        outcome
    };
    for body in [
        json!({}),
        json!([]),
        json!({ "url": null }),
        json!({ "url": 1 }),
        json!({ "url": "" }),
        json!({ "url": "nowhere" }),
        json!({ "url": url, "headers": 1 }),
        json!({ "url": url, "headers": { "a b": "1" } }),
        json!({ "url": url, "headers": { "a": "\n" } }),
        json!({ "url": url, "headers": { "a": 1 } }),
        json!({ "url": url, "headers": many }),
        json!({ "url": url, "uuid": "1" }),
        json!({ "url": url, "isEditable": true }),
        json!({ "url": url, "nonsense": true }),
    ] {
        pair.same(async |client| nameless(outcome(&client, "POST", "/webhooks", Some(&body)).await)).await;
    }
    let change = json!({ "url": url });
    let (nobody, nil) =
        ("/webhooks/6062abda-a5aa-4414-ac91-ecd7944c0f8d", "/webhooks/00000000-0000-0000-0000-000000000000");
    for (method, path, body) in [
        ("GET", nobody, None),
        ("PATCH", nobody, Some(&change)),
        ("DELETE", nobody, None),
        ("GET", nil, None),
        ("PATCH", nil, Some(&change)),
        ("DELETE", nil, None),
        ("GET", "/webhooks/nothing", None),
        ("PATCH", "/webhooks/nothing", Some(&change)),
        ("DELETE", "/webhooks/nothing", None),
        ("PUT", "/webhooks", Some(&change)),
        ("POST", nobody, Some(&change)),
        ("POST", "/webhooks", None),
    ] {
        pair.same(async |client| outcome(&client, method, path, body).await).await;
    }
    pair.same(async |client| {
        let uuidless = |mut webhook: Value| webhook.as_object_mut().unwrap().remove("uuid").map(|_| webhook);
        let mut shown = Vec::new();
        let created = register(&client, url).await;
        let path = format!("/webhooks/{}", created["uuid"].as_str().unwrap());
        shown.push(uuidless(created));
        for change in [
            json!({}),
            json!({ "url": "https://127.0.0.1:2/other" }),
            json!({ "headers": { "X-Shop": null, "X-New": "1" } }),
            json!({ "headers": { "authorization": "short" } }),
            json!({ "headers": null }),
        ] {
            shown.push(uuidless(client.patch(&path, &change).await.unwrap().ok().unwrap()));
            shown.push(uuidless(client.get(&path).await.unwrap().ok().unwrap()));
        }
        let refused = outcome(&client, "PATCH", &path, Some(&json!({ "url": null }))).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(client.post("/webhooks", &json!({ "url": url })).await.unwrap().status);
        }
        let too_many = outcome(&client, "POST", "/webhooks", Some(&json!({ "url": url }))).await;
        let all = client.get("/webhooks").await.unwrap().ok().unwrap();
        for webhook in all["results"].as_array().unwrap() {
            let path = format!("/webhooks/{}", webhook["uuid"].as_str().unwrap());
            assert_eq!(client.delete(&path).await.unwrap().status, 204);
        }
        (shown, nameless(refused), statuses, too_many)
    })
    .await;
}
