//! Documents by their places: pages, fields, filters, order.

use std::collections::BTreeSet;

use miroir_harness::Client;
use serde_json::{Value, json};

use crate::PAIR;

const COUNT: u64 = 300;

fn document(id: u64) -> Value {
    let mut document = json!({
        "id": id, "kind": format!("k{}", id % 7), "nested": { "rank": (id * 37) % 101, "more": id },
        "price": if id.is_multiple_of(5) { json!(format!("Price {id:03}")) } else { json!(id * 13 % 50) },
    });
    if id.is_multiple_of(4) {
        document["_geo"] = json!({ "lat": (id % 80) as f64, "lng": (id % 170) as f64 });
    }
    if id.is_multiple_of(11) {
        document.as_object_mut().unwrap().remove("price");
    }
    document
}

async fn prepare(client: &Client, uid: &str) {
    let index = client.create_index(uid, Some("id")).await.unwrap();
    let settings = json!({
        "filterableAttributes": ["kind", "price"], "sortableAttributes": ["id", "price", "nested.rank", "kind", "_geo"],
        "displayedAttributes": ["id", "kind", "price", "nested"],
    });
    index.update_settings(&settings).await.unwrap();
    index.add_documents(&(0..COUNT).map(document).collect::<Vec<_>>()).await.unwrap();
}

async fn fetch(client: &Client, uid: &str, query: &Value) -> Value {
    client.post(&format!("/indexes/{uid}/documents/fetch"), query).await.unwrap().ok().unwrap()
}

/// A page without an order of its own.
fn unordered(mut page: Value) -> Value {
    page["results"].as_array_mut().unwrap().sort_by_key(|document| document["id"].as_u64());
    page
}

#[tokio::test]
async fn pages_hold_each_document_once() {
    let pair = PAIR.get().await;
    pair.both(async |client| prepare(&client, "pages").await).await;
    pair.same(async |client| unordered(fetch(&client, "pages", &json!({ "limit": 1000 })).await)).await;
    for query in [
        json!({}),
        json!({ "offset": 290 }),
        json!({ "offset": 1000 }),
        json!({ "limit": 0 }),
        json!({ "filter": "kind = k3", "offset": 3, "limit": 10 }),
        json!({ "filter": [["kind = k3", "kind = k4"], "price > 10"], "limit": 100 }),
    ] {
        pair.same(async |client| {
            let page = fetch(&client, "pages", &query).await;
            let count = page["results"].as_array().unwrap().len();
            (count, page["total"].clone(), page["offset"].clone(), page["limit"].clone())
        })
        .await;
    }
    let client = pair.miroir.client();
    for (name, filter) in [("all", json!(null)), ("some", json!("kind != k1"))] {
        let whole = fetch(&client, "pages", &json!({ "limit": 1000, "filter": filter })).await;
        let mut joined = Vec::new();
        for offset in (0..COUNT).step_by(17) {
            let page =
                fetch(&client, "pages", &json!({ "offset": offset, "limit": 17, "filter": filter })).await;
            assert_eq!(page["total"], whole["total"]);
            joined.extend(page["results"].as_array().unwrap().clone());
        }
        assert_eq!(json!(joined), whole["results"], "{name}");
    }
}

#[tokio::test]
async fn sorted_pages_are_those_of_one_node() {
    let pair = PAIR.get().await;
    pair.both(async |client| prepare(&client, "sorted").await).await;
    for sort in [
        json!(["id:desc"]),
        json!(["price:asc", "id:asc"]),
        json!(["price:desc", "id:desc"]),
        json!(["nested.rank:asc", "id:desc"]),
        json!(["kind:desc", "nested.rank:desc", "id:asc"]),
        json!(["_geoPoint(40.5, 60.1):asc", "id:asc"]),
    ] {
        for (offset, limit) in [(0, 20), (33, 50), (290, 50), (500, 5)] {
            for more in [json!({}), json!({ "filter": "kind != k2", "fields": ["kind", "nested.more"] })] {
                let mut query = json!({ "sort": sort, "offset": offset, "limit": limit });
                query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                pair.same(async |client| (query.clone(), fetch(&client, "sorted", &query).await)).await;
            }
        }
    }
}

#[tokio::test]
async fn ids_and_fields_select() {
    let pair = PAIR.get().await;
    pair.both(async |client| prepare(&client, "selected").await).await;
    for query in [
        json!({ "ids": [7, "8", 299, "absent", 7] }),
        json!({ "ids": [7, 8, 9], "filter": "kind = k1" }),
        json!({ "ids": [7, 8, 9, 10], "sort": ["id:desc"], "offset": 1, "limit": 2, "fields": ["kind"] }),
        json!({ "ids": [] }),
        json!({ "ids": (0..50).collect::<Vec<_>>(), "fields": ["id", "nested"], "limit": 100 }),
        json!({ "ids": [5], "fields": [] }),
        json!({ "ids": [5], "fields": ["absent"] }),
        json!({ "ids": [5], "retrieveVectors": true }),
    ] {
        pair.same(async |client| (query.clone(), unordered(fetch(&client, "selected", &query).await))).await;
    }
    for parameters in [
        "ids=7,8,299&fields=kind,id",
        "ids=7&fields=*",
        "filter=kind%20=%20k1&sort=id:desc&limit=5",
        "filter=[%22kind%20=%20k1%22]&sort=price:asc,id:desc&offset=2&limit=5",
        "sort=_geoPoint(40,60):desc,id:asc&limit=7",
        "limit=3&offset=299&retrieveVectors=false",
    ] {
        pair.same(async |client| {
            let path = format!("/indexes/selected/documents?{parameters}");
            unordered(client.get(&path).await.unwrap().ok().unwrap())["total"].clone()
        })
        .await;
        if parameters.contains("sort") || parameters.contains("ids") {
            pair.same(async |client| {
                let path = format!("/indexes/selected/documents?{parameters}");
                client.get(&path).await.unwrap().ok().unwrap()["results"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(Value::to_string)
                    .collect::<BTreeSet<_>>()
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let pair = PAIR.get().await;
    pair.both(async |client| prepare(&client, "refused").await).await;
    for query in [
        json!({ "offset": -1 }),
        json!({ "limit": "x" }),
        json!({ "ids": ["a b"] }),
        json!({ "ids": [1.5] }),
        json!({ "ids": 1 }),
        json!({ "fields": "id" }),
        json!({ "filter": "colour = red" }),
        json!({ "filter": "kind =" }),
        json!({ "filter": 1 }),
        json!({ "sort": ["colour:asc"] }),
        json!({ "sort": ["id"] }),
        json!({ "nope": 1 }),
        json!([]),
    ] {
        pair.same(async |client| {
            let answer = client.post("/indexes/refused/documents/fetch", &query).await.unwrap();
            (query.clone(), answer.status, answer.code())
        })
        .await;
    }
    for parameters in
        ["offset=x", "limit=-1", "retrieveVectors=1", "nope=1", "filter=kind%20=", "sort=colour:asc"]
    {
        pair.same(async |client| {
            let answer = client.get(&format!("/indexes/refused/documents?{parameters}")).await.unwrap();
            (parameters, answer.status, answer.code())
        })
        .await;
    }
    pair.same(async |client| {
        let answer = client.get("/indexes/refused-absent/documents").await.unwrap();
        (answer.status, answer.json::<Value>().unwrap())
    })
    .await;
}
