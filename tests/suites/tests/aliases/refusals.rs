//! What can't be, said clearly.

use miroir_harness::{Method, Options};
use serde_json::{Value, json};

use crate::{cluster, films, put, refusal, refused, set};

#[tokio::test]
async fn an_alias_stands_for_indexes_that_exist_under_a_name_of_its_own() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    films(&client, "movies_v1", 1).await;
    set(&cluster, "movies", &["movies_v1"]).await;
    let long = "x".repeat(401);
    for (name, indexes, status, code) in [
        ("movies_v1", json!(["movies_v1"]), 409, "miroir_alias_is_index"),
        ("films", json!(["nowhere"]), 404, "index_not_found"),
        ("films", json!(["movies_v1", "nowhere"]), 404, "index_not_found"),
        ("films", json!(["movies"]), 400, "miroir_alias_of_alias"),
        ("movies", json!(["movies"]), 400, "miroir_alias_of_alias"),
        ("films", json!(["films"]), 400, "miroir_alias_of_alias"),
        ("films", json!([]), 400, "miroir_invalid_alias"),
        ("films", json!(["movies_v1", "movies_v1"]), 400, "miroir_invalid_alias"),
        ("no%20name", json!(["movies_v1"]), 400, "miroir_invalid_alias"),
        (&long, json!(["movies_v1"]), 400, "miroir_invalid_alias"),
        ("films", json!("movies_v1"), 400, "bad_request"),
        ("films", Value::Null, 400, "bad_request"),
    ] {
        let answer = put(&cluster, name, indexes.clone()).await;
        assert_eq!(refusal(&answer), refused(status, code), "{name} {indexes}: {}", answer.text());
    }
    let admin = cluster.admin();
    let answers = [
        admin.get("/_miroir/aliases/films").await.unwrap(),
        admin.delete("/_miroir/aliases/films").await.unwrap(),
        admin.post("/_miroir/aliases/films/rollback", &json!({})).await.unwrap(),
    ];
    for answer in answers {
        assert_eq!(refusal(&answer), refused(404, "miroir_alias_not_found"), "{}", answer.text());
    }
    for key in ["", "masterKey"] {
        let answer = admin.with_key(key).get("/_miroir/aliases").await.unwrap();
        assert!([401, 403].contains(&answer.status), "{}", answer.text());
    }
    let listed = admin.get("/_miroir/aliases").await.unwrap().ok().unwrap();
    assert_eq!(listed["results"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn indexes_and_aliases_do_not_get_into_each_others_way() {
    let cluster = cluster(Options::default()).await;
    let client = cluster.client();
    for uid in ["movies_v1", "movies_v2", "other"] {
        films(&client, uid, 1).await;
    }
    set(&cluster, "movies", &["movies_v1"]).await;
    set(&cluster, "both", &["movies_v1", "movies_v2"]).await;
    let swap =
        |left: &str, right: &str, rename: bool| json!([{ "indexes": [left, right], "rename": rename }]);
    const IS_ALIAS: &str = "miroir_uid_is_alias";
    const HAS_ALIAS: &str = "miroir_index_has_alias";
    let refusals = [
        // Under an alias's name there is no index.
        (Method::POST, "/indexes", json!({ "uid": "movies" }), IS_ALIAS, "`movies_v1`"),
        (Method::PATCH, "/indexes/other", json!({ "uid": "movies" }), IS_ALIAS, "`movies_v1`"),
        (Method::POST, "/swap-indexes", swap("other", "movies", true), IS_ALIAS, "`movies_v1`"),
        (Method::POST, "/swap-indexes", swap("other", "movies", false), IS_ALIAS, "`movies_v1`"),
        (Method::POST, "/swap-indexes", swap("movies", "other", false), IS_ALIAS, "`movies_v1`"),
        (Method::DELETE, "/indexes/movies", Value::Null, IS_ALIAS, "`movies_v1`"),
        (Method::PATCH, "/indexes/movies", json!({ "uid": "elsewhere" }), IS_ALIAS, "`movies_v1`"),
        // What an alias stands for stays.
        (Method::DELETE, "/indexes/movies_v1", Value::Null, HAS_ALIAS, "`both`, `movies`"),
        (Method::DELETE, "/indexes/movies_v2", Value::Null, HAS_ALIAS, "alias `both`"),
        (Method::PATCH, "/indexes/movies_v2", json!({ "uid": "elsewhere" }), HAS_ALIAS, "alias `both`"),
        (Method::POST, "/swap-indexes", swap("movies_v2", "elsewhere", true), HAS_ALIAS, "alias `both`"),
    ];
    for (method, path, body, code, names) in refusals {
        let answer = match body {
            Value::Null => client.send(method.clone(), path, None, Vec::new()).await.unwrap(),
            ref body => client.request(method.clone(), path, body).await.unwrap(),
        };
        assert_eq!(refusal(&answer), refused(409, code), "{method} {path} {body}: {}", answer.text());
        assert!(answer.text().contains(names), "{}", answer.text());
    }
    // An alias goes on standing for a uid whose index is swapped for another.
    let answer = client.delete("/indexes/other/documents").await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    let answer = client.post("/swap-indexes", &swap("movies_v1", "other", false)).await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    let found = client.index("movies").search(&json!({})).await.unwrap();
    assert_eq!(found["estimatedTotalHits"], 0);
    // What no alias stands for any more may go, and the name is free.
    for name in ["movies", "both"] {
        cluster.admin().delete(&format!("/_miroir/aliases/{name}")).await.unwrap().ok().unwrap();
    }
    let answer = client.delete("/indexes/movies_v1").await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    client.create_index("movies", Some("id")).await.unwrap();
    let answer = client.patch("/indexes/movies_v2", &json!({ "uid": "both" })).await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    assert_eq!(client.index("both").search(&json!({})).await.unwrap()["hits"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn an_index_that_a_node_had_before_is_not_adopted_under_an_aliases_name() {
    let cluster = cluster(Options { nodes: 1, replication_factor: 1, ..Options::default() }).await;
    let client = cluster.client();
    client.create_index("movies_v1", Some("id")).await.unwrap();
    cluster.node(0).client().create_index("movies", Some("id")).await.unwrap();
    set(&cluster, "movies", &["movies_v1"]).await;
    for path in ["/_miroir/indexes/movies/adopt", "/_miroir/indexes/adopt?dryRun=true"] {
        let answer = cluster.admin().post(path, &json!({})).await.unwrap();
        assert_eq!(refusal(&answer), refused(409, "miroir_uid_is_alias"), "{path}: {}", answer.text());
    }
    assert_eq!(client.get("/indexes/movies").await.unwrap().ok().unwrap()["uid"], "movies_v1");
}
