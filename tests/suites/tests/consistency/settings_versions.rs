//! `X-Miroir-Settings-Version` and `X-Miroir-Min-Settings-Version`.

use std::time::{Duration, Instant};

use miroir_harness::{Answer, Client, Index, wait_until};
use serde_json::json;

use crate::{document, options, prepare, start};

const VERSION: &str = "x-miroir-settings-version";

fn at_least(client: &Client, version: impl ToString) -> Client {
    client.with_header("x-miroir-min-settings-version", &version.to_string()).unwrap()
}

#[track_caller]
fn version(answer: &Answer) -> u64 {
    let version = answer.header(VERSION).unwrap_or_else(|| panic!("no version: {}", answer.text()));
    version.parse().unwrap()
}

/// Makes an attribute filterable; the version that has it.
async fn change(client: &Client, index: &Index, attributes: &[String]) -> u64 {
    let path = index.path("/settings/filterable-attributes");
    let answer = client.put(&path, &attributes).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    version(&answer)
}

#[track_caller]
fn check_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{}", answer.text());
}

#[tokio::test]
async fn a_change_tells_which_version_has_it() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    index.add_documents(&[document(1, 1)]).await.unwrap();
    let client = cluster.client();
    let mut last = version(&client.get(&index.path("/settings")).await.unwrap());
    assert_eq!(last, 1);

    // One by one, by the other Envoy.
    for number in 0..5 {
        let attributes = [format!("a{number}"), "edition".into()];
        let promised = change(&client, &index, &attributes).await;
        assert!(promised > last);
        last = promised;
        let reader = at_least(&cluster.client_of(1), promised);
        let query = json!({ "filter": format!("a{number} NOT EXISTS") });
        let found = reader.post(&index.path("/search"), &query).await.unwrap();
        assert_eq!(found.ok().unwrap()["estimatedTotalHits"], 1);
        assert!(version(&found) >= promised);
    }

    // All at once, with one that is perhaps canceled.
    let mut promised = Vec::new();
    for number in 0..6 {
        let attributes = [format!("b{number}"), "edition".into()];
        promised.push(change(&client, &index, &attributes).await);
        if number == 2 {
            client
                .post("/tasks/cancel?types=settingsUpdate&statuses=enqueued,processing", &())
                .await
                .unwrap();
        }
    }
    assert!(promised.windows(2).all(|pair| pair[0] < pair[1]), "{promised:?}");
    for promised in &promised {
        let reads = [
            at_least(&cluster.client_of(1), promised).get(&index.path("/documents/1")).await.unwrap(),
            at_least(&client, promised).get(&index.path("/settings")).await.unwrap(),
            at_least(&client, promised).post(&index.path("/search"), &json!({})).await.unwrap(),
            at_least(&client, promised).get(&index.path("/documents")).await.unwrap(),
        ];
        for read in &reads {
            assert_eq!(read.status, 200, "{}", read.text());
            assert!(version(read) >= *promised);
        }
    }
    let query = json!({ "filter": "b5 NOT EXISTS" });
    let found = at_least(&client, promised[5]).post(&index.path("/search"), &query).await.unwrap();
    assert_eq!(found.ok().unwrap()["estimatedTotalHits"], 1);
    // Each index has its own.
    let books = prepare(&cluster, "books").await;
    assert_eq!(version(&client.get(&books.path("/settings")).await.unwrap()), 1);
    let queries = json!({ "queries": [{ "indexUid": "films" }] });
    assert_eq!(client.post("/multi-search", &queries).await.unwrap().header(VERSION), None);
}

#[tokio::test]
async fn versions_that_do_not_come_are_not_waited_for_for_ever() {
    let mut cluster = start(options(json!({ "sessions": { "wait_ms": 300 } }))).await;
    let index = prepare(&cluster, "films").await;
    index.add_documents(&[document(1, 1)]).await.unwrap();
    let client = cluster.client();
    let begun = Instant::now();
    for path in ["/documents/1", "/documents", "/settings", "/settings/stop-words"] {
        let answer = at_least(&client, 9).get(&index.path(path)).await.unwrap();
        check_refused(&answer, 503, "miroir_settings_version_stale");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(begun.elapsed() > Duration::from_millis(1200), "they wait a while");
    for wrong in ["", "x", "-1", "1.5"] {
        for path in ["/documents/1", "/settings"] {
            let answer = at_least(&client, wrong).get(&index.path(path)).await.unwrap();
            check_refused(&answer, 400, "miroir_invalid_settings_version");
        }
    }
    let queries = json!({ "queries": [{ "indexUid": "films" }] });
    let answer = at_least(&client, 1).post("/multi-search", &queries).await.unwrap();
    check_refused(&answer, 400, "miroir_invalid_settings_version");
    let nowhere = at_least(&client, 1).post("/indexes/nowhere/search", &json!({})).await.unwrap();
    check_refused(&nowhere, 404, "index_not_found");

    // What Envoy knows it knows without the control plane.
    wait_until("the Envoy to know the version", Duration::from_secs(60), async || {
        Ok(at_least(&client, 1).get(&index.path("/documents/1")).await?.status == 200)
    })
    .await
    .unwrap();
    cluster.stop_control_plane();
    let known = at_least(&client, 1).get(&index.path("/documents/1")).await.unwrap();
    assert_eq!((known.status, version(&known)), (200, 1));
    let unknown = at_least(&client, 2).get(&index.path("/documents/1")).await.unwrap();
    check_refused(&unknown, 503, "miroir_settings_version_stale");
}
