//! `/indexes`, `/indexes/{index_uid}`, its stats and fields, compaction, and `/swap-indexes`.

use serde_json::json;

use crate::step::{delete, get, order, patch, post};
use crate::trio::same;

#[tokio::test]
async fn indexes_are_created_listed_updated_and_deleted() {
    same([
        post("/indexes", json!({ "uid": "made", "primaryKey": "id" })),
        post("/indexes", json!({ "uid": "made" })),
        post("/indexes", json!({ "uid": "made_without_key" })),
        get("/indexes/made"),
        get("/indexes/never_made"),
        get("/indexes?limit=1"),
        get("/indexes?offset=1000"),
        get("/indexes?limit=a"),
        patch("/indexes/made_without_key", json!({ "primaryKey": "isbn" })),
        get("/indexes/made_without_key"),
        patch("/indexes/never_made", json!({ "primaryKey": "isbn" })),
        patch("/indexes/made", json!({ "createdAt": "now" })),
        delete("/indexes/made"),
        get("/indexes/made"),
        delete("/indexes/made"),
        delete("/indexes/made_without_key"),
    ])
    .await;
}

#[tokio::test]
async fn an_index_is_renamed() {
    same([
        post("/indexes/old_name/documents", json!([{ "id": 1, "title": "Alphaville" }])),
        patch("/indexes/old_name", json!({ "uid": "new_name" })),
        get("/indexes/old_name"),
        get("/indexes/new_name"),
        get("/indexes/new_name/documents/1"),
        post("/indexes", json!({ "uid": "in_the_way" })),
        patch("/indexes/new_name", json!({ "uid": "in_the_way" })),
        patch("/indexes/new_name", json!({ "uid": "bad name" })),
        delete("/indexes/new_name"),
        delete("/indexes/in_the_way"),
    ])
    .await;
}

#[tokio::test]
async fn stats_count_each_document_once() {
    same([
        post(
            "/indexes/counted/documents",
            json!([{ "id": 1, "a": 1 }, { "id": 2, "b": 1 }, { "id": 3, "a": 2 }]),
        ),
        get("/indexes/counted/stats"),
        get("/indexes/counted/stats?sizeFormat=nope"),
        get("/indexes/never_counted/stats"),
        get("/stats"),
        delete("/indexes/counted"),
    ])
    .await;
}

#[tokio::test]
async fn fields_tell_what_they_are_used_for() {
    same([
        patch(
            "/indexes/of_fields/settings",
            json!({
                "filterableAttributes": ["genre"], "sortableAttributes": ["year"], "distinctAttribute": "isbn",
                "rankingRules": ["words", "year:desc"], "displayedAttributes": ["id", "genre", "year"],
            }),
        ),
        post("/indexes/of_fields/documents", json!([{ "id": 1, "genre": "g", "year": 1, "isbn": "x" }])),
        post("/indexes/of_fields/fields", json!({})),
        post("/indexes/of_fields/fields", json!({ "offset": 1, "limit": 1 })),
        post("/indexes/of_fields/fields", json!({ "filter": { "filterable": true } })),
        post("/indexes/of_fields/fields", json!({ "filter": { "attributePatterns": ["g*"], "sortable": false } })),
        post("/indexes/no_fields/fields", json!({})),
        delete("/indexes/of_fields"),
    ])
    .await;
}

#[tokio::test]
async fn an_index_is_compacted() {
    same([
        post("/indexes/compacted/documents", json!([{ "id": 1 }])),
        order("/indexes/compacted/compact"),
        order("/indexes/not_compacted/compact"),
        delete("/indexes/compacted"),
    ])
    .await;
}

#[tokio::test]
async fn indexes_are_swapped() {
    same([
        post("/indexes/left/documents", json!([{ "id": 1, "side": "left" }])),
        post("/indexes/right/documents", json!([{ "id": 1, "side": "right" }, { "id": 2, "side": "right" }])),
        post("/swap-indexes", json!([{ "indexes": ["left", "right"] }])),
        get("/indexes/left/stats"),
        get("/indexes/left/documents/1"),
        post("/swap-indexes", json!([{ "indexes": ["left", "nowhere"] }])),
        post("/swap-indexes", json!([{ "indexes": ["left", "nowhere"], "rename": true }])),
        get("/indexes/nowhere/documents/1"),
        get("/indexes/left"),
        post("/swap-indexes", json!([{ "indexes": ["nowhere", "right"], "rename": true }])),
        post("/swap-indexes", json!([])),
        delete("/indexes/nowhere"),
        delete("/indexes/right"),
    ])
    .await;
}
