//! `/indexes/{index_uid}/settings` and every subroute.

use miroir_harness::Method;
use serde_json::{Value, json};

use crate::step::{Step, delete, get, patch, post, put, send};
use crate::trio::{only_on_a_real_server, same};

/// Reads a setting, changes it, reads it, gives it a value that it can't have, resets it and reads it again.
fn round(route: &str, method: &Method, value: Value) -> Vec<Step> {
    let path = format!("/indexes/tuned/settings/{route}");
    vec![
        get(path.clone()),
        send(method.clone(), path.clone(), value),
        get(path.clone()),
        send(method.clone(), path.clone(), json!({ "nope": [1] })),
        delete(path.clone()),
        get(path),
    ]
}

#[tokio::test]
async fn every_setting_is_read_changed_and_reset() {
    let mut steps = vec![post("/indexes/tuned/documents", json!([{ "id": 1, "title": "a", "year": 1 }]))];
    for (route, method, value) in [
        ("displayed-attributes", Method::PUT, json!(["id", "title"])),
        ("searchable-attributes", Method::PUT, json!(["title"])),
        ("filterable-attributes", Method::PUT, json!(["year"])),
        ("sortable-attributes", Method::PUT, json!(["year"])),
        ("ranking-rules", Method::PUT, json!(["words", "year:desc"])),
        ("stop-words", Method::PUT, json!(["the"])),
        ("non-separator-tokens", Method::PUT, json!(["#"])),
        ("separator-tokens", Method::PUT, json!(["|"])),
        ("dictionary", Method::PUT, json!(["J. R."])),
        ("synonyms", Method::PUT, json!({ "a": ["b"] })),
        ("distinct-attribute", Method::PUT, json!("year")),
        ("proximity-precision", Method::PUT, json!("byAttribute")),
        ("typo-tolerance", Method::PATCH, json!({ "enabled": false, "disableOnWords": ["x"] })),
        (
            "faceting",
            Method::PATCH,
            json!({ "maxValuesPerFacet": 7, "sortFacetValuesBy": { "year": "count" } }),
        ),
        ("pagination", Method::PATCH, json!({ "maxTotalHits": 7 })),
        ("embedders", Method::PATCH, json!({ "e": { "source": "userProvided", "dimensions": 2 } })),
        ("search-cutoff-ms", Method::PUT, json!(150)),
        ("localized-attributes", Method::PUT, json!([{ "attributePatterns": ["*"], "locales": ["jpn"] }])),
        ("facet-search", Method::PUT, json!(false)),
        ("prefix-search", Method::PUT, json!("disabled")),
    ] {
        steps.extend(round(route, &method, value));
    }
    steps.push(delete("/indexes/tuned"));
    same(steps).await;
}

#[tokio::test]
async fn settings_of_foreign_keys_and_chat_are_answered_alike() {
    if only_on_a_real_server("foreign keys and chats") {
        return;
    }
    let mut steps = vec![post("/indexes", json!({ "uid": "tuned" }))];
    steps.extend(round("foreign-keys", &Method::PUT, json!([{ "foreignIndexUid": "a", "fieldName": "b" }])));
    steps.extend(round("chat", &Method::PATCH, json!({ "description": "d" })));
    steps.push(delete("/indexes/tuned"));
    same(steps).await;
}

#[tokio::test]
async fn all_settings_are_read_changed_and_reset_at_once() {
    same([
        get("/indexes/tuned_whole/settings"),
        delete("/indexes/tuned_whole/settings"),
        patch(
            "/indexes/tuned_whole/settings",
            json!({ "rankingRules": ["words"], "stopWords": ["the"], "pagination": { "maxTotalHits": 5 } }),
        ),
        get("/indexes/tuned_whole/settings"),
        patch("/indexes/tuned_whole/settings", json!({ "stopWords": null, "synonyms": { "a": ["b"] } })),
        get("/indexes/tuned_whole/settings"),
        patch("/indexes/tuned_whole/settings", json!({ "nope": 1 })),
        put("/indexes/tuned_whole/settings", json!({})),
        delete("/indexes/tuned_whole/settings"),
        get("/indexes/tuned_whole/settings"),
        delete("/indexes/tuned_whole"),
    ])
    .await;
}
