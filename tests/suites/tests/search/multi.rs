//! Several searches in one request.

use serde_json::{Value, json};

use crate::ask::{Request, post};

pub fn requests() -> Vec<Request> {
    let bodies = [
        json!({"queries": []}),
        json!({"queries": [{"indexUid": "films", "q": "mirror"}]}),
        json!({"queries": [
            {"indexUid": "films", "q": "mirror", "facets": ["genres"], "limit": 3},
            {"indexUid": "books", "q": "night", "sort": ["year:asc"], "page": 2, "hitsPerPage": 5},
            {"indexUid": "films", "q": "night", "distinct": "studio", "hitsPerPage": 5, "showRankingScore": true},
        ]}),
        json!({"federation": null, "queries": [{"indexUid": "bare"}, {"indexUid": "films", "limit": 1}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "nowhere"}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "not valid"}]}),
        json!({"queries": [{"indexUid": "films"}, {"q": "x"}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "nope": 1}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "limit": -1}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "filter": "overview = 1"}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "filter": "year >"}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "sort": ["overview:asc"]}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "facets": ["overview"]}]}),
        json!({"queries": [{"indexUid": "films"}, {"indexUid": "films", "federationOptions": {"weight": 1.0}}]}),
        json!({"queries": {"indexUid": "films"}}),
        json!({"queries": [1]}),
        json!({"queries": null}),
        json!({}),
        json!([]),
        json!({"queries": [], "nope": 1}),
        json!({"queries": [], "federation": 1}),
    ];
    let mut requests: Vec<Request> = bodies.into_iter().map(|body| post("/multi-search", body)).collect();
    let nulls = json!({"queries": [{"indexUid": "films", "q": "", "offset": null, "limit": null}]});
    requests.push(post("/multi-search", nulls).for_a_real_server());
    let queries: Vec<Value> =
        ["mirror", "night"].map(|q| json!({"indexUid": "films", "q": q, "limit": 2})).to_vec();
    requests.push(post("/multi-search", json!({ "queries": queries })).with_metadata());
    requests
}
