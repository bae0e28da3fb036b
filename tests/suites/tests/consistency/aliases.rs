//! All of it by an alias.

use miroir_harness::Method;
use serde_json::{Value, json};

use crate::{document, options, prepare, start};

#[tokio::test]
async fn an_alias_is_as_good_as_its_index() {
    let cluster = start(options(json!({}))).await;
    prepare(&cluster, "films_v1").await;
    prepare(&cluster, "films_v2").await;
    let turn = async |uid: &str| {
        let body = json!({ "indexes": [uid] });
        let turned = cluster.admin().request(Method::PUT, "/_miroir/aliases/films", &body).await.unwrap();
        assert!(turned.status < 300, "{}", turned.text());
    };
    turn("films_v1").await;

    let writer = cluster.client().with_header("x-miroir-session", "s").unwrap();
    let writer = writer.with_header("idempotency-key", "k").unwrap();
    let reader = cluster.client_of(1).with_header("x-miroir-session", "s").unwrap();
    let documents = json!([document(1, 1)]);
    let first = writer.post("/indexes/films/documents", &documents).await.unwrap();
    assert_eq!(first.ok().unwrap()["indexUid"], "films_v1");
    let read = reader.get("/indexes/films/documents/1").await.unwrap();
    assert_eq!((read.status, read.header("x-miroir-session-behind")), (200, None), "{}", read.text());
    assert_eq!(read.header("x-miroir-settings-version"), Some("1"));

    let settings = json!({ "filterableAttributes": ["edition", "year"] });
    let changed = cluster.client().patch("/indexes/films/settings", &settings).await.unwrap();
    let promised = changed.header("x-miroir-settings-version").unwrap();
    assert_eq!(promised, "2");
    let newer = reader.with_header("x-miroir-min-settings-version", promised).unwrap();
    let query = json!({ "filter": "year NOT EXISTS" });
    let found: Value = newer.post("/indexes/films/search", &query).await.unwrap().ok().unwrap();
    assert_eq!(found["estimatedTotalHits"], 1);
    let shown = newer.get("/indexes/films/settings").await.unwrap();
    assert_eq!((shown.status, shown.header("x-miroir-settings-version")), (200, Some("2")));

    // What was done is done, whatever the alias stands for now.
    turn("films_v2").await;
    let again = writer.post("/indexes/films/documents", &documents).await.unwrap();
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    assert_eq!(reader.get("/indexes/films/documents/1").await.unwrap().status, 404);
}
