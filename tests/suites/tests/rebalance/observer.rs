//! Clients that search and write all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use miroir_harness::{Client, Cluster};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{DOCUMENTS, film};

/// The films with ids from here on are written by the observer.
const FIRST_WRITTEN: u64 = 1_000_000;
const PAGE: u64 = 200;

/// Searches that check what they find, and writes that are counted.
pub struct Observer {
    stop: Arc<AtomicBool>,
    searches: Arc<AtomicU64>,
    searching: JoinHandle<()>,
    writing: JoinHandle<BTreeMap<u64, Value>>,
}

impl Observer {
    /// Begins. None of the first films changes meanwhile.
    pub fn begin(cluster: &Cluster) -> Observer {
        let stop = Arc::new(AtomicBool::new(false));
        let searches = Arc::new(AtomicU64::new(0));
        let searching = tokio::spawn(search(cluster.client(), stop.clone(), searches.clone()));
        let writing = tokio::spawn(write(cluster.client(), stop.clone()));
        Observer { stop, searches, searching, writing }
    }

    /// How often it has searched.
    pub fn searches(&self) -> u64 {
        self.searches.load(Ordering::Relaxed)
    }

    /// Ends, and tells what the films are that it has written.
    pub async fn end(self) -> BTreeMap<u64, Value> {
        self.stop.store(true, Ordering::Relaxed);
        self.searching.await.unwrap();
        self.writing.await.unwrap()
    }
}

async fn search(client: Client, stop: Arc<AtomicBool>, searches: Arc<AtomicU64>) {
    let mut page = 0;
    while !stop.load(Ordering::Relaxed) {
        page = (page + 1) % 5;
        let query = json!({
            "q": "film", "filter": "version = 1", "facets": ["genre"],
            "limit": PAGE, "offset": page * PAGE, "sort": ["id:asc"],
        });
        let answer = client.post("/indexes/films/search", &query).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-miroir-degraded"), None);
        let found: Value = answer.json().unwrap();
        let ids: Vec<u64> =
            found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (page * PAGE..(page + 1) * PAGE).collect();
        assert_eq!(ids, expected);
        assert_eq!(found["estimatedTotalHits"], DOCUMENTS);
        let genres = found["facetDistribution"]["genre"].as_object().unwrap();
        assert_eq!(genres.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), DOCUMENTS);
        let id = page * 37;
        let document = client.get(&format!("/indexes/films/documents/{id}")).await.unwrap();
        assert_eq!(document.ok().unwrap(), film(id, 1));
        searches.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes films in growing versions, deletes some, and remembers what was acknowledged. A write that is refused is
/// repeated until it is taken.
async fn write(client: Client, stop: Arc<AtomicBool>) -> BTreeMap<u64, Value> {
    let mut written = BTreeMap::new();
    let mut version = 2;
    while !stop.load(Ordering::Relaxed) {
        version += 1;
        let first = FIRST_WRITTEN + version * 7 % 90;
        let films: Vec<Value> = (first..first + 10).map(|id| film(id, version)).collect();
        let uid = accepted(&client, Method::POST, "/indexes/films/documents", &json!(films)).await;
        written.extend(films.into_iter().map(|film| (film["id"].as_u64().unwrap(), film)));
        if version % 3 == 0 {
            let ids = [first + 1, first + 4];
            accepted(&client, Method::POST, "/indexes/films/documents/delete-batch", &json!(ids)).await;
            ids.iter().for_each(|id| drop(written.remove(id)));
        }
        if version % 5 == 0 {
            let change = json!([{ "id": first, "title": format!("changed {version}") }]);
            accepted(&client, Method::PUT, "/indexes/films/documents", &change).await;
            if let Some(film) = written.get_mut(&first) {
                film["title"] = change[0]["title"].clone();
            }
        }
        // Not to drown the nodes.
        while !is_over(&client, uid).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    written
}

async fn is_over(client: &Client, uid: u64) -> bool {
    let task = client.get(&format!("/tasks/{uid}")).await.unwrap();
    // While the control plane is away nobody knows.
    let task = task.ok().unwrap_or_default();
    assert_ne!(task["status"], "failed", "{task}");
    task["status"] == "succeeded"
}

async fn accepted(client: &Client, method: Method, path: &str, body: &Value) -> u64 {
    loop {
        let answer = client.request(method.clone(), path, body).await.unwrap();
        match answer.status {
            202 => return answer.json::<Value>().unwrap()["taskUid"].as_u64().unwrap(),
            503 => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => panic!("{}", answer.text()),
        }
    }
}
