//! What keys may do, on every route that the control plane answers.

use std::time::Duration;

use miroir_harness::{Client, wait_until};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{PAIR, create_key, outcome, uid};

const PATIENCE: Duration = Duration::from_secs(60);

/// A route, the body to send, and the action that it takes. What is asked for changes nothing, or is not there.
type Route = (&'static str, &'static str, Option<Value>, &'static str);

fn routes() -> Vec<Route> {
    let nothing = || Some(json!({ "nonsense": 1 }));
    vec![
        ("GET", "/indexes", None, "indexes.get"),
        ("POST", "/indexes", nothing(), "indexes.create"),
        ("GET", "/indexes/limited", None, "indexes.get"),
        ("PATCH", "/indexes/limited", nothing(), "indexes.update"),
        ("DELETE", "/indexes/limited-absent", None, "indexes.delete"),
        ("GET", "/indexes/limited/settings", None, "settings.get"),
        ("PATCH", "/indexes/limited/settings", nothing(), "settings.update"),
        ("DELETE", "/indexes/limited-absent/settings", None, "settings.update"),
        ("GET", "/indexes/limited/settings/stop-words", None, "settings.get"),
        ("PUT", "/indexes/limited/settings/stop-words", Some(json!(1)), "settings.update"),
        ("DELETE", "/indexes/limited-absent/settings/stop-words", None, "settings.update"),
        ("GET", "/indexes/limited/stats", None, "stats.get"),
        ("GET", "/stats", None, "stats.get"),
        ("GET", "/tasks", None, "tasks.get"),
        ("GET", "/tasks/4000000000", None, "tasks.get"),
        ("DELETE", "/tasks?nonsense=1", None, "tasks.delete"),
        ("POST", "/tasks/cancel?nonsense=1", None, "tasks.cancel"),
        ("GET", "/batches", None, "tasks.get"),
        ("GET", "/batches/4000000000", None, "tasks.get"),
        ("POST", "/swap-indexes", nothing(), "indexes.swap"),
        ("GET", "/keys", None, "keys.get"),
        ("POST", "/keys", nothing(), "keys.create"),
        ("GET", "/keys/nothing", None, "keys.get"),
        ("PATCH", "/keys/nothing", Some(json!({})), "keys.update"),
        ("DELETE", "/keys/nothing", None, "keys.delete"),
        ("GET", "/experimental-features", None, "experimental.get"),
        ("PATCH", "/experimental-features", Some(json!({})), "experimental.update"),
        ("POST", "/dumps", None, "dumps.create"),
        ("POST", "/snapshots", None, "snapshots.create"),
        ("GET", "/webhooks", None, "webhooks.get"),
        ("POST", "/webhooks", nothing(), "webhooks.create"),
        ("GET", "/webhooks/nothing", None, "webhooks.get"),
        ("PATCH", "/webhooks/nothing", Some(json!({})), "webhooks.update"),
        ("DELETE", "/webhooks/nothing", None, "webhooks.delete"),
        ("POST", "/dynamic-search-rules", Some(json!({})), "dynamicSearchRules.get"),
        ("GET", "/dynamic-search-rules/nothing", None, "dynamicSearchRules.get"),
        ("PATCH", "/dynamic-search-rules/nothing", Some(json!({})), "dynamicSearchRules.update"),
        ("DELETE", "/dynamic-search-rules/nothing", None, "dynamicSearchRules.delete"),
        ("DELETE", "/dynamic-search-rules", None, "dynamicSearchRules.delete"),
        ("POST", "/indexes/limited/documents", Some(json!([{ "id": "a b" }])), "documents.add"),
        ("DELETE", "/indexes/limited-absent/documents/1", None, "documents.delete"),
        ("GET", "/version", None, "version"),
    ]
}

/// The keys that are tried on each route, on both servers the same.
async fn create_keys(client: &Client) -> Vec<(&'static str, String)> {
    vec![
        ("another action", create_key(client, 201, &["search"], &["*"]).await),
        ("another index", create_key(client, 202, &["*"], &["other"]).await),
        ("this index", create_key(client, 203, &["*"], &["limited*"]).await),
        ("everything", create_key(client, 204, &["*"], &["*"]).await),
        ("whatever reads", create_key(client, 205, &["*.get"], &["*"]).await),
        ("an expired key", create_expired_key(client, 206).await),
        ("no key of ours", "0".repeat(64)),
        ("no key", String::new()),
    ]
}

async fn create_expired_key(client: &Client, number: u32) -> String {
    let expiry = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let expiry = expiry.format(&Rfc3339).unwrap();
    let body = json!({ "uid": uid(number), "actions": ["*"], "indexes": ["*"], "expiresAt": expiry });
    let key = client.post("/keys", &body).await.unwrap().ok().unwrap()["key"].as_str().unwrap().to_owned();
    let with_key = client.with_key(&key);
    let expired = async || Ok(with_key.get("/version").await?.status == 403);
    wait_until("the key to expire", PATIENCE, expired).await.unwrap();
    key
}

#[tokio::test]
async fn each_route_takes_the_keys_that_it_takes_on_one_node() {
    let pair = PAIR.get().await;
    pair.both(async |client| drop(client.create_index("limited", Some("id")).await.unwrap())).await;
    let (keys, same_keys) = pair.both(async |client| create_keys(&client).await).await;
    assert_eq!(keys, same_keys);
    let mut differences = Vec::new();
    let mut lacking = Vec::new();
    for (number, (method, path, body, action)) in (300..).zip(routes()) {
        let of_action =
            pair.both(async |client| create_key(&client, number, &[action], &["*"]).await).await.0;
        let all = keys.iter().chain(std::iter::once(&("its action", of_action)));
        let of_single = pair.single.client().send(method.parse().unwrap(), path, None, vec![]).await.unwrap();
        if of_single.status == 404 && of_single.body.is_empty() {
            lacking.push(path);
            continue;
        }
        for (what, key) in all.cloned().collect::<Vec<_>>() {
            let both = pair.both(async |client| {
                let mut outcome = outcome(&client.with_key(&key), method, path, body.as_ref()).await;
                let refused = [401, 403].iter().any(|status| outcome["status"] == *status);
                // What it does for those who may use it is for other tests.
                if !refused {
                    outcome = json!("allowed");
                }
                outcome
            });
            let (ours, single) = both.await;
            if ours != single {
                differences.push(format!("{method} {path} with {what}:\n  miroir {ours}\n  node   {single}"));
            }
        }
    }
    if !lacking.is_empty() {
        assert!(std::env::var_os("MEILISEARCH_BIN").is_none(), "Meilisearch has no {lacking:?}");
        eprintln!("not tested: the embedded node has none of {lacking:?}, set MEILISEARCH_BIN");
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
async fn a_key_of_some_indexes_sees_these_alone() {
    let pair = PAIR.get().await;
    pair.both(async |client| {
        for index in ["seen-1", "seen-2", "unseen"] {
            client.create_index(index, Some("id")).await.unwrap();
        }
    })
    .await;
    let key = pair.both(async |client| create_key(&client, 401, &["*"], &["seen-*"]).await).await.0;
    pair.same(async |client| {
        let client = client.with_key(&key);
        let list = async |path| client.get(path).await.unwrap().ok().unwrap();
        let uids = |page: &Value, field: &str| {
            page["results"].as_array().unwrap().iter().map(|item| item[field].clone()).collect::<Vec<_>>()
        };
        let mut stats = list("/stats").await;
        let counted: Vec<String> = stats["indexes"].as_object_mut().unwrap().keys().cloned().collect();
        let indexes = list("/indexes?limit=100").await;
        let tasks = list("/tasks?types=indexCreation&limit=100").await;
        (counted, uids(&indexes, "uid"), indexes["total"].clone(), uids(&tasks, "indexUid"))
    })
    .await;
    let refused = json!({ "uid": "unseen-too" });
    pair.same(async |client| outcome(&client.with_key(&key), "POST", "/indexes", Some(&refused)).await).await;
}
