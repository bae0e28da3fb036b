//! `/indexes/{index_uid}/facet-search`.

use serde_json::{Value, json};

use crate::search::films;
use crate::step::{delete, get, patch, post, put};
use crate::trio::same;

#[tokio::test]
async fn an_index_without_filterable_attributes_has_no_facets() {
    let search =
        |facets| post("/indexes/unfaceted/search", json!({ "facets": facets, "sort": ["year:asc"] }));
    let several = |queries| post("/multi-search", json!({ "queries": queries }));
    let merged = |facets| {
        let query = |index| json!({ "indexUid": index, "sort": ["year:asc"] });
        let queries = [query("faceted_too"), query("unfaceted")];
        post("/multi-search", json!({ "federation": { "facetsByIndex": facets }, "queries": queries }))
    };
    let mut steps = films("faceted_too");
    steps.extend(films("unfaceted"));
    steps.extend([
        put("/indexes/unfaceted/settings/filterable-attributes", json!([])),
        search(json!(["*"])),
        search(json!(["genres", "*"])),
        search(json!(["*", "genres"])),
        search(json!([])),
        search(json!([1])),
        search(json!("*")),
        get("/indexes/unfaceted/search?facets=*"),
        post("/indexes/unfaceted/search", json!({ "facets": ["*"], "filter": "genres = Drama" })),
        post("/indexes/never_faceted/search", json!({ "facets": ["*"] })),
        several(json!([{ "indexUid": "faceted_too", "facets": ["*"] }, { "indexUid": "unfaceted", "facets": ["*"] }])),
        merged(json!({ "unfaceted": ["*"] })),
        merged(json!({ "unfaceted": ["genres"], "faceted_too": ["*"] })),
        merged(json!({ "unfaceted": [], "faceted_too": ["year"] })),
        put("/indexes/unfaceted/settings/filterable-attributes", json!(["nowhere"])),
        search(json!(["*"])),
        search(json!(["*", "genres"])),
        delete("/indexes/unfaceted"),
        delete("/indexes/faceted_too"),
    ]);
    same(steps).await;
}

#[tokio::test]
async fn facets_count_one_document_of_each_distinct_value_on_numbered_pages() {
    let documents: Vec<Value> = (0..40)
        .map(|id| json!({ "id": id, "product": format!("p{}", id % 8), "rank": (id * 7) % 40 }))
        .collect();
    let mut steps = vec![
        patch(
            "/indexes/variants/settings",
            json!({ "filterableAttributes": ["product"], "sortableAttributes": ["rank"] }),
        ),
        post("/indexes/variants/documents", json!(documents)),
    ];
    let search = |more: Value| {
        let mut search = json!({ "distinct": "product", "facets": ["product"], "sort": ["rank:asc"] });
        search.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post("/indexes/variants/search", search)
    };
    steps.extend([
        search(json!({ "hitsPerPage": 3 })),
        search(json!({ "hitsPerPage": 3, "page": 2 })),
        search(json!({ "hitsPerPage": 0 })),
        search(json!({ "hitsPerPage": 20, "facets": ["*"] })),
        patch("/indexes/variants/settings/faceting", json!({ "sortFacetValuesBy": { "*": "count" } })),
        search(json!({ "hitsPerPage": 3 })),
        delete("/indexes/variants"),
    ]);
    same(steps).await;
}

#[tokio::test]
async fn the_values_of_a_facet_are_searched() {
    let mut steps = films("faceted");
    steps.extend([
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres" })),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres", "facetQuery": "dra" })),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres", "facetQuery": "dramma" })),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres", "q": "carol" })),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres", "filter": "year > 2013" })),
        post("/indexes/faceted/facet-search", json!({ "facetName": "title" })),
        post("/indexes/faceted/facet-search", json!({})),
        post("/indexes/never_faceted/facet-search", json!({ "facetName": "genres" })),
        patch(
            "/indexes/faceted/settings/faceting",
            json!({ "maxValuesPerFacet": 1, "sortFacetValuesBy": { "*": "count" } }),
        ),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres" })),
        put("/indexes/faceted/settings/facet-search", json!(false)),
        post("/indexes/faceted/facet-search", json!({ "facetName": "genres" })),
        delete("/indexes/faceted"),
    ]);
    same(steps).await;
}
