//! What is about the whole instance: health, version, features, dumps, snapshots, webhooks, rules, templates.

use serde_json::json;

use crate::step::{delete, get, order, patch, post};
use crate::trio::{only_on_a_real_server, same};

#[tokio::test]
async fn the_instance_tells_its_health_and_version() {
    same([get("/health"), get("/version")]).await;
}

#[tokio::test]
async fn experimental_features_are_switched() {
    same([
        get("/experimental-features"),
        patch("/experimental-features", json!({ "containsFilter": true })),
        get("/experimental-features"),
        patch("/experimental-features", json!({ "containsFilter": false })),
        patch("/experimental-features", json!({ "nope": true })),
        patch("/experimental-features", json!({ "containsFilter": 1 })),
    ])
    .await;
}

#[tokio::test]
async fn dumps_and_snapshots_are_tasks() {
    same([order("/dumps"), order("/snapshots")]).await;
}

#[tokio::test]
async fn webhooks_are_kept() {
    if only_on_a_real_server("webhooks") {
        return;
    }
    const NOBODY: &str = "/webhooks/00000000-0000-4000-8000-000000000009";
    same([
        get("/webhooks"),
        post("/webhooks", json!({ "url": "http://127.0.0.1:9/hook", "headers": { "x": "y" } })),
        get("/webhooks"),
        post("/webhooks", json!({ "url": "nope" })),
        post("/webhooks", json!({})),
        get(NOBODY),
        patch(NOBODY, json!({ "url": "http://127.0.0.1:9/other" })),
        delete(NOBODY),
    ])
    .await;
}

#[tokio::test]
async fn dynamic_search_rules_are_kept() {
    if only_on_a_real_server("dynamic search rules") {
        return;
    }
    same([
        post("/dynamic-search-rules", json!({})),
        patch("/experimental-features", json!({ "dynamicSearchRules": true })),
        patch("/dynamic-search-rules/r", json!({ "description": "d" })),
        get("/dynamic-search-rules/r"),
        post("/dynamic-search-rules", json!({})),
        delete("/dynamic-search-rules/r"),
        delete("/dynamic-search-rules"),
        patch("/experimental-features", json!({ "dynamicSearchRules": false })),
    ])
    .await;
}

#[tokio::test]
async fn a_template_is_rendered() {
    if only_on_a_real_server("templates to render") {
        return;
    }
    let request = json!({
        "template": { "kind": "inlineDocumentTemplate", "inline": "{{ doc.title }}" },
        "input": { "kind": "inlineDocument", "inline": { "title": "t" } },
    });
    same([
        post("/render-template", request.clone()),
        patch("/experimental-features", json!({ "renderRoute": true })),
        post("/render-template", request),
        patch("/experimental-features", json!({ "renderRoute": false })),
    ])
    .await;
}
