//! `/indexes/{index_uid}/documents…`.

use serde_json::json;

use crate::step::{delete, get, patch, post, put, upload};
use crate::trio::same;

fn books() -> serde_json::Value {
    json!([
        { "id": 1, "title": "Emma", "genre": "novel", "year": 1815, "author": { "name": "Austen" } },
        { "id": 2, "title": "Faust", "genre": "play", "year": 1808, "author": { "name": "Goethe" } },
        { "id": 3, "title": "Nana", "genre": "novel", "year": 1880, "author": { "name": "Zola" } },
        { "id": "four", "title": "Ubu", "genre": "play", "year": 1896, "author": { "name": "Jarry" } },
    ])
}

#[tokio::test]
async fn documents_are_added_replaced_and_updated() {
    same([
        post("/indexes/added/documents", books()),
        post("/indexes/added/documents", json!({ "id": 1, "title": "Emma again" })),
        get("/indexes/added/documents/1"),
        put("/indexes/added/documents", json!([{ "id": 2, "seen": true }, { "id": 9, "title": "new" }])),
        get("/indexes/added/documents/2"),
        get("/indexes/added/documents/four?fields=title,year"),
        get("/indexes/added/documents/nobody"),
        put("/indexes/added/documents?skipCreation=true", json!([{ "id": 2, "seen": false }, { "id": 10 }])),
        get("/indexes/added/documents/10"),
        post("/indexes/added/documents?customMetadata=mine", json!([{ "id": 11 }])),
        post("/indexes/added_with_key/documents?primaryKey=isbn", json!([{ "isbn": 1 }])),
        get("/indexes/added_with_key"),
        get("/indexes/added/stats"),
        delete("/indexes/added"),
        delete("/indexes/added_with_key"),
    ])
    .await;
}

#[tokio::test]
async fn documents_come_as_ndjson_and_csv() {
    same([
        upload("/indexes/uploaded/documents", "application/x-ndjson", "{\"id\":1}\n{\"id\":2,\"a\":\"b\"}\n"),
        upload("/indexes/uploaded/documents", "text/csv", "id,price:number,in:boolean\n3,1.5,true\n4,,\n"),
        upload("/indexes/uploaded/documents?csvDelimiter=%3B", "text/csv", "id;title\n5;\"a;b\"\n"),
        upload("/indexes/uploaded/documents", "text/csv", "id,price:number\n6,cheap\n"),
        upload("/indexes/uploaded/documents", "text/plain", "id"),
        get("/indexes/uploaded/documents").in_any_order(),
        delete("/indexes/uploaded"),
    ])
    .await;
}

#[tokio::test]
async fn documents_are_browsed() {
    same([
        patch(
            "/indexes/browsed/settings",
            json!({ "filterableAttributes": ["genre", "year"], "sortableAttributes": ["year"] }),
        ),
        post("/indexes/browsed/documents", books()),
        get("/indexes/browsed/documents").in_any_order(),
        get("/indexes/browsed/documents?limit=0"),
        get("/indexes/browsed/documents?offset=100"),
        get("/indexes/browsed/documents?fields=author.name,id").in_any_order(),
        get("/indexes/browsed/documents?filter=genre%20%3D%20novel").in_any_order(),
        get("/indexes/browsed/documents?sort=year:desc&limit=2&offset=1"),
        get("/indexes/browsed/documents?ids=1,four,nobody").in_any_order(),
        get("/indexes/browsed/documents?retrieveVectors=true").in_any_order(),
        get("/indexes/never_browsed/documents"),
        get("/indexes/browsed/documents?filter=title%20%3D%20Emma"),
        delete("/indexes/browsed"),
    ])
    .await;
}

#[tokio::test]
async fn documents_are_fetched() {
    same([
        patch(
            "/indexes/fetched/settings",
            json!({ "filterableAttributes": ["genre", "year"], "sortableAttributes": ["year"] }),
        ),
        post("/indexes/fetched/documents", books()),
        post("/indexes/fetched/documents/fetch", json!({})).in_any_order(),
        post("/indexes/fetched/documents/fetch", json!({ "filter": "year < 1880", "fields": ["title"] }))
            .in_any_order(),
        post("/indexes/fetched/documents/fetch", json!({ "sort": ["year:asc"], "limit": 2, "offset": 1 })),
        post("/indexes/fetched/documents/fetch", json!({ "ids": [2, "four"] })).in_any_order(),
        post("/indexes/fetched/documents/fetch", json!({ "ids": [2, "four"], "filter": "genre = play" }))
            .in_any_order(),
        post("/indexes/fetched/documents/fetch", json!({ "sort": ["title:asc"] })),
        post("/indexes/never_fetched/documents/fetch", json!({})),
        delete("/indexes/fetched"),
    ])
    .await;
}

#[tokio::test]
async fn documents_are_deleted() {
    same([
        patch("/indexes/thinned/settings", json!({ "filterableAttributes": ["genre", "year"] })),
        post("/indexes/thinned/documents", books()),
        delete("/indexes/thinned/documents/1"),
        delete("/indexes/thinned/documents/1"),
        post("/indexes/thinned/documents/delete-batch", json!([2, "nobody"])),
        post("/indexes/thinned/documents/delete", json!({ "filter": "year > 1890" })),
        post("/indexes/thinned/documents/delete", json!({ "filter": "title = Nana" })),
        post("/indexes/thinned/documents/delete", json!({})),
        get("/indexes/thinned/documents"),
        delete("/indexes/thinned/documents"),
        get("/indexes/thinned/stats"),
        delete("/indexes/never_thinned/documents"),
        post("/indexes/never_thinned/documents/delete-batch", json!([1])),
        delete("/indexes/thinned"),
    ])
    .await;
}

#[tokio::test]
async fn documents_are_edited_by_a_function() {
    let function = "doc.title = `${doc.title.to_upper()} ${context.mark}`";
    same([
        patch("/indexes/edited/settings", json!({ "filterableAttributes": ["genre"] })),
        post("/indexes/edited/documents", books()),
        post("/indexes/edited/documents/edit", json!({ "function": function })),
        patch("/experimental-features", json!({ "editDocumentsByFunction": true })),
        post(
            "/indexes/edited/documents/edit",
            json!({ "function": function, "context": { "mark": "!" }, "filter": "genre = play" }),
        ),
        get("/indexes/edited/documents").in_any_order(),
        post("/indexes/edited/documents/edit", json!({ "function": "let let" })),
        post("/indexes/edited/documents/edit", json!({})),
        patch("/experimental-features", json!({ "editDocumentsByFunction": false })),
        delete("/indexes/edited"),
    ])
    .await;
}
