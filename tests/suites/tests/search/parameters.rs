//! The parameters of a search, one by one and together.

use serde_json::json;

use crate::ask::{Request, get, post};
use crate::corpus::vector;

pub fn requests() -> Vec<Request> {
    let films = [
        json!({}),
        json!(null),
        json!({"q": "mirror"}),
        json!({"q": "mirror silver", "limit": 60}),
        json!({"q": "mirror silver", "offset": 10, "limit": 7}),
        json!({"q": "mirror", "offset": 300, "limit": 7}),
        json!({"q": "mirror", "page": 2, "hitsPerPage": 9}),
        json!({"q": "mirror", "page": 0}),
        json!({"q": "mirror", "hitsPerPage": 0}),
        json!({"q": "mirror", "page": 99, "hitsPerPage": 9}),
        json!({"q": "\"silver mirror\""}),
        json!({"q": "mirror -night", "limit": 40}),
        json!({"q": "mirrr nigt", "matchingStrategy": "all", "limit": 40}),
        json!({"q": "mirror", "filter": "year > 1980 AND genres = Drama", "facets": ["*"]}),
        json!({"q": "mirror", "filter": ["year > 1980", ["genres = Drama", "genres = comedy"]]}),
        json!({"filter": "studio IN ['studio 1', 'studio 2']", "facets": ["genres", "year", "studio"]}),
        json!({"facets": ["year"], "limit": 0}),
        json!({"q": "night", "sort": ["year:desc"], "limit": 50}),
        json!({"sort": ["studio:asc", "year:desc"], "limit": 50}),
        json!({"sort": ["_geoPoint(10, 20):asc"], "limit": 240, "attributesToRetrieve": ["id", "_geo"]}),
        json!({"sort": ["_geoPoint(10, 20):desc"], "filter": "_geoRadius(10, 20, 2000000)"}),
        json!({"filter": "_geoBoundingBox([45, 45], [10, 10])", "limit": 100}),
        json!({"q": "mirror", "showRankingScore": true, "showRankingScoreDetails": true, "limit": 40}),
        json!({"q": "mirror", "sort": ["year:asc"], "showRankingScoreDetails": true}),
        json!({"q": "mirror silver", "rankingScoreThreshold": 0.9, "hitsPerPage": 100}),
        json!({"q": "night", "showMatchesPosition": true}),
        json!({"q": "night", "attributesToHighlight": ["*"], "attributesToRetrieve": ["title"]}),
        json!({"q": "night", "attributesToHighlight": ["title"], "highlightPreTag": "[", "highlightPostTag": "]"}),
        json!({"q": "night", "attributesToCrop": ["overview:4"], "cropMarker": "--"}),
        json!({"q": "night", "attributesToCrop": ["*"], "cropLength": 3}),
        json!({"q": "night", "attributesToRetrieve": []}),
        json!({"q": "night", "attributesToSearchOn": ["title"], "limit": 60}),
        json!({"q": "night", "locales": ["eng"]}),
        json!({"q": "night", "showPerformanceDetails": true}),
        json!({"q": "night", "distinct": "studio", "hitsPerPage": 8}),
        json!({"q": "night", "distinct": "studio", "page": 2, "hitsPerPage": 8, "attributesToRetrieve": ["title"]}),
        json!({"distinct": "year", "hitsPerPage": 100, "sort": ["year:asc"]}),
        json!({"q": "night", "distinct": "overview"}),
        json!({"q": "night", "useNetwork": true}),
        json!({"q": "night", "personalize": {"userContext": "x"}}),
        json!({"q": "night", "media": {"a": 1}}),
        json!({"q": "night", "filter": "overview = x"}),
        json!({"q": "night", "sort": ["overview:asc"]}),
        json!({"q": "night", "facets": ["overview"]}),
    ];
    let books = [
        json!({"q": "mirror", "limit": 100, "facets": ["*"]}),
        json!({"hitsPerPage": 50, "facets": ["genres", "year"]}),
        json!({"q": "mirror", "page": 2, "hitsPerPage": 20}),
        json!({"q": "mirror", "sort": ["secret:asc"], "showRankingScoreDetails": true}),
        json!({"q": "mirror", "attributesToRetrieve": ["isbn", "title"], "showMatchesPosition": true}),
        json!({"q": "mirror", "attributesToHighlight": ["*"], "attributesToCrop": ["title:2"]}),
        json!({"q": "mirror", "distinct": "studio", "hitsPerPage": 30}),
    ];
    let queries = [
        "",
        "q=mirror&limit=3&offset=1",
        "q=mirror&page=2&hitsPerPage=4&facets=genres,year",
        "q=mirror&filter=year%20%3E%201980&sort=year:desc,rank:asc",
        "sort=_geoPoint(10,%2020):asc&limit=5",
        "q=night&attributesToRetrieve=title,year&attributesToHighlight=title&highlightPreTag=%5B",
        "q=night&attributesToCrop=overview:3&cropMarker=x&cropLength=2",
        "q=night&showRankingScore=true&showRankingScoreDetails=true&showMatchesPosition=true",
        "q=night&matchingStrategy=all&attributesToSearchOn=title&rankingScoreThreshold=0.5",
        "q=night&distinct=studio&hitsPerPage=5&locales=eng",
        "showPerformanceDetails=true&limit=1",
        "q=night&filter=overview%20%3D%201",
        "q=night&useNetwork=true",
        "q=night&personalizeUserContext=x",
        "q=night&nope=1",
    ];
    let mut requests = Vec::new();
    requests.extend(films.into_iter().map(|body| post("/indexes/films/search", body)));
    requests.extend(books.into_iter().map(|body| post("/indexes/books/search", body)));
    requests.extend(queries.into_iter().map(|query| get(format!("/indexes/films/search?{query}"))));
    requests.push(post("/indexes/films/search", json!({"q": "mirror"})).with_metadata());
    requests.push(get("/indexes/films/search?q=mirror").with_metadata());
    let numbers = vector(102).iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let scenes = [
        "q=night&retrieveVectors=true&limit=2".to_owned(),
        format!("q=night&vector={numbers}&hybridEmbedder=v&hybridSemanticRatio=1.0&limit=5"),
        format!("q=night&vector={numbers}&hybridEmbedder=v&limit=5"),
    ];
    requests.extend(scenes.into_iter().map(|query| get(format!("/indexes/scenes/search?{query}"))));
    requests.push(post("/indexes/bare/search", json!({"q": "mirror", "facets": ["genres"]})));
    requests.push(post("/indexes/bare/search", json!({"q": "mirror"})));
    requests.push(post("/indexes/nowhere/search", json!({"q": "mirror"})));
    requests
}
