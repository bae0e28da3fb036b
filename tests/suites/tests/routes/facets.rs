//! `/indexes/{index_uid}/facet-search`.

use serde_json::json;

use crate::search::films;
use crate::step::{delete, patch, post, put};
use crate::trio::same;

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
