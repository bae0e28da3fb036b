//! Which documents are one document, and under which key.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use miroir_harness::Client;
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

/// What an index holds, in the order of the ids as text.
async fn all(client: &Client, index: &str) -> Vec<Value> {
    let found = client.index(index).search(&json!({ "limit": 1000 })).await.unwrap();
    let mut hits = found["hits"].as_array().cloned().unwrap();
    hits.sort_by_key(Value::to_string);
    hits
}

#[tokio::test]
async fn a_number_and_its_text_are_one_document() {
    let pair = PAIR.get().await;
    let add = async |client: &Client, documents: Value| {
        finished(client, client.post("/indexes/one/documents", &documents).await).await
    };
    let held = pair.same(async |client| {
        add(&client, json!([{ "id": 7, "is": "number" }])).await;
        add(&client, json!([{ "id": "7", "is": "text" }])).await;
        add(&client, json!([{ "id": "8", "is": "text" }, { "id": 8, "is": "number" }])).await;
        let index = client.index("one");
        (
            index.document("7").await.unwrap().ok().unwrap(),
            all(&client, "one").await,
            index.count().await.unwrap(),
        )
    });
    let (seven, all, count) = held.await;
    assert_eq!(seven, json!({ "id": "7", "is": "text" }));
    assert_eq!((all.len(), count), (2, 2));
}

#[tokio::test]
async fn a_thousand_documents_are_each_found_once() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let index = client.index("thousand");
    let id = |n: usize| match n % 3 {
        0 => json!(n),
        1 => json!(format!("{n}")),
        _ => json!(format!("{n:08x}-ab_C")),
    };
    let documents: Vec<Value> =
        (0..1000).map(|n| json!({ "id": id(n), "word": format!("word{n:04}"), "n": n })).collect();
    let task = index.add_documents(&documents).await.unwrap();
    assert_eq!(task["details"], json!({ "receivedDocuments": 1000, "indexedDocuments": 1000 }));

    let index = &index;
    let looks = stream::iter(&documents).map(|document| async move {
        let id = document["id"].as_str().map_or_else(|| document["id"].to_string(), str::to_owned);
        assert_eq!(index.document(&id).await.unwrap().ok().unwrap(), *document);
        // A phrase is taken as it is: no typos, no prefixes.
        let phrase = json!({ "q": format!("\"{}\"", document["word"].as_str().unwrap()) });
        let found = index.search(&phrase).await.unwrap();
        assert_eq!(found["hits"], json!([document]));
        assert_eq!(found["estimatedTotalHits"], 1);
    });
    looks.buffer_unordered(4).collect::<Vec<()>>().await;

    let mut seen = BTreeSet::new();
    for page in 1..=10 {
        let found = index.search(&json!({ "hitsPerPage": 100, "page": page })).await.unwrap();
        assert_eq!(found["totalHits"], 1000);
        seen.extend(found["hits"].as_array().unwrap().iter().map(|hit| hit["n"].as_u64().unwrap()));
    }
    assert_eq!(seen, (0..1000).collect());
    assert_eq!(index.count().await.unwrap(), 1000);
}

#[tokio::test]
async fn primary_keys_are_nested_named_or_inferred() {
    let pair = PAIR.get().await;
    let cases = [
        (
            "nested",
            "?primaryKey=a.b",
            json!([{ "a": { "b": 1 }, "x": 1 }, { "a.b": 2 }, { "a": { "b": "3" } }]),
        ),
        ("named", "?primaryKey=sku", json!([{ "sku": "x-1", "id": 1 }, { "sku": "x-2", "id": 1 }])),
        ("inferred", "", json!([{ "movieId": 1, "title": "a" }, { "movieId": 2 }])),
        ("inferred-later", "", json!([{ "title": "b", "ID": 1 }])),
        ("ambiguous", "", json!([{ "movieId": 1, "id": 2 }])),
        ("none", "", json!([{ "title": "a" }])),
        ("missing", "?primaryKey=sku", json!([{ "id": 1 }])),
        ("encoded", "?primaryKey=the%20key", json!([{ "the key": 1 }])),
    ];
    for (index, query, documents) in &cases {
        pair.same(async |client| {
            let path = format!("/indexes/pk-{index}/documents{query}");
            let task = finished(&client, client.post(&path, documents).await).await;
            let index = client.get(&format!("/indexes/pk-{index}")).await.unwrap();
            (task, index.status, index.json::<Value>().unwrap()["primaryKey"].clone())
        })
        .await;
    }
    // One that the index has already is right, another is wrong.
    for key in ["sku", "other"] {
        pair.same(async |client| {
            let path = format!("/indexes/pk-named/documents?primaryKey={key}");
            finished(&client, client.post(&path, &json!([{ "sku": "x-3", "other": 1 }])).await).await
        })
        .await;
    }
    pair.same(async |client| {
        let one = client.index("pk-nested").document("3").await.unwrap();
        (all(&client, "pk-nested").await, all(&client, "pk-named").await, one.ok().unwrap())
    })
    .await;
}
