//! Miroir's own field shows nowhere.

use miroir_harness::Method;
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

#[tokio::test]
async fn the_shard_tag_shows_nowhere() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let settings = json!({ "filterableAttributes": ["genre"], "sortableAttributes": ["year"] });
    finished(&client, client.patch("/indexes/hidden/settings", &settings).await).await;
    let documents: Vec<Value> = (0..20).map(|id| json!({ "id": id, "genre": "a", "year": id })).collect();
    finished(&client, client.post("/indexes/hidden/documents", &documents).await).await;

    let search = |body: Value| (Method::POST, "/indexes/hidden/search", body);
    let get = |path| (Method::GET, path, Value::Null);
    let requests = [
        search(json!({})),
        search(json!({ "facets": ["*"] })),
        search(json!({ "facets": ["_miroir_shar"] })),
        search(
            json!({ "attributesToHighlight": ["*"], "attributesToCrop": ["*"], "showMatchesPosition": true, "q": "a" }),
        ),
        search(
            json!({ "attributesToRetrieve": ["*"], "sort": ["year:asc"], "showRankingScoreDetails": true }),
        ),
        search(json!({ "filter": "nope = 1" })),
        search(json!({ "sort": ["nope:asc"] })),
        search(json!({ "facets": ["nope"] })),
        search(json!({ "filter": [["nope = 1"], "genre ="] })),
        search(json!({ "distinct": "nope" })),
        search(json!({ "attributesToSearchOn": ["nope"] })),
        search(json!({ "q": "⸀ ⸁⸂" })),
        search(json!({ "q": "⸀", "filter": "nope = 1" })),
        get("/indexes/hidden/search?facets=*&attributesToHighlight=*"),
        get("/indexes/hidden/search?filter=nope%20%3D%201"),
        get("/indexes/hidden/documents/1"),
        get("/indexes/hidden/documents/1?fields=*"),
        get("/indexes/hidden/settings"),
        get("/indexes/hidden/settings/filterable-attributes"),
        get("/indexes/hidden/settings/displayed-attributes"),
        get("/indexes/hidden/stats"),
        get("/indexes/hidden"),
        get("/indexes"),
        get("/stats"),
        get("/tasks?indexUids=hidden"),
    ];
    for (method, path, body) in requests {
        let answer = match body {
            Value::Null => client.get(path).await.unwrap(),
            _ => client.request(method, path, &body).await.unwrap(),
        };
        assert!(answer.status < 500, "{path} {body}: {} {}", answer.status, answer.text());
        // The answer repeats the query.
        let text = answer.text().replace(body["q"].as_str().filter(|q| !q.is_empty()).unwrap_or("\0"), "");
        assert!(!text.contains("_miroir_shard") && !text.contains('⸀'), "{path} {body}: {text}");
    }
}
