//! Searches by vectors, and by vectors and words together.

use serde_json::{Value, json};

use crate::ask::{Request, post};
use crate::corpus::vector;

fn hybrid(q: &str, ratio: f64, more: Value) -> Request {
    let mut body = json!({
        "q": q,
        "vector": vector(100),
        "hybrid": { "embedder": "v", "semanticRatio": ratio },
        "showRankingScore": true,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    more.into_iter().for_each(|(name, value)| body[name] = value);
    post("/indexes/scenes/search", body)
}

pub fn requests() -> Vec<Request> {
    let mut requests = vec![
        hybrid("", 1.0, json!({"limit": 60})),
        hybrid("night", 1.0, json!({"attributesToHighlight": ["*"]})),
        hybrid("night", 1.0, json!({"page": 2, "hitsPerPage": 7, "showRankingScoreDetails": true})),
        hybrid("night", 1.0, json!({"filter": "year > 1980", "facets": ["genres"]})),
        hybrid("night", 1.0, json!({"rankingScoreThreshold": 0.8, "hitsPerPage": 50})),
        hybrid("night", 1.0, json!({"retrieveVectors": true, "limit": 5})),
        hybrid("night", 0.0, json!({"limit": 50})),
        hybrid("", 0.5, json!({"limit": 10})),
        // The words alone find well enough.
        hybrid("mirror", 0.1, json!({"limit": 3})),
    ];
    for ratio in [0.2, 0.5, 0.7, 0.95] {
        for q in ["mirror", "silver mirror night", "stranger kings nowhere"] {
            requests.push(hybrid(q, ratio, json!({"limit": 60})));
            requests.push(hybrid(q, ratio, json!({"offset": 15, "limit": 10, "facets": ["genres", "year"]})));
        }
    }
    requests.extend([
        hybrid("mirror", 0.5, json!({"page": 2, "hitsPerPage": 10})),
        hybrid("mirror", 0.5, json!({"attributesToHighlight": ["*"], "showMatchesPosition": true})),
        hybrid("mirror", 0.5, json!({"sort": ["year:asc"], "limit": 30})),
        hybrid("mirror", 0.5, json!({"distinct": "studio", "hitsPerPage": 30})).for_a_real_server(),
        hybrid("mirror", 0.5, json!({"filter": "year > 1980", "retrieveVectors": true, "limit": 30})),
        hybrid("mirror", 0.5, json!({"filter": "year > 1980", "retrieveVectors": true, "limit": 5}))
            .for_a_real_server(),
        // What is wrong.
        hybrid("mirror", 2.0, json!({})),
        hybrid("mirror", 0.5, json!({"vector": [1.0]})),
        hybrid("mirror", 0.5, json!({"hybrid": {"embedder": "nope"}})),
        hybrid("mirror", 0.5, json!({"hybrid": {"semanticRatio": 0.5}})),
        hybrid("mirror", 0.5, json!({"hybrid": null})),
        hybrid("mirror", 0.5, json!({"vector": null, "hybrid": {"embedder": "v", "semanticRatio": 1.0}})),
    ]);
    let halves = json!({"embedder": "v", "semanticRatio": 0.6});
    let queries = json!({"queries": [
        {"indexUid": "scenes", "q": "mirror", "vector": vector(100), "hybrid": halves, "limit": 10},
        {"indexUid": "books", "q": "mirror", "limit": 3},
        {"indexUid": "scenes", "vector": vector(101), "hybrid": {"embedder": "v", "semanticRatio": 1.0}},
    ]});
    requests.push(post("/multi-search", queries));
    let federated = json!({"federation": {"limit": 40}, "queries": [
        {"indexUid": "scenes", "vector": vector(100), "hybrid": {"embedder": "v", "semanticRatio": 1.0}},
        {"indexUid": "scenes", "vector": vector(101), "hybrid": {"embedder": "v", "semanticRatio": 1.0}, "federationOptions": {"weight": 0.9}},
    ]});
    requests.push(post("/multi-search", federated));
    requests
}
