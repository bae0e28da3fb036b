//! Settings, whole and one by one.

use miroir_harness::Method;
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

fn changes() -> [(&'static str, Method, Value); 20] {
    [
        ("filterable-attributes", Method::PUT, json!(["genre", "year"])),
        ("sortable-attributes", Method::PUT, json!(["year"])),
        ("displayed-attributes", Method::PUT, json!(["id", "title"])),
        ("searchable-attributes", Method::PUT, json!(["title", "genre"])),
        ("ranking-rules", Method::PUT, json!(["words", "sort", "year:desc"])),
        ("stop-words", Method::PUT, json!(["the", "a"])),
        ("synonyms", Method::PUT, json!({ "film": ["movie"] })),
        ("distinct-attribute", Method::PUT, json!("title")),
        ("typo-tolerance", Method::PATCH, json!({ "enabled": false })),
        (
            "faceting",
            Method::PATCH,
            json!({ "maxValuesPerFacet": 7, "sortFacetValuesBy": { "genre": "count" } }),
        ),
        ("pagination", Method::PATCH, json!({ "maxTotalHits": 50 })),
        ("proximity-precision", Method::PUT, json!("byAttribute")),
        ("separator-tokens", Method::PUT, json!(["&sep"])),
        ("non-separator-tokens", Method::PUT, json!(["@"])),
        ("dictionary", Method::PUT, json!(["J. R. R."])),
        ("search-cutoff-ms", Method::PUT, json!(700)),
        ("facet-search", Method::PUT, json!(false)),
        ("prefix-search", Method::PUT, json!("disabled")),
        (
            "localized-attributes",
            Method::PUT,
            json!([{ "attributePatterns": ["title"], "locales": ["fra"] }]),
        ),
        ("embedders", Method::PATCH, json!({ "v": { "source": "userProvided", "dimensions": 3 } })),
    ]
}

#[tokio::test]
async fn each_setting_can_be_read_changed_and_reset() {
    let pair = PAIR.get().await;
    let settings = "/indexes/tuned/settings";
    pair.same(async |client| {
        finished(&client, client.post("/indexes/tuned/documents", &json!([{ "id": 1, "title": "a" }])).await)
            .await;
        client.get(settings).await.unwrap().ok().unwrap()
    })
    .await;
    for (name, method, value) in &changes() {
        let path = format!("{settings}/{name}");
        pair.same(async |client| {
            let task = finished(&client, client.request(method.clone(), &path, value).await).await;
            (name, task, client.get(&path).await.unwrap().ok().unwrap())
        })
        .await;
    }
    pair.same(async |client| client.get(settings).await.unwrap().ok().unwrap()).await;
    for (name, ..) in &changes() {
        let path = format!("{settings}/{name}");
        pair.same(async |client| {
            let task = finished(&client, client.delete(&path).await).await;
            (name, task, client.get(&path).await.unwrap().ok().unwrap())
        })
        .await;
    }
    pair.same(async |client| client.get(settings).await.unwrap().ok().unwrap()).await;
}

#[tokio::test]
async fn all_settings_can_be_changed_and_reset_at_once() {
    let pair = PAIR.get().await;
    let settings = "/indexes/tuned-at-once/settings";
    let change = json!({
        "filterableAttributes": ["genre", { "attributePatterns": ["x*"], "features": { "facetSearch": true, "filter": { "equality": true, "comparison": false } } }],
        "rankingRules": ["words", "year:asc"],
        "typoTolerance": { "minWordSizeForTypos": { "oneTypo": 4 } },
        "displayedAttributes": ["*"],
        "pagination": { "maxTotalHits": 33 },
        "searchableAttributes": null,
    });
    pair.same(async |client| {
        let made = finished(&client, client.patch(settings, &change).await).await;
        let after = client.get(settings).await.unwrap().ok().unwrap();
        let mut reset = finished(&client, client.delete(settings).await).await;
        // Experimental features: not every node knows of them.
        for experimental in ["chat", "foreignKeys"] {
            reset["details"].as_object_mut().unwrap().remove(experimental);
        }
        (made, after, reset, client.get(settings).await.unwrap().ok().unwrap())
    })
    .await;
}

/// They shape searches as they would on one node.
#[tokio::test]
async fn settings_take_effect() {
    let pair = PAIR.get().await;
    let documents: Vec<Value> = (0..60)
        .map(|id| json!({ "id": id, "title": format!("film {}", id % 20), "genre": format!("g{}", id % 12), "year": 1950 + id }))
        .collect();
    let searches = [
        json!({ "q": "film", "sort": ["year:asc"], "limit": 60 }),
        json!({ "q": "movie", "filter": "genre = g3 OR year > 2000", "sort": ["year:asc"], "page": 1, "hitsPerPage": 7 }),
        json!({ "q": "", "sort": ["year:desc"], "attributesToHighlight": ["*"], "attributesToRetrieve": ["*"] }),
    ];
    let change = json!({
        "filterableAttributes": ["genre", "year"], "sortableAttributes": ["year"], "synonyms": { "movie": ["film"] },
        "displayedAttributes": ["title", "year"], "distinctAttribute": "title", "pagination": { "maxTotalHits": 15 },
    });
    pair.same(async |client| {
        finished(&client, client.patch("/indexes/shaped/settings", &change).await).await;
        finished(&client, client.post("/indexes/shaped/documents", &documents).await).await;
        let mut found = Vec::new();
        for search in &searches {
            let mut answer = client.index("shaped").search(search).await.unwrap();
            // With a distinct attribute the estimate depends on where a node stops looking.
            for passing in ["processingTimeMs", "requestUid", "estimatedTotalHits"] {
                answer.as_object_mut().unwrap().remove(passing);
            }
            found.push(answer);
        }
        found
    })
    .await;
}
