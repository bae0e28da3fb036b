//! An alias of several indexes: searched as one node searches them federated, and nothing else.

use miroir_harness::{Client, Cluster, Method, Options, SingleNode};
use miroir_suites::pair::first_difference;
use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::{cluster, refusal, refused, set};

async fn prepare(client: &Client) {
    let rules = json!(["words", "typo", "proximity", "attribute", "sort", "exactness", "rank:asc"]);
    for (uid, first, count) in [("films", 0, 120), ("books", 1, 80)] {
        let index = client.create_index(uid, Some("id")).await.unwrap();
        let settings = json!({
            "rankingRules": rules, "filterableAttributes": ["genre", "year", "studio"], "sortableAttributes": ["year", "rank"],
            "faceting": { "maxValuesPerFacet": 20, "sortFacetValuesBy": { "genre": "count" } },
        });
        index.update_settings(&settings).await.unwrap();
        let words = ["mirror", "night", "river", "silver", "storm"];
        let document = |id: usize| {
            let word = |step: usize| words[(id * step + first) % words.len()];
            json!({
                "id": id, "title": format!("{} {}", word(1), word(3)), "overview": format!("{} {} {}", word(2), word(7), word(4)),
                "genre": format!("g{}", id % 5), "year": 1950 + (id * 7 + first) % 60, "studio": format!("s{}", id % 9),
                "rank": 2 * ((id * 79) % 1009) + first,
            })
        };
        index.add_documents(&(0..count).map(document).collect::<Vec<_>>()).await.unwrap();
    }
    let bare = client.create_index("bare", Some("id")).await.unwrap();
    bare.add_documents(&[json!({ "id": 1, "title": "mirror" })]).await.unwrap();
}

/// The same search as one node takes it over several indexes.
fn federated(mut search: Value, indexes: &[&str]) -> Value {
    let mut federation = json!({});
    for name in ["offset", "limit", "page", "hitsPerPage", "distinct"] {
        if let Some(value) = search.as_object_mut().unwrap().remove(name) {
            federation[name] = value;
        }
    }
    if let Some(facets) = search.as_object_mut().unwrap().remove("facets") {
        federation["facetsByIndex"] =
            indexes.iter().map(|index| ((*index).to_owned(), facets.clone())).collect();
        federation["mergeFacets"] = json!({ "maxValuesPerFacet": 20 });
    }
    let query = |index: &&str| {
        let mut query = search.clone();
        query["indexUid"] = json!(index);
        query
    };
    json!({ "federation": federation, "queries": indexes.iter().map(query).collect::<Vec<_>>() })
}

fn searches() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "q": "mirror" }),
        json!({ "q": "mirror night", "limit": 100 }),
        json!({ "q": "silver", "offset": 7, "limit": 9, "showRankingScore": true, "showRankingScoreDetails": true }),
        json!({ "q": "river", "page": 2, "hitsPerPage": 11 }),
        json!({ "q": "storm", "hitsPerPage": 0 }),
        json!({ "filter": "year > 1980", "sort": ["year:asc", "rank:desc"], "limit": 60 }),
        json!({ "q": "night", "facets": ["genre", "year"], "attributesToRetrieve": ["title"] }),
        json!({ "facets": ["*"], "filter": [["genre = g1", "genre = g2"]], "limit": 3 }),
        json!({ "q": "mirror", "distinct": "studio", "limit": 50 }),
        json!({ "q": "mirror", "attributesToHighlight": ["title"], "showMatchesPosition": true, "limit": 5 }),
        json!({ "q": "nothing at all" }),
    ]
}

fn lasting(mut answer: Value) -> Value {
    for passing in ["processingTimeMs", "requestUid"] {
        answer.as_object_mut().unwrap().remove(passing);
    }
    answer
}

