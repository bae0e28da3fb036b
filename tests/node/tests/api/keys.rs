//! What keys and tenant tokens allow, over HTTP.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::node::Node;

const MASTER_KEY: &str = "masterKey";

/// A node with a master key, and two indexes of films.
async fn guarded() -> Node {
    let node = Node::start_with(|cli| cli.master_key = Some(MASTER_KEY.to_string())).await;
    let films = json!([{ "id": 1, "kind": "short" }, { "id": 2, "kind": "long" }]);
    for uid in ["films", "films_old"] {
        let settings = json!({ "filterableAttributes": ["kind"] });
        call(&node, MASTER_KEY, Method::PATCH, &format!("/indexes/{uid}/settings"), settings).await;
        call(&node, MASTER_KEY, Method::POST, &format!("/indexes/{uid}/documents"), films.clone()).await;
    }
    while call(&node, MASTER_KEY, Method::GET, "/tasks?statuses=enqueued,processing", json!(null)).await.1["total"]
        != 0
    {}
    node
}

async fn call(node: &Node, key: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let mut request = node.client.request(method, node.url(path)).bearer_auth(key);
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn key(node: &Node, actions: &[&str], indexes: &[&str]) -> Value {
    let body = json!({ "actions": actions, "indexes": indexes, "expiresAt": null });
    let (status, key) = call(node, MASTER_KEY, Method::POST, "/keys", body).await;
    assert_eq!(status, 201, "{key}");
    key
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test]
async fn a_new_node_has_the_default_keys() {
    let node = guarded().await;
    let (_, keys) = call(&node, MASTER_KEY, Method::GET, "/keys", json!(null)).await;
    let names: Vec<_> =
        keys["results"].as_array().expect("keys").iter().map(|key| text(&key["name"])).collect();
    let expected = [
        "Default Search API Key",
        "Default Admin API Key",
        "Default Read-Only Admin API Key",
        "Default Chat API Key",
    ];
    assert_eq!(names, expected);
    assert_eq!((&keys["offset"], &keys["limit"], &keys["total"]), (&json!(0), &json!(20), &json!(4)));

    let admin = &keys["results"][1];
    assert_eq!((&admin["actions"], &admin["indexes"]), (&json!(["*"]), &json!(["*"])));
    assert_eq!(call(&node, text(&admin["key"]), Method::GET, "/keys", json!(null)).await.1, keys);
}

#[tokio::test]
async fn keys_are_made_changed_and_deleted() {
    let node = guarded().await;
    let body = json!({
        "uid": "00000000-0000-4000-8000-000000000000", "name": "n", "actions": ["search"], "indexes": ["films*"],
        "expiresAt": "2999-01-01",
    });
    let (status, key) = call(&node, MASTER_KEY, Method::POST, "/keys", body.clone()).await;
    assert_eq!((status, &key["expiresAt"]), (201, &json!("2999-01-01T00:00:00Z")));
    let (status, again) = call(&node, MASTER_KEY, Method::POST, "/keys", body).await;
    assert_eq!((status, &again["code"]), (409, &json!("api_key_already_exists")));

    for name in [text(&key["uid"]), text(&key["key"])] {
        let path = format!("/keys/{name}");
        assert_eq!(call(&node, MASTER_KEY, Method::GET, &path, json!(null)).await, (200, key.clone()));
    }
    let path = format!("/keys/{}", text(&key["uid"]));
    let change = json!({ "name": null, "description": "d" });
    let (_, changed) = call(&node, MASTER_KEY, Method::PATCH, &path, change).await;
    assert_eq!((&changed["name"], &changed["description"]), (&json!(null), &json!("d")));
    assert_eq!(call(&node, MASTER_KEY, Method::DELETE, &path, json!(null)).await, (204, json!(null)));
    let (status, gone) = call(&node, MASTER_KEY, Method::GET, &path, json!(null)).await;
    assert_eq!((status, &gone["code"]), (404, &json!("api_key_not_found")));
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let node = guarded().await;
    for (body, code) in [
        (json!({ "indexes": ["*"], "expiresAt": null }), "missing_api_key_actions"),
        (json!({ "actions": ["*"], "expiresAt": null }), "missing_api_key_indexes"),
        (json!({ "actions": ["*"], "indexes": ["*"] }), "missing_api_key_expires_at"),
        (json!({ "actions": ["eat"], "indexes": ["*"], "expiresAt": null }), "invalid_api_key_actions"),
        (json!({ "actions": ["*"], "indexes": ["a b"], "expiresAt": null }), "invalid_api_key_indexes"),
        (
            json!({ "actions": ["*"], "indexes": ["*"], "expiresAt": "1999-01-01" }),
            "invalid_api_key_expires_at",
        ),
        (json!({ "actions": ["*"], "indexes": ["*"], "expiresAt": null, "uid": "1" }), "invalid_api_key_uid"),
        (json!({ "actions": ["*"], "indexes": ["*"], "expiresAt": null, "name": 1 }), "invalid_api_key_name"),
        (json!({ "actions": ["*"], "indexes": ["*"], "expiresAt": null, "nom": "n" }), "bad_request"),
        (
            json!({ "actions": ["version"], "indexes": ["films"], "expiresAt": null }),
            "index_scoped_api_key_with_global_action",
        ),
    ] {
        let (status, error) = call(&node, MASTER_KEY, Method::POST, "/keys", body).await;
        assert_eq!((status, &error["code"]), (400, &json!(code)), "{error}");
    }
    let key = key(&node, &["search"], &["*"]).await;
    let path = format!("/keys/{}", text(&key["uid"]));
    for (field, code) in
        [("actions", "immutable_api_key_actions"), ("expiresAt", "immutable_api_key_expires_at")]
    {
        let (status, error) = call(&node, MASTER_KEY, Method::PATCH, &path, json!({ field: 1 })).await;
        assert_eq!((status, &error["code"]), (400, &json!(code)));
    }
}

#[tokio::test]
async fn a_key_allows_its_actions_on_its_indexes() {
    let node = guarded().await;
    let search = key(&node, &["search", "tasks.get"], &["films"]).await;
    let search = text(&search["key"]);
    let post = async |path, body| call(&node, search, Method::POST, path, body).await;

    assert_eq!(post("/indexes/films/search", json!({})).await.1["estimatedTotalHits"], 2);
    let (status, error) = post("/indexes/films_old/search", json!({})).await;
    let message = "The API key cannot acces the index `films_old`, authorized indexes are [\"films\"].";
    assert_eq!((status, &error["message"]), (403, &json!(message)));
    let (_, error) = post("/multi-search", json!({ "queries": [{ "indexUid": "films_old" }] })).await;
    assert_eq!(error["message"], "Inside `.queries[0]`: The provided API key is invalid.");
    assert_eq!(post("/indexes/films/documents", json!({ "id": 3 })).await.0, 403);
    assert_eq!(post("/indexes/films/documents/fetch", json!({})).await.0, 403);
    assert_eq!(call(&node, search, Method::GET, "/version", json!(null)).await.0, 403);

    let (_, tasks) = call(&node, search, Method::GET, "/tasks", json!(null)).await;
    let tasks = tasks["results"].as_array().expect("tasks").clone();
    assert!(tasks.len() == 2 && tasks.iter().all(|task| task["indexUid"] == "films"), "{tasks:?}");
    let other = call(&node, MASTER_KEY, Method::GET, "/tasks?indexUids=films_old", json!(null)).await.1;
    let path = format!("/tasks/{}", other["results"][0]["uid"]);
    assert_eq!(call(&node, search, Method::GET, &path, json!(null)).await.1["code"], "task_not_found");
}

#[tokio::test]
async fn a_write_makes_its_index_where_the_key_may() {
    let node = guarded().await;
    let adding = key(&node, &["documents.add", "settings.update"], &["*"]).await;
    let (status, task) =
        call(&node, text(&adding["key"]), Method::POST, "/indexes/new/documents", json!({ "id": 1 })).await;
    assert_eq!(status, 202);
    let path = format!("/tasks/{}", task["taskUid"]);
    let task = loop {
        let (_, task) = call(&node, MASTER_KEY, Method::GET, &path, json!(null)).await;
        if task["finishedAt"] != json!(null) {
            break task;
        }
    };
    assert_eq!(task["error"]["code"], "index_not_found");
}

#[tokio::test]
async fn a_tenant_token_narrows_the_searches_of_its_key() {
    let node = guarded().await;
    let search = key(&node, &["search"], &["films", "books"]).await;
    let token = |algorithm, rules: Value, exp: Option<i64>, secret: &str| {
        let mut claims = json!({ "searchRules": rules, "apiKeyUid": search["uid"] });
        if let Some(exp) = exp {
            claims["exp"] = exp.into();
        }
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes()))
            .expect("a token")
    };
    let secret = text(&search["key"]);
    let short = json!({ "films": { "filter": "kind = short" } });

    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = token(algorithm, short.clone(), Some(32_503_680_000), secret);
        let request = json!({ "filter": "id EXISTS OR kind EXISTS" });
        let (status, _) = call(&node, &token, Method::POST, "/indexes/films/search", request).await;
        assert_eq!(status, 400, "`id` is not filterable");
        let (_, found) = call(&node, &token, Method::POST, "/indexes/films/search", json!({})).await;
        assert_eq!(found["hits"], json!([{ "id": 1, "kind": "short" }]));
        let queries = json!({ "queries": [{ "indexUid": "films", "filter": "kind EXISTS" }] });
        let (_, found) = call(&node, &token, Method::POST, "/multi-search", queries).await;
        assert_eq!(found["results"][0]["hits"], json!([{ "id": 1, "kind": "short" }]));
        let facet = json!({ "facetName": "kind" });
        let (_, found) = call(&node, &token, Method::POST, "/indexes/films/facet-search", facet).await;
        assert_eq!(found["facetHits"], json!([{ "value": "short", "count": 1 }]));
    }

    let all = token(Algorithm::HS256, json!(["*"]), None, secret);
    for (token, path, message) in [
        (
            token(Algorithm::HS256, short.clone(), None, secret),
            "/indexes/books/search",
            "The provided tenant token cannot acces the index `books`, allowed indexes are [\"films\"].",
        ),
        (
            all.clone(),
            "/indexes/films_old/search",
            "The API key used to generate this tenant token cannot acces the index `films_old`.",
        ),
        (all, "/indexes/films/documents/fetch", "The provided API key is invalid."),
        (
            token(Algorithm::HS256, short.clone(), None, "another"),
            "/indexes/films/search",
            "Could not decode tenant token, InvalidSignature.",
        ),
    ] {
        let (status, error) = call(&node, &token, Method::POST, path, json!({})).await;
        assert_eq!((status, &error["message"]), (403, &json!(message)));
    }
    let expired = token(Algorithm::HS256, short, Some(1), secret);
    let (_, error) = call(&node, &expired, Method::POST, "/indexes/films/search", json!({})).await;
    assert!(text(&error["message"]).starts_with("Tenant token expired. Was valid up to `1`"), "{error}");
}

#[tokio::test]
async fn without_a_master_key_there_are_no_keys() {
    let node = Node::start().await;
    let response = node.client.get(node.url("/keys")).send().await.expect("an answer");
    assert_eq!(node.refused(response, 401).await["code"], "missing_master_key");
    assert_eq!(call(&node, "anything", Method::GET, "/version", json!(null)).await.0, 200);
}
