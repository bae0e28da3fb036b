//! An alias is flipped while clients read and write by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use miroir_harness::{Client, Options};
use serde_json::{Value, json};

use crate::{COUNT, cluster, films, refusal, refused, roll_back, set};

/// Which flip clients can rely on: the alias stands for index `v1` after an even number, and for `v2` after an odd one. While
/// one is under way nobody knows.
#[derive(Default)]
struct Flips {
    begun: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
}

impl Flips {
    fn index(number: u64) -> &'static str {
        if number.is_multiple_of(2) { "v1" } else { "v2" }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The indexes that something may have gone to that began after `answered` flips were answered and is over now.
    fn possible(&self, answered: u64) -> Vec<&'static str> {
        (answered..=self.begun.load(Ordering::SeqCst)).map(Flips::index).collect()
    }
}

/// Reads, and sees to it that each answer is all of one index, and of the right one.
async fn read(client: Client, flips: Arc<Flips>) -> u64 {
    let mut reads = 0;
    while !flips.is_over() {
        let answered = flips.answered.load(Ordering::SeqCst);
        let query = json!({ "q": "film", "filter": "edition < 3", "facets": ["edition"], "limit": COUNT, "sort": ["id:asc"] });
        let answer = client.post("/indexes/current/search", &query).await.unwrap();
        assert_eq!((answer.status, answer.header("x-miroir-degraded")), (200, None), "{}", answer.text());
        let found: Value = answer.json().unwrap();
        let editions: Vec<u64> =
            found["hits"].as_array().unwrap().iter().map(|hit| hit["edition"].as_u64().unwrap()).collect();
        assert_eq!(editions.len() as u64, COUNT);
        assert!(editions.iter().all(|edition| *edition == editions[0]), "a mixture: {editions:?}");
        assert_eq!(found["facetDistribution"]["edition"], json!({ editions[0].to_string(): COUNT }));
        let index = format!("v{}", editions[0]);
        assert!(flips.possible(answered).contains(&&*index), "{index} after {answered} flips");
        let document = client.get("/indexes/current/documents/1").await.unwrap();
        assert_eq!(document.status, 200, "{}", document.text());
        reads += 1;
    }
    reads
}

