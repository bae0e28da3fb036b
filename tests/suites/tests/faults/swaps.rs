//! New routing tables under load.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use miroir_suites::stats::wasm_failures;
use miroir_suites::topology::topology;
use serde_json::json;

use crate::cluster;
use crate::films::{check_whole, film, prepare, search};

#[tokio::test]
async fn no_request_fails_while_the_table_changes() {
    const CHANGES: u64 = 24;
    let cluster = cluster(2, json!({})).await;
    let index = prepare(&cluster).await;
    let version = async || topology(&cluster).await["tableVersion"].as_u64().unwrap();
    let before = version().await;

    let done = AtomicBool::new(false);
    let searchers = join_all((0..3).map(|searcher| {
        let (client, done) = (cluster.client(), &done);
        async move {
            let mut searches = 0;
            while !done.load(Ordering::Relaxed) {
                check_whole(&search(&client, searches * 10 + searcher).await);
                searches += 1;
            }
            searches
        }
    }));
    let changes = async {
        let client = cluster.client();
        for change in 0..CHANGES {
            match change % 3 {
                0 => drop(client.create_index(&format!("index-{change}"), None).await.unwrap()),
                1 => drop(
                    index.update_settings(&json!({ "stopWords": [format!("s{change}")] })).await.unwrap(),
                ),
                _ => drop(
                    client.index(&format!("written-{change}")).add_documents(&[film(1, 1)]).await.unwrap(),
                ),
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let (searches, ()) = tokio::join!(searchers, changes);
    assert!(version().await >= before + CHANGES);
    assert!(searches.iter().sum::<usize>() > CHANGES as usize, "{searches:?}");
    assert!(wasm_failures(&cluster).await.is_empty());
}