async fn check_searches(cluster: &Cluster, single: &Client) {
    let client = cluster.client();
    for search in searches() {
        let expected =
            single.post("/multi-search", &federated(search.clone(), &["films", "books"])).await.unwrap();
        let expected = lasting(expected.ok().unwrap());
        let ours = client.post("/indexes/all/search", &search).await.unwrap();
        assert_eq!(ours.header("x-miroir-degraded"), None);
        let mut ours = lasting(ours.ok().unwrap());
        let words = ours.as_object_mut().unwrap().remove("query");
        assert_eq!(words, Some(search["q"].as_str().unwrap_or_default().into()));
        if let Some(difference) = first_difference(&ours, &expected) {
            panic!("{search}: {difference}");
        }
        // Within a multi-search it has the same answer.
        let mut query = search.clone();
        query["indexUid"] = json!("all");
        let queries =
            json!({ "queries": [{ "indexUid": "bare" }, query, { "indexUid": "films", "limit": 1 }] });
        let answer = client.post("/multi-search", &queries).await.unwrap().ok().unwrap();
        let uids: Vec<&Value> =
            answer["results"].as_array().unwrap().iter().map(|result| &result["indexUid"]).collect();
        assert_eq!(uids, ["bare", "all", "films"]);
        let mut inner = lasting(answer["results"][1].clone());
        for name in ["query", "indexUid"] {
            inner.as_object_mut().unwrap().remove(name);
        }
        if let Some(difference) = first_difference(&inner, &expected) {
            panic!("{search} in a multi-search: {difference}");
        }
    }
    // In a federated one it stands for a query of each.
    let queries = |names: Value| json!({ "federation": { "limit": 50, "facetsByIndex": { "films": ["genre"] } }, "queries": names });
    let ask =
        |name: &str, q: &str| json!({ "indexUid": name, "q": q, "federationOptions": { "weight": 0.8 } });
    let named = queries(json!([ask("bare", "mirror"), ask("all", "mirror"), ask("films", "night")]));
    let plain = queries(json!([
        ask("bare", "mirror"),
        ask("films", "mirror"),
        ask("books", "mirror"),
        ask("films", "night")
    ]));
    let expected = lasting(single.post("/multi-search", &plain).await.unwrap().ok().unwrap());
    let ours = lasting(client.post("/multi-search", &named).await.unwrap().ok().unwrap());
    let position = |hit: &Value| hit["_federation"]["queriesPosition"].as_u64().unwrap();
    let hits = |answer: &Value| answer["hits"].as_array().unwrap().clone();
    assert_eq!(hits(&ours).len(), 50);
    for (hit, expected) in hits(&ours).iter().zip(hits(&expected)) {
        assert_eq!(position(hit), [0, 1, 1, 2][position(&expected) as usize]);
        assert_eq!(
            (&hit["id"], &hit["_federation"]["indexUid"]),
            (&expected["id"], &expected["_federation"]["indexUid"])
        );
    }
    for member in ["estimatedTotalHits", "facetsByIndex"] {
        assert_eq!(ours[member], expected[member]);
    }
}

#[tokio::test]
async fn several_indexes_are_searched_as_one_node_searches_them() {
    let (mut cluster, single) = tokio::join!(cluster(Options::default()), SingleNode::start());
    let single = single.unwrap();
    let (ours, theirs) = (cluster.client(), single.client());
    tokio::join!(prepare(&ours), prepare(&theirs));
    set(&cluster, "all", &["films", "books"]).await;
    check_searches(&cluster, &theirs).await;
    let got = ours.get("/indexes/all/search?q=mirror&facets=genre&limit=4").await.unwrap().ok().unwrap();
    let posted = json!({ "q": "mirror", "facets": ["genre"], "limit": 4 });
    let posted = ours.post("/indexes/all/search", &posted).await.unwrap().ok().unwrap();
    assert_eq!(lasting(got), lasting(posted));
    cluster.stop_node(0);
    check_searches(&cluster, &theirs).await;
    wait_for_status(&cluster, 0, "down").await;
    check_searches(&cluster, &theirs).await;
}

