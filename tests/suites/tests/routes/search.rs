//! `/indexes/{index_uid}/search`.

use serde_json::{Value, json};

use crate::step::{Step, delete, get, patch, post};
use crate::trio::same;

/// The steps that make an index of films, each of which ranks differently from the others.
pub fn films(uid: &str) -> Vec<Step> {
    let films = json!([
        { "id": 1, "title": "Carol", "genres": ["Romance", "Drama"], "year": 2015, "_geo": { "lat": 40.7, "lng": -74.0 } },
        { "id": 2, "title": "Wonder Woman", "genres": ["Action"], "year": 2017, "_geo": { "lat": 51.5, "lng": -0.1 } },
        { "id": 3, "title": "Life of Pi", "genres": ["Drama"], "year": 2012, "_geo": { "lat": 11.9, "lng": 79.8 } },
        { "id": 4, "title": "A Christmas Carol", "genres": ["Drama", "Fantasy"], "year": 2009 },
        { "id": 5, "title": "Pi", "genres": ["Thriller"], "year": 1998, "_geo": { "lat": 40.6, "lng": -73.9 } },
        { "id": 6, "title": "The Wonders", "genres": ["Drama"], "year": 2014 },
    ]);
    let settings = json!({
        "filterableAttributes": ["genres", "year", "_geo"], "sortableAttributes": ["year", "title", "_geo"],
    });
    vec![
        patch(format!("/indexes/{uid}/settings"), settings),
        post(format!("/indexes/{uid}/documents"), films),
    ]
}

fn searches(uid: &str, queries: impl IntoIterator<Item = Value>) -> Vec<Step> {
    queries.into_iter().map(|query| post(format!("/indexes/{uid}/search"), query)).collect()
}

#[tokio::test]
async fn words_are_found_filtered_sorted_and_paged() {
    let mut steps = films("searched");
    steps.extend(searches(
        "searched",
        [
            json!({ "q": "carol" }),
            json!({ "q": "wondr", "showRankingScore": true }),
            json!({ "q": "pi", "showRankingScoreDetails": true }),
            json!({ "sort": ["year:asc"] }),
            json!({ "sort": ["year:desc"], "limit": 2, "offset": 2 }),
            json!({ "sort": ["year:desc"], "page": 2, "hitsPerPage": 2 }),
            json!({ "sort": ["year:desc"], "hitsPerPage": 0 }),
            json!({ "filter": "genres = Drama AND year > 2010", "sort": ["title:asc"] }),
            json!({ "filter": ["genres = Drama", ["year < 2010", "year > 2013"]], "sort": ["year:asc"] }),
            json!({ "filter": "_geoRadius(40.7, -74, 50000)", "sort": ["_geoPoint(40.7, -74):asc"] }),
            json!({ "q": "carol christmas", "matchingStrategy": "all" }),
            json!({ "q": "carol", "attributesToSearchOn": ["title"] }),
            json!({ "q": "carol", "rankingScoreThreshold": 0.95 }),
            json!({ "limit": 0 }),
            json!({ "q": "nothing at all" }),
        ],
    ));
    steps.push(delete("/indexes/searched"));
    same(steps).await;
}

#[tokio::test]
async fn hits_are_formatted_and_explained() {
    let mut steps = films("formatted");
    steps.extend(searches("formatted", [
        json!({ "q": "carol", "attributesToHighlight": ["*"], "attributesToRetrieve": ["title"] }),
        json!({ "q": "christmas", "attributesToCrop": ["title"], "cropLength": 1, "cropMarker": "…" }),
        json!({ "q": "carol", "attributesToHighlight": ["title"], "highlightPreTag": "<b>", "highlightPostTag": "</b>" }),
        json!({ "q": "wonder", "showMatchesPosition": true }),
        json!({ "sort": ["year:asc"], "facets": ["genres", "year"] }),
        json!({ "sort": ["year:asc"], "facets": ["*"], "limit": 1 }),
        json!({ "sort": ["year:asc"], "distinct": "year" }),
        json!({ "q": "carol", "locales": ["eng"] }),
        json!({ "sort": ["year:asc"], "retrieveVectors": true }),
    ]));
    steps.push(delete("/indexes/formatted"));
    same(steps).await;
}

#[tokio::test]
async fn a_search_by_get_takes_the_same_parameters() {
    let mut steps = films("got");
    steps.extend([
        get("/indexes/got/search?q=carol&showRankingScore=true"),
        get("/indexes/got/search?sort=year:desc,title:asc&limit=2&offset=1"),
        get("/indexes/got/search?filter=genres%20%3D%20Drama&sort=year:asc&facets=genres&page=1&hitsPerPage=2"),
        get("/indexes/got/search?q=carol&attributesToHighlight=title&attributesToRetrieve=id,title&matchingStrategy=all"),
        get("/indexes/got/search?q=carol&nope=1"),
        get("/indexes/got/search?limit=x"),
        get("/indexes/never_got/search"),
        delete("/indexes/got"),
    ]);
    same(steps).await;
}

#[tokio::test]
async fn vectors_are_compared_alone_and_with_words() {
    let mut steps = vec![patch(
        "/indexes/vectors/settings",
        json!({ "embedders": { "e": { "source": "userProvided", "dimensions": 2 } } }),
    )];
    let documents = json!([
        { "id": 1, "title": "north", "_vectors": { "e": [0.0, 1.0] } },
        { "id": 2, "title": "east", "_vectors": { "e": [1.0, 0.0] } },
        { "id": 3, "title": "north east", "_vectors": { "e": [0.6, 0.8] } },
        { "id": 4, "title": "no vector", "_vectors": { "e": null } },
    ]);
    steps.push(post("/indexes/vectors/documents", documents));
    let hybrid = |ratio| json!({ "embedder": "e", "semanticRatio": ratio });
    steps.extend(searches(
        "vectors",
        [
            json!({ "vector": [0.0, 1.0], "hybrid": hybrid(1.0), "showRankingScore": true }),
            json!({ "vector": [1.0, 0.1], "hybrid": hybrid(1.0), "retrieveVectors": true, "limit": 2 }),
            json!({ "q": "north", "vector": [1.0, 0.1], "hybrid": hybrid(0.5) }),
            json!({ "q": "north", "vector": [1.0, 0.1], "hybrid": hybrid(0.0) }),
            json!({ "vector": [1.0], "hybrid": hybrid(1.0) }),
            json!({ "vector": [1.0, 0.0], "hybrid": { "embedder": "nope" } }),
        ],
    ));
    steps.push(delete("/indexes/vectors"));
    same(steps).await;
}
