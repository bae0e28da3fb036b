//! Nodes whose searches cost nothing: each is answered by the node once, and from then on by what it answered.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use futures::future::try_join_all;
use miroir_harness::{Client, Cluster, Options, SingleNode, free_port};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A cluster of such nodes, with one copy of each shard.
pub struct CannedCluster {
    // Dropped in this order: what calls before what is called.
    /// All but the nodes.
    pub cluster: Cluster,
    fronts: Vec<Front>,
    _nodes: Vec<SingleNode>,
}

impl CannedCluster {
    /// Starts it with so many nodes.
    pub async fn start(nodes: usize) -> Result<CannedCluster> {
        let nodes = try_join_all((0..nodes).map(|_| SingleNode::start())).await?;
        let fronts = try_join_all(nodes.iter().map(|node| Front::start(node.url()))).await?;
        let named = fronts.iter().enumerate();
        let topology: Vec<Value> = named
            .map(|(number, front)| json!({"id": format!("node-{number}"), "url": front.url()}))
            .collect();
        let config = json!({"nodes": topology});
        let options = Options { nodes: 0, replication_factor: 1, config, ..Options::default() };
        Ok(CannedCluster { cluster: Cluster::start(options).await?, fronts, _nodes: nodes })
    }

    /// Where each node answers.
    pub fn urls(&self) -> Vec<String> {
        self.fronts.iter().map(Front::url).collect()
    }

    /// Clients of the nodes themselves.
    pub fn clients(&self) -> Vec<Client> {
        let key = Options::default().master_key;
        self.fronts.iter().map(|front| Client::new(front.url(), &key)).collect()
    }
}

/// What stands before a node.
struct Front {
    port: u16,
    server: JoinHandle<()>,
}

struct Recording {
    node: String,
    http: reqwest::Client,
    /// By path and body.
    searches: RwLock<HashMap<(String, Bytes), Bytes>>,
}

impl Front {
    async fn start(node: String) -> Result<Front> {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let recording =
            Arc::new(Recording { node, http: reqwest::Client::new(), searches: RwLock::default() });
        let router = Router::new().fallback(answer).with_state(recording);
        let server = tokio::spawn(async move {
            // It ends by being aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Front { port, server })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(recording): State<Arc<Recording>>, request: Request) -> Response<Body> {
    recording.answer(request).await.unwrap_or_else(|_| failure())
}

impl Recording {
    async fn answer(&self, request: Request) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let search = (parts.uri.path().to_owned(), to_bytes(body, usize::MAX).await?);
        if let Some(found) = self.searches.read().unwrap_or_else(PoisonError::into_inner).get(&search) {
            return Ok(json_response(found.clone()));
        }
        let url = format!("{}{}", self.node, parts.uri);
        let request = self.http.request(parts.method, url).headers(parts.headers).body(search.1.clone());
        let response = request.send().await?;
        let (status, content_type) = (response.status(), response.headers().get(CONTENT_TYPE).cloned());
        let body = response.bytes().await?;
        if status == StatusCode::OK && search.0.ends_with("search") {
            self.searches.write().unwrap_or_else(PoisonError::into_inner).insert(search, body.clone());
        }
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Ok(response)
    }
}

fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn failure() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
