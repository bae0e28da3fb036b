//! What is similar to a document.

use serde_json::json;

use crate::ask::{Request, get, post};

pub fn requests() -> Vec<Request> {
    let bodies = [
        json!({"id": 1, "embedder": "v"}),
        json!({"id": "1", "embedder": "v", "showRankingScore": true, "showRankingScoreDetails": true}),
        json!({"id": 7, "embedder": "v", "limit": 60}),
        json!({"id": 7, "embedder": "v", "offset": 11, "limit": 9}),
        json!({"id": 7, "embedder": "v", "offset": 500}),
        json!({"id": 7, "embedder": "v", "limit": 0}),
        json!({"id": 13, "embedder": "v", "filter": "year > 1980"}),
        json!({"id": 13, "embedder": "v", "filter": ["year > 1980", ["genres = Drama", "genres = comedy"]], "limit": 50}),
        json!({"id": 13, "embedder": "v", "attributesToRetrieve": ["title"]}),
        json!({"id": 13, "embedder": "v", "retrieveVectors": true, "limit": 3}),
        json!({"id": 13, "embedder": "v", "rankingScoreThreshold": 0.9, "limit": 100}),
        json!({"id": 13, "embedder": "v", "rankingScoreThreshold": 0.2, "limit": 3}),
        // Without a vector.
        json!({"id": 10, "embedder": "v"}),
        json!({"id": 10, "embedder": "v", "filter": "year > 1980"}),
        json!({"id": 20, "embedder": "v", "filter": "year < 1980"}),
        // What is wrong.
        json!({"id": 9999, "embedder": "v"}),
        json!({"id": "no id!", "embedder": "v"}),
        json!({"id": [1], "embedder": "v"}),
        json!({"id": 1}),
        json!({"embedder": "v"}),
        json!({"id": 1, "embedder": "nope"}),
        json!({"id": 1, "embedder": 1}),
        json!({"id": 1, "embedder": "v", "limit": -1}),
        json!({"id": 1, "embedder": "v", "offset": "x"}),
        json!({"id": 1, "embedder": "v", "filter": "overview = 1"}),
        json!({"id": 1, "embedder": "v", "filter": 1}),
        json!({"id": 1, "embedder": "v", "nope": 1}),
        json!({"id": 1, "embedder": "v", "rankingScoreThreshold": 2}),
        json!({"id": 1, "embedder": "v", "showRankingScore": 1}),
        json!([]),
    ];
    let queries = [
        "id=7&embedder=v",
        "id=7&embedder=v&limit=5&offset=2&showRankingScore=true&showRankingScoreDetails=true",
        "id=7&embedder=v&filter=year%20%3E%201980&attributesToRetrieve=title,year",
        "id=7&embedder=v&rankingScoreThreshold=0.8&limit=100",
        "id=7&embedder=v&retrieveVectors=true&limit=2",
        "id=7",
        "embedder=v",
        "id=7&embedder=v&limit=x",
        "id=7&embedder=v&rankingScoreThreshold=x",
        "id=7&embedder=v&nope=1",
        "id=9999&embedder=v",
    ];
    let mut requests: Vec<Request> =
        bodies.into_iter().map(|body| post("/indexes/scenes/similar", body)).collect();
    requests.extend(queries.into_iter().map(|query| get(format!("/indexes/scenes/similar?{query}"))));
    requests.push(post("/indexes/nowhere/similar", json!({"id": 1, "embedder": "v"})));
    requests.push(post("/indexes/bare/similar", json!({"id": 1, "embedder": "v"})));
    requests
}
