//! Keys and tenant tokens, and what else the nodes have in common: experimental features, dumps, webhooks.

mod away;
mod instance;
mod lifecycle;
mod limits;
mod rules;
mod tenant_tokens;
mod webhooks;

use miroir_harness::{Client, Cluster, Options};
use miroir_suites::pair::SharedPair;
use serde_json::{Value, json};

static PAIR: SharedPair = SharedPair::new(Options::default);

/// A cluster of three nodes that is quick to see that a node is down or back.
async fn cluster() -> Cluster {
    let config = json!({ "health": { "interval_ms": 200, "timeout_ms": 1000 } });
    Cluster::start(Options { shards: 16, config, ..Options::default() }).await.unwrap()
}

/// The uid of a key: the same number makes the same key on every server with the same master key.
fn uid(number: u32) -> String {
    format!("6062abda-a5aa-4414-ac91-{number:012x}")
}

/// Creates a key and gives back its value.
async fn create_key(client: &Client, number: u32, actions: &[&str], indexes: &[&str]) -> String {
    let body = json!({ "uid": uid(number), "actions": actions, "indexes": indexes, "expiresAt": null });
    let key = client.post("/keys", &body).await.unwrap().ok().unwrap();
    key["key"].as_str().unwrap().to_owned()
}

/// Status, code and words of an answer.
async fn outcome(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Value {
    let method = method.parse().unwrap();
    let (content_type, body) = match body {
        Some(body) => (Some("application/json"), serde_json::to_vec(body).unwrap()),
        None => (None, Vec::new()),
    };
    let answer = client.send(method, path, content_type, body).await.unwrap();
    let body: Value = answer.json().unwrap_or_default();
    json!({ "status": answer.status, "code": body["code"], "type": body["type"], "message": body["message"] })
}

/// Whether the nodes lack a route, which the embedded ones may: says so, and what is not tested then.
async fn lacking(node: &Client, path: &str) -> bool {
    let lacking = node.get(path).await.unwrap().status == 404;
    if lacking {
        assert!(std::env::var_os("MEILISEARCH_BIN").is_none(), "Meilisearch has no {path}");
        eprintln!("not tested: the embedded node has no {path}, set MEILISEARCH_BIN");
    }
    lacking
}
