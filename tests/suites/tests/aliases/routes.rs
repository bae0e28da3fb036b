//! Whatever an index's uid is for, its alias is for.

use miroir_harness::{Client, Method, Options};
use miroir_suites::pair::first_difference;
use miroir_suites::tasks::finished;
use miroir_suites::topology::wait_for_status;
use serde_json::{Map, Value, json};

use crate::{COUNT, cluster, film, films, refusal, refused, set};

/// What of an answer differs from call to call.
const PASSING: [&str; 3] = ["processingTimeMs", "requestUid", "queryUid"];

fn lasting(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !PASSING.contains(&&**name));
            Value::Object(kept.map(|(name, value)| (name, lasting(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(lasting).collect(),
        value => value,
    }
}

/// Method, path and body of reads, of an index of this name.
fn reads(name: &str) -> Vec<(Method, String, Value)> {
    let post = |path: &str, body: Value| (Method::POST, format!("/indexes/{name}{path}"), body);
    let get = |path: &str| (Method::GET, format!("/indexes/{name}{path}"), Value::Null);
    let multi = |body: Value| (Method::POST, "/multi-search".to_owned(), body);
    let facets = json!({ name: ["genre"], "other": ["genre"] });
    vec![
        post("/search", json!({ "q": "film", "sort": ["id:asc"], "facets": ["genre"], "limit": 200 })),
        post("/search", json!({ "filter": "genre = g1", "sort": ["id:desc"], "page": 2, "hitsPerPage": 5 })),
        post("/search", json!({ "filter": "title = x" })),
        post("/search", json!({ "limit": "x" })),
        get("/search?q=film&sort=id:asc&offset=3"),
        get("/search?limit=x"),
        post("/facet-search", json!({ "facetName": "genre" })),
        post("/facet-search", json!({ "facetName": "title" })),
        post("/similar", json!({ "id": 1, "embedder": "e", "limit": 3 })),
        get("/similar?id=1&embedder=e&limit=3"),
        get("/similar?id=1&embedder=none"),
        get("/documents?limit=5&offset=2"),
        get("/documents?sort=id:desc&limit=5"),
        get("/documents?limit=x"),
        post("/documents/fetch", json!({ "filter": "genre = g2", "limit": 100 })),
        post("/documents/fetch", json!({ "ids": [1, 5, 1000] })),
        get("/documents/7"),
        get("/documents/7?fields=id,title"),
        get("/documents/1000"),
        get(""),
        get("/stats"),
        get("/stats?sizeFormat=x"),
        get("/settings"),
        get("/settings/filterable-attributes"),
        post("/fields", json!({})),
        post("/fields", json!({ "limit": "x" })),
        (Method::GET, format!("/tasks?indexUids={name}"), Value::Null),
        (Method::GET, format!("/batches?indexUids=other,{name}&limit=3"), Value::Null),
        multi(json!({ "queries": [
            { "indexUid": name, "q": "film", "sort": ["id:asc"] }, { "indexUid": "other", "sort": ["id:asc"] },
        ] })),
        multi(json!({ "queries": [{ "indexUid": "other" }, { "indexUid": name, "filter": "title = x" }] })),
        multi(json!({ "queries": [{ "indexUid": "other" }, { "indexUid": name, "limit": "x" }] })),
        multi(json!({ "federation": { "facetsByIndex": facets }, "queries": [
            { "indexUid": "other", "sort": ["id:asc"] }, { "indexUid": name, "q": "", "sort": ["id:asc"] },
        ] })),
        multi(json!({ "federation": { "mergeFacets": {}, "facetsByIndex": { name: ["genre"] }, "page": 2 },
            "queries": [{ "indexUid": name, "sort": ["id:asc"] }] })),
        multi(json!({ "federation": {}, "queries": [{ "indexUid": name, "limit": 3 }] })),
    ]
}

async fn answer(client: &Client, (method, path, body): &(Method, String, Value)) -> Value {
    let (content_type, body) = match body {
        Value::Null => (None, Vec::new()),
        body => (Some("application/json"), serde_json::to_vec(body).unwrap()),
    };
    let answer = client.send(method.clone(), path, content_type, body).await.unwrap();
    json!({ "status": answer.status, "body": lasting(answer.json().unwrap_or_default()) })
}

/// Asks for everything by both names, and sees to it that the answers differ in the name alone where they show it.
async fn check_reads(client: &Client, alias: &str, index: &str) {
    for (by_alias, by_index) in reads(alias).iter().zip(reads(index)) {
        let (mut shown, expected) = tokio::join!(answer(client, by_alias), answer(client, &by_index));
        if by_alias.1 == "/multi-search" && shown["status"] == 200 {
            assert!(shown.to_string().contains(&format!("\"{alias}\"")), "{by_alias:?}: {shown}");
            let renamed = shown.to_string().replace(&format!("\"{alias}\""), &format!("\"{index}\""));
            shown = serde_json::from_str(&renamed).unwrap();
        }
        if let Some(difference) = first_difference(&shown, &expected) {
            panic!("{by_alias:?} is not as by the index's uid: {difference}");
        }
    }
}

#[tokio::test]
async fn reads_by_an_alias_are_reads_of_its_index() {
    let mut cluster = cluster(Options::default()).await;
    let client = cluster.client();
    films(&client, "movies_v1", 1).await;
    films(&client, "other", 1).await;
    let vectors: Vec<Value> =
        (0..COUNT).map(|id| json!({ "id": id, "_vectors": { "e": [1.0, id as f64] } })).collect();
    let answer = client.put("/indexes/movies_v1/documents", &vectors).await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    let embedders = json!({ "embedders": { "e": { "source": "userProvided", "dimensions": 2 } } });
    client.index("movies_v1").update_settings(&embedders).await.unwrap();
    set(&cluster, "movies", &["movies_v1"]).await;
    check_reads(&client, "movies", "movies_v1").await;
    cluster.stop_node(2);
    check_reads(&client, "movies", "movies_v1").await;
    wait_for_status(&cluster, 2, "down").await;
    check_reads(&client, "movies", "movies_v1").await;
}

#[tokio::test]
async fn writes_by_an_alias_are_writes_to_its_index() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    let index = films(&client, "movies_v1", 1).await;
    set(&cluster, "movies", &["movies_v1"]).await;
    let movies = client.index("movies");
    let done = async |answer| {
        let task = finished(&client, answer).await;
        assert_eq!(
            (&task["status"], &task["indexUid"]),
            (&json!("succeeded"), &json!("movies_v1")),
            "{task}"
        );
    };
    done(client.post(&movies.path("/documents"), &json!([film(1000, 2), film(1001, 2)])).await).await;
    done(client.put(&movies.path("/documents"), &json!([{ "id": 1000, "title": "changed" }])).await).await;
    let csv = b"id,title\n1002,from csv\n".to_vec();
    done(client.send(Method::POST, &movies.path("/documents"), Some("text/csv"), csv).await).await;
    assert_eq!(index.document("1000").await.unwrap().ok().unwrap()["title"], "changed");
    assert_eq!(index.count().await.unwrap(), COUNT + 3);
    done(client.delete(&movies.path("/documents/1000")).await).await;
    done(client.post(&movies.path("/documents/delete-batch"), &json!([1001, 1002])).await).await;
    done(client.post(&movies.path("/documents/delete"), &json!({ "filter": "genre = g0" })).await).await;
    assert_eq!(index.count().await.unwrap(), COUNT - COUNT.div_ceil(4));
    let on = json!({ "editDocumentsByFunction": true });
    client.patch("/experimental-features", &on).await.unwrap().ok().unwrap();
    let edit = json!({ "function": "doc.title = \"edited\"", "filter": "genre = g1" });
    done(client.post(&movies.path("/documents/edit"), &edit).await).await;
    assert_eq!(index.document("1").await.unwrap().ok().unwrap()["title"], "edited");
    done(client.patch(&movies.path("/settings"), &json!({ "stopWords": ["the"] })).await).await;
    done(client.put(&movies.path("/settings/synonyms"), &json!({ "a": ["b"] })).await).await;
    let settings = client.get("/indexes/movies_v1/settings").await.unwrap().ok().unwrap();
    assert_eq!((&settings["stopWords"], &settings["synonyms"]), (&json!(["the"]), &json!({ "a": ["b"] })));
    done(client.delete(&movies.path("/settings/stop-words")).await).await;
    done(client.patch("/indexes/movies", &json!({ "primaryKey": "id" })).await).await;
    done(client.delete(&movies.path("/documents")).await).await;
    assert_eq!(index.count().await.unwrap(), 0);
    // Wrong ones are refused as those by the uid are.
    for (path, body) in [
        ("/documents", json!([{ "id": 1, "_miroir_x": 1 }])),
        ("/documents/delete", json!({ "filter": 1 })),
        ("/documents?nope=1", json!([])),
    ] {
        let shown = client.post(&movies.path(path), &body).await.unwrap();
        let expected = client.post(&index.path(path), &body).await.unwrap();
        assert!(shown.status >= 400, "{path}: {}", shown.text());
        assert_eq!(shown.json::<Value>().unwrap(), expected.json::<Value>().unwrap(), "{path}");
    }
    let failed = client.patch(&movies.path("/settings"), &json!({ "stopWords": 1 })).await.unwrap();
    assert_eq!(refusal(&failed), refused(400, "invalid_settings_stop_words"));
    // No node has heard of the alias.
    for node in cluster.nodes() {
        assert_eq!(node.client().get("/indexes/movies").await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn a_key_must_allow_the_index_that_the_alias_stands_for() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    films(&client, "movies_v1", 1).await;
    films(&client, "other", 1).await;
    set(&cluster, "movies", &["movies_v1"]).await;
    set(&cluster, "both", &["movies_v1", "other"]).await;
    let key = async |indexes: &[&str]| {
        let body = json!({ "actions": ["*"], "indexes": indexes, "expiresAt": null });
        let key = client.post("/keys", &body).await.unwrap().ok().unwrap();
        client.with_key(key["key"].as_str().unwrap())
    };
    let (of_index, of_pattern, of_name) =
        (key(&["movies_v1"]).await, key(&["movies*"]).await, key(&["movies", "both"]).await);
    let documents = json!([film(1, 1)]);
    for (name, client, is_allowed) in
        [("index", &of_index, true), ("pattern", &of_pattern, true), ("name", &of_name, false)]
    {
        let search = json!({ "queries": [{ "indexUid": "movies" }] });
        let answers = [
            client.post("/indexes/movies/search", &json!({})).await.unwrap(),
            client.post("/multi-search", &search).await.unwrap(),
            client.get("/indexes/movies/documents/1").await.unwrap(),
            client.post("/indexes/movies/documents", &documents).await.unwrap(),
            client.get("/indexes/movies/settings").await.unwrap(),
            client.get("/indexes/movies/stats").await.unwrap(),
        ];
        for (place, answer) in answers.iter().enumerate() {
            let allowed = (200..300).contains(&answer.status);
            assert_eq!(allowed, is_allowed, "key of {name}, {place}: {}", answer.text());
            assert!(is_allowed || answer.status == 403, "{}", answer.text());
        }
        // Not all that it stands for: what several indexes are refused for is not told either.
        for path in ["/indexes/both/documents", "/indexes/both/search", "/indexes/both"] {
            let answer = client.get(path).await.unwrap();
            assert_eq!(refusal(&answer), refused(403, "invalid_api_key"), "{path}: {}", answer.text());
        }
    }
    let stranger = client.with_key("");
    for path in ["/indexes/both/documents", "/indexes/movies/search", "/indexes/movies/stats"] {
        assert_eq!(stranger.get(path).await.unwrap().status, 401, "{path}");
    }
}
