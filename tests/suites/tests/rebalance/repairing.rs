//! Replicas that missed writes become clean again by themselves.

use std::collections::BTreeMap;

use miroir_harness::wait_until;
use serde_json::{Value, json};

use crate::{DOCUMENTS, PATIENCE, check_placement, cluster, film, films, settled};

#[tokio::test]
async fn a_node_that_was_away_is_repaired() {
    let mut cluster = cluster(3, 2).await;
    let index = films(&cluster).await;
    cluster.stop_node(1);
    let changed: Vec<Value> = (0..500).map(|id| film(id, 2)).collect();
    index.add_documents(&changed).await.unwrap();
    for id in 500..520 {
        index.delete_document(&id.to_string()).await.unwrap();
    }
    let mut expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    expected.extend((0..500).map(|id| (id, film(id, 2))));
    expected.retain(|id, _| !(500..520).contains(id));
    cluster.start_node(1).await.unwrap();
    settled(&cluster).await;
    check_placement(&cluster, "films", &expected).await;
}

#[tokio::test]
async fn a_node_that_lost_all_it_had_is_filled_again() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    cluster.stop_node(2);
    cluster.wipe_node(2).unwrap();
    cluster.start_node(2).await.unwrap();
    wait_until("the node to have its index again", PATIENCE, async || {
        Ok(cluster.node(2).client().get("/indexes/films").await?.status == 200)
    })
    .await
    .unwrap();
    settled(&cluster).await;
    let expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    check_placement(&cluster, "films", &expected).await;
    // Alone it serves what it holds.
    cluster.stop_node(0);
    let found = cluster.client().index("films").search(&json!({ "hitsPerPage": 1 })).await.unwrap();
    assert_eq!(found["totalHits"], DOCUMENTS);
}