/// Writes one document after the other, and tells to which index each went.
async fn write(client: Client, flips: Arc<Flips>, first: u64) -> Vec<(u64, String)> {
    let mut written = Vec::new();
    let mut id = first;
    while !flips.is_over() {
        id += 1;
        let answered = flips.answered.load(Ordering::SeqCst);
        let answer =
            client.post("/indexes/current/documents", &json!([{ "id": id, "edition": 9 }])).await.unwrap();
        if answer.status == 503 {
            // It was sent before a flip and held up until some time after it.
            assert_eq!(refusal(&answer), refused(503, "miroir_routing_stale"));
            continue;
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        let task: Value = answer.json().unwrap();
        let index = task["indexUid"].as_str().unwrap().to_owned();
        assert!(flips.possible(answered).contains(&&*index), "{index} after {answered} flips");
        written.push((id, index));
        // Not to drown the nodes.
        while !is_over(&client, task["taskUid"].as_u64().unwrap()).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    written
}

async fn is_over(client: &Client, task: u64) -> bool {
    let task = client.get(&format!("/tasks/{task}")).await.unwrap().ok().unwrap();
    assert_ne!(task["status"], "failed", "{task}");
    task["status"] == "succeeded"
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_one_index_or_the_other_and_never_an_error() {
    let cluster = cluster(Options { envoys: 2, ..Options::default() }).await;
    let client = cluster.client();
    let indexes = [films(&client, "v1", 1).await, films(&client, "v2", 2).await];
    set(&cluster, "current", &["v1"]).await;
    let flips = Arc::new(Flips::default());
    let readers: Vec<_> =
        (0..4).map(|n| tokio::spawn(read(cluster.client_of(n % 2), flips.clone()))).collect();
    let writers: Vec<_> = (0..2)
        .map(|n| tokio::spawn(write(cluster.client_of(n), flips.clone(), 1_000_000 * (n as u64 + 1))))
        .collect();
    for number in 1..=12 {
        flips.begun.store(number, Ordering::SeqCst);
        let alias = match number % 3 {
            0 => roll_back(&cluster, "current").await.ok().unwrap(),
            _ => set(&cluster, "current", &[Flips::index(number)]).await,
        };
        assert_eq!(alias["indexes"], json!([Flips::index(number)]));
        flips.answered.store(number, Ordering::SeqCst);
        // Something happens between two flips.
        client.index("current").search(&json!({})).await.unwrap();
    }
    flips.stop.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0, "it has read nothing");
    }
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert!(!written.is_empty());
    for (id, uid) in written {
        for index in &indexes {
            let expected = if index.uid() == uid { 200 } else { 404 };
            assert_eq!(
                index.document(&id.to_string()).await.unwrap().status,
                expected,
                "{id} of {uid} in {}",
                index.uid()
            );
        }
    }
}

#[tokio::test]
async fn history_tells_what_it_stood_for_and_rolling_back_goes_there() {
    let mut cluster = cluster(Options::default()).await;
    let client = cluster.client();
    for uid in ["v1", "v2", "v3"] {
        client.create_index(uid, Some("id")).await.unwrap();
    }
    let first = set(&cluster, "current", &["v1"]).await;
    assert_eq!(
        (&first["name"], &first["indexes"], &first["history"]),
        (&json!("current"), &json!(["v1"]), &json!([]))
    );
    let none = roll_back(&cluster, "current").await;
    assert_eq!(refusal(&none), refused(409, "miroir_nothing_to_roll_back"));
    let second = set(&cluster, "current", &["v2", "v3"]).await;
    assert_eq!(
        second["history"],
        json!([{ "indexes": ["v1"], "since": first["since"], "until": second["since"] }])
    );
    // Nothing changes, nothing is remembered.
    assert_eq!(set(&cluster, "current", &["v2", "v3"]).await, second);
    let back = roll_back(&cluster, "current").await.ok().unwrap();
    assert_eq!(back["indexes"], json!(["v1"]));
    let stood = |alias: &Value| -> Vec<Value> {
        alias["history"].as_array().unwrap().iter().map(|former| former["indexes"].clone()).collect()
    };
    assert_eq!(stood(&back), [json!(["v2", "v3"]), json!(["v1"])]);
    // All of it is still so after the control plane was killed.
    cluster.stop_control_plane();
    assert_eq!(client.get("/indexes/current/documents").await.unwrap().status, 200);
    cluster.start_control_plane().await.unwrap();
    let admin = cluster.admin();
    assert_eq!(admin.get("/_miroir/aliases/current").await.unwrap().ok().unwrap(), back);
    assert_eq!(admin.get("/_miroir/aliases").await.unwrap().ok().unwrap(), json!({ "results": [back] }));
    assert_eq!(client.get("/indexes/current").await.unwrap().ok().unwrap()["uid"], "v1");
    // An index that it stood for may be gone.
    set(&cluster, "current", &["v3"]).await;
    let answer = client.delete("/indexes/v1").await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    let gone = roll_back(&cluster, "current").await;
    assert_eq!(refusal(&gone), refused(404, "index_not_found"), "{}", gone.text());
    assert_eq!(client.get("/indexes/current").await.unwrap().ok().unwrap()["uid"], "v3");
    let removed = admin.delete("/_miroir/aliases/current").await.unwrap().ok().unwrap();
    assert_eq!(removed["indexes"], json!(["v3"]));
    assert_eq!(client.get("/indexes/current/documents").await.unwrap().status, 404);
    assert_eq!(client.get("/indexes/v3/documents").await.unwrap().status, 200);
    let again = admin.delete("/_miroir/aliases/current").await.unwrap();
    assert_eq!(refusal(&again), refused(404, "miroir_alias_not_found"));
}
