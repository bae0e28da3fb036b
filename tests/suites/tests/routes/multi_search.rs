//! `/multi-search`.

use serde_json::{Value, json};

use crate::search::films;
use crate::step::{delete, patch, post};
use crate::trio::{only_on_a_real_server, same};

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

#[tokio::test]
async fn pinned_documents_have_their_place_in_the_merged_list() {
    if only_on_a_real_server("dynamic search rules") {
        return;
    }
    let mut steps = vec![patch("/experimental-features", json!({ "dynamicSearchRules": true }))];
    for (index, first) in [("pinned_a", 0), ("pinned_b", 1)] {
        let films: Vec<Value> = (0..20)
            .map(|id| json!({ "id": id, "year": first + 2 * id, "studio": (id * 7 + first) % 5 }))
            .collect();
        let settings = json!({ "sortableAttributes": ["year"], "filterableAttributes": ["studio"] });
        steps.push(patch(format!("/indexes/{index}/settings"), settings));
        steps.push(post(format!("/indexes/{index}/documents"), json!(films)));
    }
    let pin = |index: &str, id: &str, position: u32| json!({ "selector": { "indexUid": index, "id": id }, "action": { "type": "pin", "position": position } });
    let rule = json!({
        "conditions": { "query": { "isEmpty": true } },
        "actions": [
            pin("pinned_a", "17", 1), pin("pinned_a", "12", 3), pin("pinned_b", "13", 1), pin("pinned_b", "9", 30),
        ],
    });
    steps.push(patch("/dynamic-search-rules/merged", rule));
    let a = json!({ "indexUid": "pinned_a", "sort": ["year:asc"] });
    let b = json!({ "indexUid": "pinned_b", "sort": ["year:asc"], "showRankingScoreDetails": true });
    for (federation, queries) in [
        (json!({ "limit": 8 }), json!([a, b])),
        (json!({ "limit": 8, "offset": 2 }), json!([b, a])),
        (json!({ "limit": 1, "offset": 1 }), json!([b, a])),
        (json!({ "limit": 8 }), json!([a, a])),
        (json!({ "page": 2, "hitsPerPage": 5 }), json!([b, a])),
        (json!({ "limit": 100 }), json!([a, b])),
    ] {
        steps.push(post("/multi-search", json!({ "federation": federation, "queries": queries })));
    }
    steps.extend([
        delete("/dynamic-search-rules/merged"),
        delete("/indexes/pinned_a"),
        delete("/indexes/pinned_b"),
        patch("/experimental-features", json!({ "dynamicSearchRules": false })),
    ]);
    same(steps).await;
}
