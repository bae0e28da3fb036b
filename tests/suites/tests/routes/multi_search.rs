//! `/multi-search`.

use serde_json::json;

use crate::search::films;
use crate::step::{delete, post};
use crate::trio::same;

#[tokio::test]
async fn several_searches_come_back_one_by_one() {
    let mut steps = films("many_a");
    steps.extend(films("many_b"));
    steps.extend([
        post("/multi-search", json!({ "queries": [] })),
        post(
            "/multi-search",
            json!({ "queries": [
                { "indexUid": "many_a", "q": "carol" },
                { "indexUid": "many_b", "sort": ["year:asc"], "limit": 1, "facets": ["genres"] },
                { "indexUid": "many_a", "sort": ["year:desc"], "page": 1, "hitsPerPage": 2 },
            ] }),
        ),
        post("/multi-search", json!({ "queries": [{ "indexUid": "many_a" }, { "indexUid": "never_many" }] })),
        post("/multi-search", json!({ "queries": [{ "q": "carol" }] })),
        post(
            "/multi-search",
            json!({ "queries": [{ "indexUid": "many_a", "federationOptions": { "weight": 2 } }] }),
        ),
        delete("/indexes/many_a"),
        delete("/indexes/many_b"),
    ]);
    same(steps).await;
}

#[tokio::test]
async fn several_searches_are_merged() {
    let mut steps = films("merged_a");
    steps.extend([
        post("/indexes/merged_b/settings", json!({})),
        post("/indexes/merged_b/documents", json!([{ "id": 1, "title": "Carol singing" }, { "id": 2, "title": "Wonder" }])),
        post(
            "/multi-search",
            json!({ "federation": {}, "queries": [
                { "indexUid": "merged_a", "q": "carol" },
                { "indexUid": "merged_b", "q": "carol singing", "federationOptions": { "weight": 0.5 } },
            ] }),
        ),
        post(
            "/multi-search",
            json!({ "federation": { "limit": 2, "offset": 1 }, "queries": [
                { "indexUid": "merged_a", "sort": ["year:asc"] },
                { "indexUid": "merged_a", "sort": ["year:asc"], "filter": "genres = Drama" },
            ] }),
        ),
        post(
            "/multi-search",
            json!({ "federation": { "page": 1, "hitsPerPage": 2, "facetsByIndex": { "merged_a": ["genres", "year"] } },
                "queries": [{ "indexUid": "merged_a", "sort": ["year:asc"] }] }),
        ),
        post(
            "/multi-search",
            json!({ "federation": { "facetsByIndex": { "merged_a": ["genres"] }, "mergeFacets": { "maxValuesPerFacet": 2 } },
                "queries": [{ "indexUid": "merged_a", "sort": ["year:asc"] }] }),
        ),
        post("/multi-search", json!({ "federation": {}, "queries": [{ "indexUid": "merged_a", "limit": 1 }] })),
        post("/multi-search", json!({ "federation": {}, "queries": [{ "indexUid": "merged_a", "facets": ["genres"] }] })),
        post(
            "/multi-search",
            json!({ "federation": {}, "queries": [{ "indexUid": "merged_a", "federationOptions": { "weight": -1 } }] }),
        ),
        post("/multi-search", json!({ "federation": {}, "queries": [{ "indexUid": "never_merged" }] })),
        delete("/indexes/merged_a"),
        delete("/indexes/merged_b"),
    ]);
    same(steps).await;
}