#[tokio::test]
async fn what_can_not_be_merged_is_refused_in_words_that_fit() {
    let cluster = cluster(Options { replication_factor: 1, ..Options::default() }).await;
    let client = cluster.client();
    prepare(&client).await;
    set(&cluster, "all", &["films", "bare"]).await;
    set(&cluster, "both", &["films", "books"]).await;
    let error = async |path: &str, body: Value| {
        let answer = client.post(path, &body).await.unwrap();
        let error: Value = answer.json().unwrap();
        (
            answer.status,
            error["code"].as_str().unwrap().to_owned(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    let (status, code, message) = error("/indexes/all/search", json!({ "filter": "genre = g1" })).await;
    assert_eq!((status, &*code), (400, "invalid_search_filter"), "{message}");
    assert!(!message.contains("queries[") && !message.contains("_miroir"), "{message}");
    let queries =
        json!({ "queries": [{ "indexUid": "books" }, { "indexUid": "all", "filter": "genre = g1" }] });
    let (status, _, in_query) = error("/multi-search", queries).await;
    assert_eq!((status, in_query), (400, format!("Inside `.queries[1]`: {message}")));
    let (status, code, message) = error("/indexes/all/search", json!({ "facets": ["genre"] })).await;
    assert_eq!((status, &*code), (400, "invalid_search_facets"), "{message}");
    for (body, code) in [
        (json!({ "limit": "x" }), "invalid_search_limit"),
        (json!({ "nope": 1 }), "bad_request"),
        (json!([]), "bad_request"),
    ] {
        let (status, found, message) = error("/indexes/all/search", body.clone()).await;
        assert_eq!((status, &*found), (400, code), "{body}: {message}");
        // As of one index.
        assert_eq!(error("/indexes/films/search", body).await.2, message);
    }
    let order = json!({ "sortFacetValuesBy": { "genre": "alpha" } });
    client.index("books").update_settings(&json!({ "faceting": order })).await.unwrap();
    let (status, code, message) = error("/indexes/both/search", json!({ "facets": ["genre"] })).await;
    assert_eq!((status, &*code), (400, "invalid_multi_search_facet_order"), "{message}");
    if std::env::var_os("MEILISEARCH_BIN").is_none() {
        eprintln!("only with MEILISEARCH_BIN: the embedded node merges ranking rules that can't be");
        return;
    }
    client.index("books").update_settings(&json!({ "rankingRules": ["rank:desc", "words"] })).await.unwrap();
    let (status, code, message) = error("/indexes/both/search", json!({})).await;
    assert_eq!((status, &*code), (400, "invalid_multi_search_query_ranking_rules"), "{message}");
    assert!(!message.contains("queries["), "{message}");
}

#[tokio::test]
async fn values_of_a_facet_are_cut_once_all_are_counted() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    for (uid, counts) in [("a", [3, 0, 2]), ("b", [0, 3, 2])] {
        let index = client.create_index(uid, Some("id")).await.unwrap();
        let faceting = json!({ "maxValuesPerFacet": 1, "sortFacetValuesBy": { "*": "count" } });
        index.update_settings(&json!({ "filterableAttributes": ["g"], "faceting": faceting })).await.unwrap();
        let values = counts.iter().enumerate().flat_map(|(value, count)| vec![value; *count]);
        let documents: Vec<Value> =
            values.enumerate().map(|(id, value)| json!({ "id": id, "g": format!("v{value}") })).collect();
        index.add_documents(&documents).await.unwrap();
    }
    set(&cluster, "all", &["a", "b"]).await;
    let found = client.index("all").search(&json!({ "facets": ["g"], "limit": 0 })).await.unwrap();
    assert_eq!(found["facetDistribution"], json!({ "g": { "v2": 4 } }));
}

#[tokio::test]
async fn nothing_else_is_done_with_several_indexes() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    prepare(&client).await;
    set(&cluster, "all", &["films", "books"]).await;
    const NOT_WRITABLE: &str = "miroir_multi_alias_not_writable";
    const NOT_SUPPORTED: &str = "miroir_multi_alias_not_supported";
    let large = vec![json!({ "id": 1, "text": "x".repeat(1000) }); 2000];
    for (method, path, body, code) in [
        (Method::POST, "/documents", json!([{ "id": 1 }]), NOT_WRITABLE),
        (Method::POST, "/documents", json!(large), NOT_WRITABLE),
        (Method::PUT, "/documents", json!([{ "id": 1 }]), NOT_WRITABLE),
        (Method::DELETE, "/documents", Value::Null, NOT_WRITABLE),
        (Method::DELETE, "/documents/1", Value::Null, NOT_WRITABLE),
        (Method::POST, "/documents/delete-batch", json!([1]), NOT_WRITABLE),
        (Method::POST, "/documents/delete", json!({ "filter": "year = 1" }), NOT_WRITABLE),
        (Method::POST, "/documents/edit", json!({ "function": "doc.x = 1" }), NOT_WRITABLE),
        (Method::PATCH, "/settings", json!({ "stopWords": ["a"] }), NOT_WRITABLE),
        (Method::PUT, "/settings/stop-words", json!(["a"]), NOT_WRITABLE),
        (Method::DELETE, "/settings", Value::Null, NOT_WRITABLE),
        (Method::PATCH, "", json!({ "primaryKey": "id" }), NOT_WRITABLE),
        (Method::DELETE, "", Value::Null, NOT_WRITABLE),
        (Method::POST, "/compact", Value::Null, NOT_WRITABLE),
        (Method::GET, "/documents", Value::Null, NOT_SUPPORTED),
        (Method::GET, "/documents/1", Value::Null, NOT_SUPPORTED),
        (Method::POST, "/documents/fetch", json!({}), NOT_SUPPORTED),
        (Method::POST, "/facet-search", json!({ "facetName": "genre" }), NOT_SUPPORTED),
        (Method::POST, "/similar", json!({ "id": 1, "embedder": "e" }), NOT_SUPPORTED),
        (Method::GET, "/similar?id=1&embedder=e", Value::Null, NOT_SUPPORTED),
        (Method::GET, "", Value::Null, NOT_SUPPORTED),
        (Method::GET, "/stats", Value::Null, NOT_SUPPORTED),
        (Method::GET, "/settings", Value::Null, NOT_SUPPORTED),
        (Method::GET, "/settings/stop-words", Value::Null, NOT_SUPPORTED),
        (Method::POST, "/fields", json!({}), NOT_SUPPORTED),
    ] {
        let path = format!("/indexes/all{path}");
        let answer = match body {
            Value::Null => client.send(method.clone(), &path, None, Vec::new()).await.unwrap(),
            body => client.request(method.clone(), &path, &body).await.unwrap(),
        };
        assert_eq!(refusal(&answer), refused(400, code), "{method} {path}: {}", answer.text());
        assert!(answer.text().contains("`films`, `books`"), "{}", answer.text());
    }
    for (uid, count) in [("films", 120), ("books", 80)] {
        assert_eq!(client.index(uid).count().await.unwrap(), count);
    }
    // Tasks are those of all of them.
    let total = async |names: &str| {
        let tasks = client.get(&format!("/tasks?indexUids={names}&limit=0")).await.unwrap().ok().unwrap();
        tasks["total"].as_u64().unwrap()
    };
    assert_eq!(total("all").await, total("films,books").await);
    assert_ne!(total("all").await, total("films").await);
}
