//! A node that is down while indexes are swapped, renamed, deleted and changed.

use std::time::Duration;

use miroir_harness::{Client, Cluster, wait_until};
use miroir_suites::topology::{status, wait_for_status};
use serde_json::{Value, json};

use crate::{cluster, documents, ids};

/// The ids that the node itself holds of an index.
async fn held(cluster: &Cluster, node: usize, index: &str) -> Vec<u64> {
    let found = cluster.node(node).client().index(index).search(&json!({ "limit": 1000 })).await.unwrap();
    let mut ids: Vec<u64> =
        found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

async fn indexes(client: &Client) -> Vec<String> {
    let listed = client.get("/indexes?limit=100").await.unwrap().ok().unwrap();
    listed["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|index| index["uid"].as_str().unwrap().to_owned())
        .collect()
}

async fn done(client: &Client, answer: anyhow::Result<miroir_harness::Answer>) {
    client.wait_for_success(&answer.unwrap()).await.unwrap();
}

async fn prepare(client: &Client) {
    for (number, uid) in (0..).zip(["a", "b", "c", "d"]) {
        let index = client.create_index(uid, Some("id")).await.unwrap();
        index.add_documents(&documents(number * 100..number * 100 + 40)).await.unwrap();
        index.update_settings(&json!({ "stopWords": [uid] })).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_is_back_takes_what_it_missed_in_order() {
    let mut cluster = cluster(json!({})).await;
    let client = cluster.client();
    prepare(&client).await;
    let before = [held(&cluster, 2, "a").await, held(&cluster, 2, "b").await, held(&cluster, 2, "c").await];

    cluster.stop_node(2);
    // At once: nobody knows yet that it is down.
    done(&client, client.post("/swap-indexes", &json!([{ "indexes": ["a", "b"] }])).await).await;
    wait_for_status(&cluster, 2, "down").await;
    done(&client, client.patch("/indexes/c", &json!({ "uid": "e" })).await).await;
    done(&client, client.delete("/indexes/d").await).await;
    let new = client.create_index("d", Some("id")).await.unwrap();
    new.add_documents(&documents(900..920)).await.unwrap();
    done(&client, client.post("/swap-indexes", &json!([{ "indexes": ["d", "e"] }])).await).await;
    // Of an index that it has never had.
    client.create_index("f", Some("id")).await.unwrap();
    done(&client, client.post("/swap-indexes", &json!([{ "indexes": ["f", "a"] }])).await).await;
    let expected: [(&str, std::ops::Range<u64>); 5] =
        [("a", 0..0), ("b", 0..40), ("d", 200..240), ("e", 900..920), ("f", 100..140)];
    for (uid, range) in expected.clone() {
        assert_eq!(ids(&client, uid).await, range.collect::<Vec<_>>(), "{uid}, with the node away");
    }
    client.index("f").update_settings(&json!({ "stopWords": ["f", "g"] })).await.unwrap();

    cluster.start_node(2).await.unwrap();
    let up = async || {
        assert_eq!(ids(&client, "f").await, (100..140).collect::<Vec<_>>());
        Ok(status(&cluster, 2).await == "up")
    };
    wait_until("node 2 to be up", Duration::from_secs(60), up).await.unwrap();
    for (uid, range) in expected {
        assert_eq!(ids(&client, uid).await, range.clone().collect::<Vec<_>>(), "{uid}");
        assert_eq!(client.index(uid).count().await.unwrap(), range.count() as u64, "{uid}");
    }
    let node = cluster.node(2).client();
    assert_eq!(indexes(&node).await, indexes(&client).await);
    let now = [held(&cluster, 2, "b").await, held(&cluster, 2, "f").await, held(&cluster, 2, "d").await];
    assert_eq!(now, before, "its documents went along");
    for uid in ["a", "b", "d", "e", "f"] {
        let path = format!("/indexes/{uid}/settings/stop-words");
        let [ours, its] = [client.get(&path).await.unwrap().text(), node.get(&path).await.unwrap().text()];
        assert_eq!(ours, its, "{uid}");
    }
}

/// Neither is forgotten when the control plane restarts.
#[tokio::test]
async fn a_control_plane_that_is_back_knows_what_nodes_missed() {
    let mut cluster = cluster(json!({})).await;
    let client = cluster.client();
    prepare(&client).await;
    cluster.stop_node(0);
    wait_for_status(&cluster, 0, "down").await;
    done(&client, client.post("/swap-indexes", &json!([{ "indexes": ["a", "b"] }])).await).await;
    cluster.stop_control_plane();
    cluster.start_node(0).await.unwrap();
    cluster.start_control_plane().await.unwrap();
    wait_for_status(&cluster, 0, "up").await;
    assert_eq!(ids(&client, "a").await, (100..140).collect::<Vec<_>>());
    assert_eq!(ids(&client, "b").await, (0..40).collect::<Vec<_>>());
    let its = held(&cluster, 0, "a").await;
    assert!(!its.is_empty() && its.iter().all(|id| (100..140).contains(id)), "{its:?}");
}

#[tokio::test]
async fn statistics_count_each_document_once_with_a_node_down() {
    let mut cluster = cluster(json!({})).await;
    let client = cluster.client();
    let index = client.create_index("counted", Some("id")).await.unwrap();
    let documents: Vec<Value> = (0..150)
        .map(|id| if id % 3 == 0 { json!({ "id": id, "third": 1 }) } else { json!({ "id": id }) })
        .collect();
    index.add_documents(&documents).await.unwrap();
    let check = async || {
        let stats = client.get("/indexes/counted/stats").await.unwrap().ok().unwrap();
        assert_eq!(stats["numberOfDocuments"], 150);
        let all = client.get("/stats").await.unwrap().ok().unwrap();
        assert_eq!(all["indexes"]["counted"]["numberOfDocuments"], 150);
        stats["fieldDistribution"].clone()
    };
    assert_eq!(check().await, json!({ "id": 150, "third": 50 }));
    cluster.stop_node(1);
    wait_for_status(&cluster, 1, "down").await;
    // Nodes count fields of all they hold, so with copies missing this is an estimate; what all documents have is exact.
    let fields = check().await;
    assert_eq!(fields["id"], 150);
    assert!((40..=60).contains(&fields["third"].as_u64().unwrap()), "{fields}");
}
