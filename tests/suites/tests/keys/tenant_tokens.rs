//! Tenant tokens: signed by clients' applications with a key, checked by nodes.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use miroir_harness::Client;
use miroir_suites::pair::Pair;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{PAIR, create_key, outcome, uid};

const DOCUMENTS: u64 = 60;

fn sign(key: &str, claims: &Value) -> String {
    let secret = EncodingKey::from_secret(key.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &secret).unwrap()
}

async fn prepare(pair: &Pair, index: &str) {
    pair.both(async |client| {
        let index = client.create_index(index, Some("id")).await.unwrap();
        let settings = json!({ "filterableAttributes": ["tenant", "genre"], "sortableAttributes": ["id"] });
        index.update_settings(&settings).await.unwrap();
        let documents: Vec<Value> = (0..DOCUMENTS)
            .map(|id| json!({ "id": id, "tenant": id % 3, "genre": format!("g{}", id % 4) }))
            .collect();
        index.add_documents(&documents).await.unwrap();
    })
    .await;
}

/// What a search finds, or why it finds nothing.
async fn search(client: &Client, index: &str, token: &str, query: &Value) -> Value {
    let answer = client.with_key(token).post(&format!("/indexes/{index}/search"), query).await.unwrap();
    let body: Value = answer.json().unwrap();
    json!({
        "status": answer.status,
        "hits": body["hits"],
        "total": body["estimatedTotalHits"],
        "facets": body["facetDistribution"],
        "code": body["code"],
        "message": body["message"],
    })
}

#[tokio::test]
async fn a_tenant_sees_its_own_documents() {
    let pair = PAIR.get().await;
    prepare(&pair, "tenants").await;
    let (key, same_key) =
        pair.both(async |client| create_key(&client, 101, &["search"], &["ten*"]).await).await;
    assert_eq!(key, same_key);
    let token = |rules: Value| sign(&key, &json!({ "apiKeyUid": uid(101), "searchRules": rules }));
    let queries = [
        json!({ "sort": ["id:asc"], "limit": 100, "facets": ["genre", "tenant"] }),
        json!({ "sort": ["id:desc"], "filter": "genre = g1", "limit": 3, "offset": 1, "facets": ["genre"] }),
        json!({ "sort": ["id:asc"], "filter": ["tenant = 1", ["genre = g1", "genre = g2"]] }),
    ];
    let first = json!({ "filter": "tenant = 1" });
    for (rules, total) in [
        (json!(["*"]), DOCUMENTS),
        (json!(["tenants"]), DOCUMENTS),
        (json!({ "tenants": null }), DOCUMENTS),
        (json!({ "tenants": first }), DOCUMENTS / 3),
        (json!({ "ten*": first }), DOCUMENTS / 3),
        (json!({ "*": { "filter": ["tenant = 1", "genre = g1"] } }), DOCUMENTS / 12),
        (json!({ "*": null, "tenants": { "filter": [["tenant = 1", "tenant = 2"]] } }), DOCUMENTS * 2 / 3),
    ] {
        let token = token(rules.clone());
        for query in &queries {
            pair.same(async |client| search(&client, "tenants", &token, query).await).await;
        }
        let all = search(&pair.miroir.client(), "tenants", &token, &queries[0]).await;
        assert_eq!(all["total"], total, "{rules}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "guarded").await;
    let keys = pair.both(async |client| {
        let key = create_key(&client, 111, &["search"], &["guarded"]).await;
        (key, create_key(&client, 112, &["documents.add"], &["*"]).await)
    });
    let (key, adding) = keys.await.0;
    let claims = |rules: Value| json!({ "apiKeyUid": uid(111), "searchRules": rules });
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let expiring = |exp: i64| json!({ "apiKeyUid": uid(111), "searchRules": ["*"], "exp": exp });
    let good = sign(&key, &expiring(now + 600));
    let query = json!({ "sort": ["id:asc"] });
    let found = pair.same(async |client| search(&client, "guarded", &good, &query).await).await;
    assert_eq!(found["status"], 200);
    for token in [
        sign(&key, &claims(json!(["other"]))),
        sign(&key, &claims(json!({}))),
        sign("another key", &claims(json!(["*"]))),
        sign(&key, &json!({ "apiKeyUid": uid(119), "searchRules": ["*"] })),
        sign(&key, &json!({ "apiKeyUid": uid(111) })),
        sign(&key, &json!({ "searchRules": ["*"] })),
        sign(&adding, &json!({ "apiKeyUid": uid(112), "searchRules": ["*"] })),
        sign(&key, &claims(json!({ "guarded": { "filter": "nothing = 1" } }))),
        format!("{good}x"),
        "a.b.c".to_owned(),
    ] {
        let refused = pair.same(async |client| search(&client, "guarded", &token, &query).await).await;
        assert_ne!(refused["status"], 200, "{refused}");
    }
    // The message tells the time.
    let expired = sign(&key, &expiring(now - 60));
    pair.same(async |client| {
        let refused = search(&client, "guarded", &expired, &query).await;
        assert!(refused["message"].as_str().unwrap().starts_with("Tenant token expired."), "{refused}");
        json!([refused["status"], refused["code"]])
    })
    .await;
    pair.same(async |client| search(&client, "tenants-of-others", &good, &query).await).await;
}

#[tokio::test]
async fn a_token_is_for_searches_alone() {
    let pair = PAIR.get().await;
    prepare(&pair, "searched").await;
    let key = pair.both(async |client| create_key(&client, 121, &["*"], &["*"]).await).await.0;
    let token = sign(&key, &json!({ "apiKeyUid": uid(121), "searchRules": ["*"] }));
    let document = json!([{ "id": 1 }]);
    for (method, path, body) in [
        ("GET", "/indexes", None),
        ("GET", "/indexes/searched", None),
        ("GET", "/indexes/searched/settings", None),
        ("GET", "/indexes/searched/documents/1", None),
        ("POST", "/indexes/searched/documents", Some(&document)),
        ("DELETE", "/indexes/searched/documents/1", None),
        ("DELETE", "/indexes/searched", None),
        ("GET", "/tasks", None),
        ("GET", "/keys", None),
        ("GET", "/stats", None),
        ("GET", "/version", None),
    ] {
        let refused =
            pair.same(async |client| outcome(&client.with_key(&token), method, path, body).await).await;
        assert_eq!(refused["code"], "invalid_api_key", "{method} {path}: {refused}");
    }
}
