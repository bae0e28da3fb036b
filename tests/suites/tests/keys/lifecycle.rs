//! The life of keys, beside that on one node.

use miroir_harness::{Client, Options};
use miroir_suites::pair::SharedPair;
use serde_json::{Value, json};

use crate::{outcome, uid};

/// Of its own, since it looks at all keys.
static PAIR: SharedPair = SharedPair::new(Options::default);
/// Its keys are not those that are listed there.
static REFUSING: SharedPair = SharedPair::new(Options::default);

/// A key as it can be compared: without dates, and without the uids that each server chose for itself.
fn lasting(mut key: Value) -> Value {
    if let Value::Object(fields) = &mut key {
        let is_chosen =
            fields.get("uid").and_then(Value::as_str).is_some_and(|uid| !uid.starts_with("6062abda"));
        fields.retain(|name, _| !["createdAt", "updatedAt"].contains(&&**name));
        if is_chosen {
            fields.retain(|name, _| !["uid", "key"].contains(&&**name));
        }
    }
    key
}

async fn list(client: &Client, parameters: &str) -> Value {
    let mut page = client.get(&format!("/keys{parameters}")).await.unwrap().ok().unwrap();
    for key in page["results"].as_array_mut().unwrap() {
        *key = lasting(key.take());
    }
    page
}

#[tokio::test]
async fn keys_live_as_on_one_node() {
    let pair = PAIR.get().await;
    let fresh = pair.same(async |client| list(&client, "").await).await;
    assert_eq!(fresh["total"], 4, "Meilisearch's default keys, once each: {fresh}");

    let bodies = [
        json!({ "uid": uid(1), "actions": ["search"], "indexes": ["films", "books_*"], "expiresAt": null }),
        json!({ "uid": uid(2), "name": "a", "description": "b", "actions": ["documents.*", "search"],
                "indexes": ["*"], "expiresAt": "2099-01-01T00:00:00Z" }),
        json!({ "uid": uid(3), "name": null, "actions": [], "indexes": [], "expiresAt": "2099-01-01" }),
    ];
    for body in &bodies {
        pair.same(async |client| {
            let answer = client.post("/keys", body).await.unwrap();
            (answer.status, lasting(answer.json().unwrap()))
        })
        .await;
    }
    let chosen = json!({ "name": "chosen", "actions": ["*"], "indexes": ["*"], "expiresAt": null });
    pair.same(async |client| lasting(client.post("/keys", &chosen).await.unwrap().ok().unwrap())).await;
    for parameters in ["", "?limit=2", "?offset=1&limit=2", "?offset=100", "?limit=0"] {
        pair.same(async |client| list(&client, parameters).await).await;
    }

    pair.same(async |client| {
        let by_uid = client.get(&format!("/keys/{}", uid(2))).await.unwrap().ok().unwrap();
        let value = by_uid["key"].as_str().unwrap();
        let by_value = client.get(&format!("/keys/{value}")).await.unwrap().ok().unwrap();
        assert_eq!(by_uid, by_value);
        let upper = client.get(&format!("/keys/{}", uid(2).to_uppercase())).await.unwrap().ok().unwrap();
        assert_eq!(by_uid, upper);
        lasting(by_uid)
    })
    .await;
    for change in [json!({ "name": "new" }), json!({ "description": null }), json!({})] {
        pair.same(async |client| {
            let path = format!("/keys/{}", uid(2));
            let before = client.get(&path).await.unwrap().ok().unwrap();
            let changed = client.patch(&path, &change).await.unwrap().ok().unwrap();
            assert_eq!(client.get(&path).await.unwrap().ok().unwrap(), changed);
            assert_eq!(before["createdAt"], changed["createdAt"]);
            assert!(before["updatedAt"].as_str() < changed["updatedAt"].as_str());
            lasting(changed)
        })
        .await;
    }
    pair.same(async |client| {
        let path = format!("/keys/{}", uid(1));
        let answer = client.delete(&path).await.unwrap();
        (answer.status, answer.text(), outcome(&client, "GET", &path, None).await)
    })
    .await;
    pair.same(async |client| list(&client, "").await).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_on_one_node() {
    let pair = REFUSING.get().await;
    let taken =
        json!({ "uid": uid(9), "actions": ["search"], "indexes": ["*"], "expiresAt": "2099-01-01 00:00:00" });
    pair.both(async |client| client.post("/keys", &taken).await.unwrap().ok().unwrap()).await;
    let with = |name: &str, value: Value| {
        let mut body = json!({ "actions": ["search"], "indexes": ["*"], "expiresAt": null });
        body[name] = value;
        body
    };
    let without = |name: &str| {
        let mut body = with("name", Value::Null);
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let bodies = [
        taken,
        json!({}),
        json!([]),
        json!("a"),
        without("actions"),
        without("indexes"),
        without("expiresAt"),
        with("actions", json!("search")),
        with("actions", json!(["nothing"])),
        with("actions", json!([1])),
        with("indexes", json!("films")),
        with("indexes", json!(["a b"])),
        with("indexes", json!(["a*b"])),
        with("expiresAt", json!("soon")),
        with("expiresAt", json!(1)),
        with("expiresAt", json!("2000-01-01")),
        with("uid", json!("no uuid")),
        with("uid", json!(1)),
        with("uid", Value::Null),
        with("name", json!(1)),
        with("description", json!([])),
        with("nonsense", json!(1)),
        with("createdAt", json!("2000-01-01T00:00:00Z")),
        json!({ "actions": ["keys.get"], "indexes": ["films"], "expiresAt": null }),
    ];
    for body in &bodies {
        let refused = pair.same(async |client| outcome(&client, "POST", "/keys", Some(body)).await).await;
        assert!(refused["status"].as_u64() >= Some(400), "{body}: {refused}");
    }
    let path = format!("/keys/{}", uid(9));
    for body in [
        json!([]),
        json!({ "name": 1 }),
        json!({ "description": [] }),
        json!({ "nonsense": 1 }),
        json!({ "uid": uid(8) }),
        json!({ "actions": ["*"] }),
        json!({ "indexes": ["*"] }),
        json!({ "expiresAt": null }),
        json!({ "createdAt": "2000-01-01T00:00:00Z" }),
        json!({ "updatedAt": "2000-01-01T00:00:00Z" }),
    ] {
        pair.same(async |client| outcome(&client, "PATCH", &path, Some(&body)).await).await;
    }
    let named = json!({ "name": "a" });
    for (method, path, body) in [
        ("GET", "/keys?limit=-1", None),
        ("GET", "/keys?offset=a", None),
        ("GET", "/keys?nonsense=1", None),
        ("GET", "/keys/nothing", None),
        ("GET", "/keys/6062ABDA-A5AA-4414-AC91-FFFFFFFFFFFF", None),
        ("DELETE", "/keys/nothing", None),
        ("PATCH", "/keys/nothing", Some(&named)),
        ("PATCH", "/keys/6062abda-a5aa-4414-ac91-ffffffffffff", Some(&named)),
        ("PATCH", "/keys/nothing", None),
        ("POST", "/keys", None),
        ("PUT", "/keys", Some(&named)),
        ("DELETE", "/keys", None),
        ("POST", "/keys/nothing", Some(&named)),
    ] {
        pair.same(async |client| outcome(&client, method, path, body).await).await;
    }
}
