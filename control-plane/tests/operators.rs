//! What an operator sees of a control plane that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use miroir_control_plane::config::Config;
use miroir_control_plane::server::{Server, open_sqlite};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(20);

/// A node that has nothing but the filter's key, and answers as long as it is well.
struct Node {
    url: String,
    well: Arc<AtomicBool>,
}

impl Node {
    async fn start() -> Node {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", port.local_addr().unwrap());
        let well = Arc::new(AtomicBool::new(true));
        let app = Router::new().fallback(answer).with_state(well.clone());
        tokio::spawn(axum::serve(port, app).into_future());
        Node { url, well }
    }
}

async fn answer(State(well): State<Arc<AtomicBool>>, request: Request) -> Response {
    if !well.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if request.uri().path() == "/health" {
        return axum::Json(json!({"status": "available"})).into_response();
    }
    if request.headers().get(AUTHORIZATION).is_none_or(|key| key != "Bearer masterKey") {
        let body = json!({"message": "", "code": "invalid_api_key", "type": "auth", "link": ""});
        return (StatusCode::FORBIDDEN, axum::Json(body)).into_response();
    }
    if request.uri().path() == "/keys" {
        // It has Miroir's own keys already.
        let own = [miroir_control_plane::keys::reader(), miroir_control_plane::keys::writer()];
        return axum::Json(json!({"results": own, "total": 2})).into_response();
    }
    axum::Json(json!({"results": [], "offset": 0, "limit": 20, "total": 0, "from": null, "next": null}))
        .into_response()
}

struct ControlPlane {
    server: Server,
    _store: TempDir,
    client: Client,
}

impl ControlPlane {
    async fn start(nodes: &[&Node], master_key: &str) -> ControlPlane {
        let store = tempfile::tempdir().unwrap();
        let nodes: Vec<Value> =
            nodes.iter().zip(["a", "b"]).map(|(node, id)| json!({"id": id, "url": node.url})).collect();
        let mut config: Config = serde_json::from_value(json!({
            "shards": 4,
            "nodes": nodes,
            "task_store": {"path": store.path().join("miroir.db")},
            "listen": {"envoy": "127.0.0.1:0", "admin": "127.0.0.1:0"},
            "filter": {"module": "/filter.wasm"},
            "health": {"interval_ms": 20, "unhealthy_threshold": 2},
        }))
        .unwrap();
        config.master_key = master_key.into();
        config.admin_key = "adminKey".into();
        let opened = open_sqlite(&config.task_store).unwrap();
        let server = Server::start(config, opened).await.unwrap();
        ControlPlane { server, _store: store, client: Client::new() }
    }

    async fn get(&self, path: &str, key: Option<&str>) -> (u16, String) {
        let request = self.client.get(format!("http://{}{path}", self.server.admin));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path, Some("adminKey")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks until the readiness is `status`, and returns what is then said.
    async fn until_ready_is(&self, status: u16) -> String {
        let asking = async {
            loop {
                let (found, body) = self.get("/_miroir/ready", None).await;
                if found == status {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, asking).await.unwrap()
    }
}

#[tokio::test]
async fn readiness_follows_the_nodes() {
    let (a, b) = (Node::start().await, Node::start().await);
    let miroir = ControlPlane::start(&[&a, &b], "masterKey").await;
    miroir.until_ready_is(200).await;

    b.well.store(false, Ordering::Relaxed);
    let body = miroir.until_ready_is(503).await;
    assert!(body.contains("nodes not up: b"), "{body}");
    let topology = miroir.json("/_miroir/topology").await;
    assert_eq!(
        (&topology["nodes"][0]["status"], &topology["nodes"][1]["status"]),
        (&json!("up"), &json!("down"))
    );
    assert!(topology["nodes"][1]["reason"].as_str().unwrap().contains("503"), "{topology}");

    b.well.store(true, Ordering::Relaxed);
    miroir.until_ready_is(200).await;
    miroir.server.stop().await;
}

#[tokio::test]
async fn a_node_with_another_master_key_is_down_and_says_why() {
    let node = Node::start().await;
    let miroir = ControlPlane::start(&[&node], "anotherKey").await;
    let body = loop {
        let body = miroir.until_ready_is(503).await;
        if !body.contains("being checked") {
            break body;
        }
    };
    assert!(body.contains("nodes not up: a"), "{body}");
    let topology = miroir.json("/_miroir/topology").await;
    assert!(topology["nodes"][0]["reason"].as_str().unwrap().contains("invalid_api_key"), "{topology}");
}

#[tokio::test]
async fn the_topology_and_the_shards_tell_who_has_what() {
    let (a, b) = (Node::start().await, Node::start().await);
    let miroir = ControlPlane::start(&[&a, &b], "masterKey").await;
    let topology = miroir.json("/_miroir/topology").await;
    assert_eq!((&topology["epoch"], &topology["shards"]), (&json!(1), &json!(4)));
    assert_eq!(topology["groups"], json!({"default": ["a", "b"]}));
    assert_eq!(topology["nodes"][0]["shards"], json!(2));
    let shards = miroir.json("/_miroir/shards").await;
    let of_a = |shard: &&Value| shard["owners"]["default"] == json!(["a"]);
    assert_eq!(shards["shards"].as_array().unwrap().iter().filter(of_a).count(), 2);
}

#[tokio::test]
async fn only_the_admin_key_opens_the_api() {
    let node = Node::start().await;
    let miroir = ControlPlane::start(&[&node], "masterKey").await;
    for path in ["/_miroir/topology", "/_miroir/shards"] {
        for (key, status, code) in [
            (None, 401, "missing_authorization_header"),
            (Some("masterKey"), 403, "invalid_api_key"),
            (Some(""), 403, "invalid_api_key"),
        ] {
            let (found, body) = miroir.get(path, key).await;
            assert_eq!(found, status, "{path} {key:?}");
            let error: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(error["code"], code);
        }
    }
    let (status, body) = miroir.get("/_miroir/nothing", None).await;
    assert_eq!(status, 404);
    assert!(body.contains("/_miroir/nothing"), "{body}");
}

#[tokio::test]
async fn metrics_and_the_api_description_are_open() {
    let node = Node::start().await;
    let miroir = ControlPlane::start(&[&node], "masterKey").await;
    miroir.until_ready_is(200).await;
    let (_, metrics) = miroir.get("/metrics", None).await;
    assert!(
        metrics.contains("miroir_node_up{node=\"a\"} 1") && metrics.contains("miroir_epoch 1"),
        "{metrics}"
    );

    let (_, description) = miroir.get("/_miroir/openapi.json", None).await;
    let description: Value = serde_json::from_str(&description).unwrap();
    for path in ["/_miroir/topology", "/_miroir/shards", "/_miroir/ready", "/metrics"] {
        assert!(description["paths"][path]["get"].is_object(), "{path}");
    }
    // Everything that is referred to is there.
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn a_wrong_address_is_refused_by_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config: Config = serde_json::from_value(json!({
        "nodes": [{"id": "a", "url": "http://a"}],
        "task_store": {"path": ":memory:"},
        "listen": {"envoy": taken.local_addr().unwrap().to_string(), "admin": "127.0.0.1:0"},
        "filter": {"module": "/filter.wasm"},
    }))
    .unwrap();
    let error = format!(
        "{:#}",
        Server::start(config.clone(), open_sqlite(&config.task_store).unwrap()).await.err().unwrap()
    );
    assert!(error.contains("`listen.envoy`"), "{error}");
}
