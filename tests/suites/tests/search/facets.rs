//! The search for values of facets.

use serde_json::json;

use crate::ask::{Request, post};
use crate::corpus::vector;

pub fn requests() -> Vec<Request> {
    let films = [
        json!({"facetName": "genres"}),
        json!({"facetName": "genres", "facetQuery": "e"}),
        json!({"facetName": "genres", "facetQuery": "drmaa"}),
        json!({"facetName": "genres", "facetQuery": null, "q": "mirror"}),
        json!({"facetName": "studio", "facetQuery": "studio 1"}),
        json!({"facetName": "studio", "filter": "year > 1990"}),
        json!({"facetName": "studio", "filter": ["year > 1990", ["genres = Drama", "genres = comedy"]], "q": "night"}),
        json!({"facetName": "studio", "q": "night silver", "exhaustiveFacetCount": true}),
        json!({"facetName": "studio", "q": "night silver", "matchingStrategy": "all", "attributesToSearchOn": ["title"]}),
        json!({"facetName": "studio", "q": "night", "rankingScoreThreshold": 0.8, "exhaustiveFacetCount": true}),
        json!({"facetName": "year"}),
        json!({"facetName": "genres", "limit": 3, "nope": true}),
        json!({"facetName": "genres", "locales": ["eng"]}),
        json!({"facetName": "overview"}),
        json!({"facetName": 1}),
        json!({"facetName": null}),
        json!({}),
        json!([]),
        json!({"facetName": "genres", "facetQuery": 1}),
        json!({"facetName": "genres", "q": 1}),
        json!({"facetName": "genres", "filter": 1}),
        json!({"facetName": "genres", "filter": "overview = x"}),
        json!({"facetName": "genres", "filter": "year >"}),
        json!({"facetName": "genres", "matchingStrategy": "nope"}),
        json!({"facetName": "genres", "exhaustiveFacetCount": "yes"}),
        json!({"facetName": "genres", "rankingScoreThreshold": 7}),
        json!({"facetName": "genres", "locales": ["nope"]}),
        json!({"facetName": "genres", "hybrid": {"embedder": "nope"}, "vector": [1.0]}),
    ];
    let books = [
        json!({"facetName": "genres"}),
        json!({"facetName": "genres", "facetQuery": "e"}),
        json!({"facetName": "genres", "q": "mirror"}),
        json!({"facetName": "studio"}),
        json!({"facetName": "studio", "facetQuery": "studio"}),
    ];
    let mut requests: Vec<Request> =
        films.into_iter().map(|body| post("/indexes/films/facet-search", body)).collect();
    requests.extend(books.into_iter().map(|body| post("/indexes/books/facet-search", body)));
    let by_vector = json!({"facetName": "studio", "vector": vector(101), "hybrid": {"embedder": "v"}});
    requests.push(post("/indexes/scenes/facet-search", by_vector));
    requests.push(post("/indexes/nowhere/facet-search", json!({"facetName": "genres"})));
    requests.push(post("/indexes/bare/facet-search", json!({"facetName": "genres"})));
    requests
}
