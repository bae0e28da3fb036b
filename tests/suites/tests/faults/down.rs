//! A node that is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_harness::{Cluster, wait_until};
use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::films::{COUNT, check_whole, prepare, search};
use crate::{cluster, unaware_cluster};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn with_two_copies_searches_are_whole() {
    let mut cluster = cluster(2, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    for node in 0..3 {
        cluster.stop_node(node);
        // At once: nobody knows yet that it is down.
        for number in 0..10 {
            check_whole(&search(&client, number).await);
        }
        for id in 0..COUNT {
            let document = index.document(&id.to_string()).await.unwrap();
            assert_eq!((document.status, document.header("x-miroir-degraded")), (200, None));
        }
        wait_for_status(&cluster, node, "down").await;
        for number in 0..10 {
            check_whole(&search(&client, number).await);
        }
        cluster.start_node(node).await.unwrap();
        wait_for_status(&cluster, node, "up").await;
        check_whole(&search(&client, 0).await);
    }
}

/// The shards of which the node is the only owner.
async fn shards_of(cluster: &Cluster, node: usize) -> BTreeSet<u64> {
    let shards = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    let id = cluster.node(node).id().to_owned();
    let owned = shards["shards"].as_array().unwrap().iter().filter(|shard| shard.to_string().contains(&id));
    owned.map(|shard| shard["shard"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn with_one_copy_answers_say_which_shards_they_lack() {
    let mut cluster = unaware_cluster(1, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    let lost = shards_of(&cluster, 1).await;
    assert!(!lost.is_empty() && lost.len() < 16, "{lost:?}");
    cluster.stop_node(1);

    let answer = search(&client, 0).await;
    let found = answer.ok().unwrap();
    let shown = answer.header("x-miroir-degraded").unwrap().strip_prefix("shards=").unwrap();
    let shown: BTreeSet<u64> = shown.split(',').map(|shard| shard.parse().unwrap()).collect();
    assert_eq!(shown, lost);
    let hits = found["hits"].as_array().unwrap();
    assert!(!hits.is_empty() && hits.len() < COUNT as usize);
    assert_eq!(found["estimatedTotalHits"], hits.len());
    let counted: u64 =
        found["facetDistribution"]["genre"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(counted, hits.len() as u64);

    // A document is there, or it is said that it can't be read: never that it doesn't exist.
    let there: BTreeSet<u64> = hits.iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
    for id in 0..COUNT {
        let answer = index.document(&id.to_string()).await.unwrap();
        match there.contains(&id) {
            true => assert_eq!(answer.status, 200),
            false => {
                let code = answer.code();
                assert_eq!((answer.status, code.as_deref()), (503, Some("miroir_shard_unavailable")));
            }
        }
    }

    // Envoy looks after a while whether it is back.
    cluster.start_node(1).await.unwrap();
    let whole = async || Ok(search(&client, 0).await.header("x-miroir-degraded").is_none());
    wait_until("answers to be whole", PATIENCE, whole).await.unwrap();
    check_whole(&search(&client, 0).await);
}

#[tokio::test]
async fn with_one_copy_answers_may_be_refused_instead() {
    let mut cluster = cluster(1, json!({ "unavailable_shard_policy": "error" })).await;
    let client = cluster.client();
    prepare(&cluster).await;
    cluster.stop_node(2);
    for _ in 0..2 {
        let answer = search(&client, 0).await;
        assert_eq!((answer.status, answer.code().as_deref()), (503, Some("miroir_shard_unavailable")));
        let error: Value = answer.json().unwrap();
        assert_eq!(error["type"], "system");
        assert!(answer.header("retry-after").is_some());
        wait_for_status(&cluster, 2, "down").await;
    }
    cluster.start_node(2).await.unwrap();
    wait_for_status(&cluster, 2, "up").await;
    check_whole(&search(&client, 0).await);
}
