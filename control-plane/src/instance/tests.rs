//! Features and rules on nodes that are made up: the embedded node has neither.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::rules::Change;
use super::{bring_in_step, features, rules};
use crate::cluster::{Cluster, NodeHealth};
use crate::store::{TaskRecord, TaskStatus};
use crate::testing;

/// What a made-up node holds. Its tasks are done at once.
#[derive(Clone, Default)]
struct Node(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    features: Map<String, Value>,
    rules: BTreeMap<String, Value>,
    tasks: u64,
}

impl Node {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    fn enqueued(&self) -> Json<Value> {
        let mut held = self.held();
        held.tasks += 1;
        Json(json!({"taskUid": held.tasks}))
    }

    /// Starts it and gives back its address.
    async fn start(&self) -> String {
        let features = json!({"dynamicSearchRules": false, "metrics": false, "network": true});
        self.held().features = features.as_object().unwrap().clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route(
                "/keys",
                get(async || Json(json!({"results": [crate::keys::reader(), crate::keys::writer()]}))),
            )
            .route(
                "/tasks/{uid}",
                get(async |Path(uid): Path<u64>| Json(json!({"uid": uid, "status": "succeeded"}))),
            )
            .route("/experimental-features", get(show_features).patch(set_features))
            .route("/dynamic-search-rules", post(list_rules).delete(clear_rules))
            .route("/dynamic-search-rules/{uid}", get(show_rule).patch(set_rule).delete(delete_rule))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn show_features(State(node): State<Node>) -> Json<Map<String, Value>> {
    Json(node.held().features.clone())
}

async fn set_features(
    State(node): State<Node>,
    Json(changes): Json<Map<String, Value>>,
) -> Json<Map<String, Value>> {
    let mut held = node.held();
    held.features.extend(changes);
    Json(held.features.clone())
}

async fn list_rules(State(node): State<Node>) -> Json<Value> {
    Json(json!({"results": node.held().rules.values().collect::<Vec<_>>()}))
}

async fn clear_rules(State(node): State<Node>) -> Json<Value> {
    node.held().rules.clear();
    node.enqueued()
}

async fn show_rule(State(node): State<Node>, Path(uid): Path<String>) -> Json<Value> {
    Json(node.held().rules.get(&uid).cloned().unwrap_or_default())
}

async fn set_rule(
    State(node): State<Node>,
    Path(uid): Path<String>,
    Json(change): Json<Map<String, Value>>,
) -> Json<Value> {
    assert!(!change.contains_key("uid") && !change.contains_key("lastUpdatedAt"), "these can't be set");
    let Json(task) = node.enqueued();
    let mut held = node.held();
    let rule = held.rules.entry(uid.clone()).or_insert_with(|| json!({"uid": uid}));
    rule["lastUpdatedAt"] = json!(format!("{:p}", Arc::as_ptr(&node.0)));
    rule.as_object_mut().unwrap().extend(change);
    Json(task)
}

async fn delete_rule(State(node): State<Node>, Path(uid): Path<String>) -> Json<Value> {
    node.held().rules.remove(&uid);
    node.enqueued()
}

/// A cluster of two made-up nodes, the first of which is up.
async fn cluster() -> (Arc<Cluster>, [Node; 2]) {
    let nodes = [Node::default(), Node::default()];
    let urls = [nodes[0].start().await, nodes[1].start().await];
    let config = json!([{"id": "a", "url": urls[0]}, {"id": "b", "url": urls[1]}]);
    let cluster = testing::open(json!({"nodes": config}), &testing::store()).await.unwrap();
    set_up(&cluster, "a", true).await;
    (cluster, nodes)
}

async fn set_up(cluster: &Cluster, node: &str, up: bool) {
    let health = NodeHealth { up, reason: None, since: OffsetDateTime::now_utc() };
    cluster.health.write().await.insert(node.to_owned(), health);
    cluster.publish().await.unwrap();
}

/// The second node comes up as it does when it answers.
async fn bring_up(cluster: &Cluster) {
    bring_in_step(cluster, "b", &cluster.client("b").unwrap()).await.unwrap();
    set_up(cluster, "b", true).await;
}

#[tokio::test]
async fn features_go_to_every_node_and_what_nobody_set_stays() {
    let (cluster, [first, second]) = cluster().await;
    second.held().features.insert("network".to_owned(), json!(false));
    let shown = features::update(&cluster, &json!({"metrics": true})).await.unwrap();
    assert_eq!(
        Value::Object(shown.clone()),
        json!({"dynamicSearchRules": false, "metrics": true, "network": true})
    );
    assert_eq!(features::get(&cluster).await.unwrap(), shown);
    assert_eq!(second.held().features["metrics"], false, "it is not up");
    bring_up(&cluster).await;
    assert_eq!(
        Value::Object(second.held().features.clone()),
        json!({
            "dynamicSearchRules": false, "metrics": true, "network": false
        })
    );

    features::update(&cluster, &json!({"metrics": false})).await.unwrap();
    assert_eq!([&first, &second].map(|node| node.held().features["metrics"].clone()), [false, false]);
    first.held().features.insert("metrics".to_owned(), json!(true));
    bring_in_step(&cluster, "a", &cluster.client("a").unwrap()).await.unwrap();
    assert_eq!(first.held().features["metrics"], false, "what drifted is set again");
}

/// Ends a change of the rules as the poller does.
async fn finish(cluster: &Cluster, task: TaskRecord) {
    let mut task = TaskRecord { status: TaskStatus::Succeeded, ..task };
    for part in &mut task.parts {
        part.status = TaskStatus::Succeeded;
    }
    rules::commit(cluster, &task).await.unwrap();
    cluster.store.save_task(&task).await.unwrap();
}

#[tokio::test]
async fn every_node_has_the_rules_and_no_others() {
    let (cluster, [first, second]) = cluster().await;
    bring_up(&cluster).await;
    features::update(&cluster, &json!({"dynamicSearchRules": true})).await.unwrap();
    let put = async |uid: &str, rule: Value| {
        let change = Change::Update { uid, rule: &rule };
        finish(&cluster, rules::change(&cluster, change, "?customMetadata=shop").await.unwrap()).await;
    };
    put("kept", json!({"active": true})).await;
    put("changed", json!({"active": true, "description": "old"})).await;
    assert_eq!(cluster.store.task(0).await.unwrap().unwrap().custom_metadata.as_deref(), Some("shop"));

    let active = |node: &Node, uid: &str| node.held().rules.get(uid).map(|rule| rule["active"].clone());
    for uid in ["kept", "changed"] {
        assert_eq!([&first, &second].map(|node| active(node, uid)), [Some(json!(true)), Some(json!(true))]);
    }
    // The node loses one, gets another, and one changes.
    {
        let mut held = second.held();
        held.rules.remove("kept");
        held.rules.insert("stranger".to_owned(), json!({"uid": "stranger"}));
        held.rules.insert("changed".to_owned(), json!({"uid": "changed", "active": false, "more": 1}));
    }
    let pending = rules::change(&cluster, Change::Delete { uid: "nothing" }, "").await.unwrap();
    bring_in_step(&cluster, "b", &cluster.client("b").unwrap()).await.unwrap();
    assert!(second.held().rules.contains_key("stranger"), "nothing is repaired while a change is under way");
    finish(&cluster, pending).await;
    let content = |node: &Node| {
        let mut rules = node.held().rules.clone();
        rules.values_mut().for_each(|rule| rule["lastUpdatedAt"] = Value::Null);
        rules
    };
    assert_eq!(content(&second), content(&first));
    assert_eq!(content(&first).len(), 2);

    // The dates are one node's, whichever is asked.
    let dates = [&first, &second].map(|node| node.held().rules["kept"]["lastUpdatedAt"].clone());
    assert_ne!(dates[0], dates[1]);
    let before =
        rules::read(&cluster, axum::http::Method::GET, "/dynamic-search-rules/kept", None).await.unwrap();
    set_up(&cluster, "a", false).await;
    let path = "/dynamic-search-rules";
    let list = rules::read(&cluster, axum::http::Method::POST, path, Some(&json!({}))).await.unwrap();
    let listed = list["results"].as_array().unwrap().iter().find(|rule| rule["uid"] == "kept").unwrap();
    assert_eq!(listed, &before);

    finish(&cluster, rules::change(&cluster, Change::Clear, "").await.unwrap()).await;
    assert!(first.held().rules.is_empty() && second.held().rules.is_empty());
    assert!(cluster.store.search_rules().await.unwrap().is_empty());
}
