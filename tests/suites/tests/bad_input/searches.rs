//! Searches that are none.

use crate::PAIR;
use crate::case::{Case, check, prepare};

#[tokio::test]
async fn bad_search_bodies_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "searched").await;
    let bodies = [
        "",
        "{",
        "[",
        "[]",
        "null",
        "7",
        "\"q\"",
        "{}{}",
        "{\"q\":1}",
        "{\"q\":[]}",
        "{\"nope\":1}",
        "{\"Q\":\"x\"}",
        r#"{"limit":-1}"#,
        r#"{"limit":"1"}"#,
        r#"{"limit":1.5}"#,
        r#"{"limit":null}"#,
        r#"{"offset":-1}"#,
        r#"{"page":-1}"#,
        r#"{"page":"1"}"#,
        r#"{"hitsPerPage":"x"}"#,
        r#"{"hitsPerPage":1e99}"#,
        r#"{"limit":99999999999999999999}"#,
        r#"{"filter":1}"#,
        r#"{"filter":"genre ="}"#,
        r#"{"filter":"nope = 1"}"#,
        r#"{"filter":["genre = g","("]}"#,
        r#"{"filter":[[["genre = g"]]]}"#,
        r#"{"filter":{"a":1}}"#,
        r#"{"filter":"genre = g AND"}"#,
        r#"{"sort":"year:asc"}"#,
        r#"{"sort":["year"]}"#,
        r#"{"sort":["year:up"]}"#,
        r#"{"sort":["title:asc"]}"#,
        r#"{"sort":[1]}"#,
        r#"{"sort":["_geoPoint(1,2):asc"]}"#,
        r#"{"sort":["_geoPoint(1):asc"]}"#,
        r#"{"facets":"genre"}"#,
        r#"{"facets":["title"]}"#,
        r#"{"facets":[1]}"#,
        r#"{"distinct":"title"}"#,
        r#"{"distinct":1}"#,
        r#"{"matchingStrategy":"nope"}"#,
        r#"{"rankingScoreThreshold":2}"#,
        r#"{"rankingScoreThreshold":"x"}"#,
        r#"{"attributesToRetrieve":"title"}"#,
        r#"{"attributesToHighlight":1}"#,
        r#"{"attributesToCrop":"x"}"#,
        r#"{"cropLength":"x"}"#,
        r#"{"cropLength":-1}"#,
        r#"{"highlightPreTag":1}"#,
        r#"{"attributesToSearchOn":["nope"]}"#,
        r#"{"showRankingScore":1}"#,
        r#"{"showMatchesPosition":"yes"}"#,
        r#"{"locales":["nope"]}"#,
        r#"{"hybrid":{}}"#,
        r#"{"hybrid":{"embedder":"nope"}}"#,
        r#"{"vector":[1.0]}"#,
        r#"{"vector":"x"}"#,
        r#"{"q":"a","q":"b"}"#,
    ];
    let mut cases: Vec<Case> =
        bodies.into_iter().map(|body| Case::post("/indexes/searched/search", body)).collect();
    for content_type in [None, Some("text/plain"), Some("application/x-ndjson"), Some("")] {
        cases.push(Case::post("/indexes/searched/search", "{}").with_type(content_type));
    }
    cases.push(Case::post("/indexes/searched/search", &b"{\"q\":\"\xff\"}"[..]));
    check(&pair, &cases).await;
}

#[tokio::test]
async fn bad_search_parameters_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "asked").await;
    let queries = [
        "nope=1",
        "limit=x",
        "limit=-1",
        "limit=",
        "offset=x",
        "page=x",
        "hitsPerPage=-1",
        "filter=genre%20=",
        "filter=nope%20%3D%201",
        "filter=[",
        "filter=[[\"genre%20=%20g\"],",
        "sort=year",
        "sort=title:asc",
        "sort=year:up",
        "facets=title",
        "facets=genre,nope",
        "distinct=title",
        "matchingStrategy=nope",
        "rankingScoreThreshold=x",
        "rankingScoreThreshold=2",
        "cropLength=x",
        "showRankingScore=x",
        "showMatchesPosition=1",
        "attributesToSearchOn=nope",
        "q=%ff",
        "q=%",
        "vector=x",
        "vector=1,2",
        "hybridEmbedder=nope",
        "hybridSemanticRatio=0.5",
        "locales=nope",
        "limit=1&limit=2",
    ];
    let cases: Vec<Case> =
        queries.into_iter().map(|query| Case::get(format!("/indexes/asked/search?{query}"))).collect();
    check(&pair, &cases).await;
}
