//! Several searches with one list of hits.

use serde_json::{Value, json};

use crate::ask::{Request, post};

fn films(q: &str) -> Value {
    json!({"indexUid": "films", "q": q})
}

fn books(q: &str) -> Value {
    json!({"indexUid": "books", "q": q})
}

fn weighted(mut query: Value, weight: f64) -> Value {
    query["federationOptions"] = json!({ "weight": weight });
    query
}

fn with(mut query: Value, more: Value) -> Value {
    let more = more.as_object().cloned().unwrap_or_default();
    more.into_iter().for_each(|(name, value)| query[name] = value);
    query
}

pub fn requests() -> Vec<Request> {
    let scored = json!({"showRankingScore": true, "showRankingScoreDetails": true});
    let by_year = json!({"sort": ["year:asc"]});
    let cases = [
        (json!({}), vec![films("mirror")]),
        (json!({"limit": 100}), vec![films("mirror"), films("night")]),
        (json!({"limit": 100}), vec![films("mirror silver"), films("night river"), books("mirror night")]),
        (
            json!({"offset": 5, "limit": 10}),
            vec![weighted(films("mirror"), 0.5), weighted(books("mirror"), 1.5)],
        ),
        (json!({"page": 2, "hitsPerPage": 7}), vec![films("mirror"), books("night"), books("river")]),
        (json!({"page": 0}), vec![films("mirror")]),
        (json!({"hitsPerPage": 0}), vec![films("mirror")]),
        (json!({"limit": 0}), vec![films("mirror"), books("mirror")]),
        (json!({"limit": 300}), vec![weighted(films(""), 0.2), books("mirror")]),
        (json!({"limit": 50}), vec![weighted(films("mirror"), 0.0), films("night")]),
        (json!({"limit": 30}), vec![with(films("mirror"), scored.clone()), with(books("night"), scored)]),
        (
            json!({"limit": 60}),
            vec![with(films("mirror"), by_year.clone()), with(books("mirror"), by_year.clone())],
        ),
        (json!({"limit": 60}), vec![with(films(""), by_year.clone()), with(books(""), by_year.clone())]),
        (
            json!({"limit": 60}),
            vec![with(films("mirror night"), by_year.clone()), with(films("silver"), by_year)],
        ),
        (
            json!({"limit": 20}),
            vec![
                with(films("mirror"), json!({"filter": "year > 1980", "attributesToRetrieve": ["title"]})),
                with(books("mirror"), json!({"attributesToHighlight": ["*"], "showMatchesPosition": true})),
            ],
        ),
        (
            json!({"facetsByIndex": {"films": ["genres", "year"], "books": ["*"]}}),
            vec![films("mirror"), books("night"), films("night")],
        ),
        (
            json!({"facetsByIndex": {"films": ["year", "studio"], "books": ["year", "studio"]}, "mergeFacets": {}}),
            vec![films("mirror"), books("night")],
        ),
        (
            json!({"facetsByIndex": {"films": ["studio"]}, "mergeFacets": {"maxValuesPerFacet": 3}}),
            vec![films("mirror"), films("night")],
        ),
        (json!({"facetsByIndex": {"films": []}}), vec![films("mirror")]),
        (json!({"facetsByIndex": {"films": null}, "mergeFacets": null}), vec![films("mirror")]),
        (json!({"facetsByIndex": {"films": ["overview"]}}), vec![films("mirror")]),
        (json!({"facetsByIndex": {"books": ["year"]}}), vec![films("mirror")]),
        (json!({"facetsByIndex": {"nowhere": ["year"]}}), vec![films("mirror")]),
        (json!({"distinct": "studio", "hitsPerPage": 10}), vec![films("mirror"), books("mirror")]),
        (json!({"hitsPerPage": 10}), vec![with(films("mirror"), json!({"distinct": "studio"}))]),
        (json!({"distinct": "studio"}), vec![with(films("mirror"), json!({"distinct": "studio"}))]),
        (json!({"showPerformanceDetails": true}), vec![films("mirror")]),
        (json!({"limit": 5}), vec![json!({"indexUid": "scenes", "q": "mirror", "retrieveVectors": true})]),
        // What is wrong.
        (json!({"limit": -1}), vec![films("mirror")]),
        (json!({"limit": null}), vec![films("mirror")]),
        (json!({"page": "1"}), vec![films("mirror")]),
        (json!({"nope": 1}), vec![films("mirror")]),
        (json!({"mergeFacets": 1}), vec![films("mirror")]),
        (json!({"mergeFacets": {"nope": 1}}), vec![films("mirror")]),
        (json!({"mergeFacets": {"maxValuesPerFacet": -1}}), vec![films("mirror")]),
        (json!({"facetsByIndex": 1}), vec![films("mirror")]),
        (json!({"distinct": "overview"}), vec![films("mirror")]),
        (json!({}), vec![films("mirror"), weighted(films("x"), -1.0)]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"federationOptions": {"weight": "x"}}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"federationOptions": {"nope": 1}}))]),
        (
            json!({}),
            vec![films("mirror"), with(films("x"), json!({"federationOptions": {"queryPosition": 1}}))],
        ),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"federationOptions": {"remote": "r"}}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"limit": 1}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"offset": 1}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"page": 1}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"hitsPerPage": 1}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"facets": ["genres"]}))]),
        (json!({}), vec![films("mirror"), with(films("x"), json!({"filter": "overview = 1"}))]),
        (json!({}), vec![films("mirror"), json!({"indexUid": "nowhere"})]),
        (
            json!({}),
            vec![
                with(films(""), json!({"sort": ["year:asc"]})),
                with(films(""), json!({"sort": ["year:desc"]})),
            ],
        ),
    ];
    let body = |(federation, queries)| json!({ "federation": federation, "queries": queries });
    let mut requests: Vec<Request> =
        cases.into_iter().map(|case| post("/multi-search", body(case))).collect();
    let plain = (json!({}), vec![films("mirror"), books("x")]);
    requests.push(post("/multi-search", body(plain)).with_metadata());
    let orders = json!({"facetsByIndex": {"films": ["genres"], "books": ["genres"]}, "mergeFacets": {}});
    let null = with(films("x"), json!({"limit": null}));
    for case in [(orders, vec![films("m"), books("m")]), (json!({}), vec![films("mirror"), null])] {
        requests.push(post("/multi-search", body(case)).for_a_real_server());
    }
    requests
}
