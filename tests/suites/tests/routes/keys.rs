//! `/keys…`, and what keys allow.

use serde_json::json;

use crate::step::{delete, get, patch, post};
use crate::trio::same;

const SEARCHING: &str = "00000000-0000-4000-8000-000000000001";
const READING: &str = "00000000-0000-4000-8000-000000000002";
const SHORT: &str = "00000000-0000-4000-8000-000000000003";

#[tokio::test]
async fn keys_are_created_listed_updated_and_deleted() {
    let path = format!("/keys/{SHORT}");
    same([
        post(
            "/keys",
            json!({ "uid": SHORT, "name": "n", "description": "d", "actions": ["search"], "indexes": ["a*"],
                "expiresAt": "2999-01-01T00:00:00Z" }),
        ),
        post("/keys", json!({ "uid": SHORT, "actions": ["search"], "indexes": ["*"], "expiresAt": null })),
        get(path.clone()),
        get("/keys?limit=1"),
        get("/keys").in_any_order(),
        patch(path.clone(), json!({ "name": "another", "description": null })),
        patch(path.clone(), json!({ "actions": ["*"] })),
        get(path.clone()),
        delete(path.clone()),
        get(path.clone()),
        delete(path.clone()),
        patch(path, json!({ "name": "gone" })),
        get("/keys/nobody"),
    ])
    .await;
}

#[tokio::test]
async fn keys_allow_their_actions_on_their_indexes() {
    same([
        post("/keys", json!({ "uid": SEARCHING, "actions": ["search"], "indexes": ["allowed"], "expiresAt": null })),
        post(
            "/keys",
            json!({ "uid": READING, "actions": ["documents.get", "tasks.get", "indexes.get", "stats.get", "settings.get"],
                "indexes": ["allowed"], "expiresAt": null }),
        ),
        post("/indexes/allowed/documents", json!([{ "id": 1 }])),
        post("/indexes/forbidden/documents", json!([{ "id": 1 }])),
        post("/indexes/allowed/search", json!({})).with_key(SEARCHING),
        post("/indexes/forbidden/search", json!({})).with_key(SEARCHING),
        post("/multi-search", json!({ "queries": [{ "indexUid": "allowed" }] })).with_key(SEARCHING),
        post("/multi-search", json!({ "queries": [{ "indexUid": "forbidden" }] })).with_key(SEARCHING),
        post("/indexes/allowed/documents", json!([{ "id": 2 }])).with_key(SEARCHING),
        get("/indexes/allowed/documents/1").with_key(READING),
        get("/indexes/forbidden/documents/1").with_key(READING),
        get("/indexes").with_key(READING),
        get("/indexes/allowed").with_key(READING),
        get("/indexes/forbidden").with_key(READING),
        get("/stats").with_key(READING),
        get("/indexes/allowed/settings").with_key(READING),
        get("/indexes/forbidden/settings/stop-words").with_key(READING),
        get("/tasks?types=documentAdditionOrUpdate&indexUids=allowed").with_key(READING),
        delete("/indexes/allowed").with_key(READING),
        get("/keys").with_key(READING),
        get("/version").with_key(SEARCHING),
        delete(format!("/keys/{SEARCHING}")),
        delete(format!("/keys/{READING}")),
        delete("/indexes/allowed"),
        delete("/indexes/forbidden"),
    ])
    .await;
}
