//! Shards move while clients search and write.

use std::collections::BTreeMap;

use miroir_harness::{Cluster, wait_until};
use serde_json::{Value, json};

use crate::observer::Observer;
use crate::{DOCUMENTS, PATIENCE, as_new, change, check_placement, cluster, film, films, settled, status};

/// What there is in the end.
pub async fn end(cluster: &Cluster, observer: Observer) {
    let searches = observer.searches();
    assert!(searches > 10, "{searches} searches");
    let mut expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    expected.extend(observer.end().await);
    settled(cluster).await;
    wait_until("the tasks to be done", PATIENCE, async || {
        let tasks = cluster.client().get("/tasks?statuses=enqueued,processing").await?.ok()?;
        Ok(tasks["total"] == 0)
    })
    .await
    .unwrap();
    check_placement(cluster, "films", &expected).await;
    let index = cluster.client().index("films");
    assert_eq!(index.count().await.unwrap(), expected.len() as u64);
}

fn shards_of(topology: &Value, node: &str) -> u64 {
    let nodes = topology["nodes"].as_array().unwrap();
    nodes.iter().find(|other| other["id"] == node).unwrap()["shards"].as_u64().unwrap()
}

#[tokio::test]
async fn a_node_is_added_another_drained_and_removed() {
    let mut cluster = cluster(2, 1).await;
    films(&cluster).await;
    let observer = Observer::begin(&cluster);
    let added = cluster.spawn_node().await.unwrap();
    let moving = change(&cluster, "POST", "/_miroir/nodes", &as_new(&cluster, added)).await;
    assert_eq!((&moving["state"], &moving["shardsTotal"]), (&json!("running"), &json!(5)), "{moving:#}");
    settled(&cluster).await;
    let topology = cluster.admin().get("/_miroir/topology").await.unwrap().ok().unwrap();
    assert!([5, 6].contains(&shards_of(&topology, "node-2")), "{topology:#}");

    let refusal = cluster.admin().delete("/_miroir/nodes/node-0").await.unwrap();
    assert_eq!((refusal.status, refusal.code().as_deref()), (409, Some("miroir_node_owns_shards")));
    change(&cluster, "POST", "/_miroir/nodes/node-0/drain", &Value::Null).await;
    settled(&cluster).await;
    change(&cluster, "DELETE", "/_miroir/nodes/node-0", &Value::Null).await;
    settled(&cluster).await;
    cluster.stop_node(0);
    end(&cluster, observer).await;
}

#[tokio::test]
async fn a_dead_node_is_replaced_and_the_copies_become_more_and_fewer() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    let observer = Observer::begin(&cluster);
    cluster.stop_node(1);
    let new = cluster.spawn_node().await.unwrap();
    change(&cluster, "POST", "/_miroir/nodes/node-1/replace", &as_new(&cluster, new)).await;
    settled(&cluster).await;
    let topology = cluster.admin().get("/_miroir/topology").await.unwrap().ok().unwrap();
    assert_eq!(topology["groups"], json!({"group-0": ["node-0", "node-2", "node-3"]}));
    for copies in [3, 1] {
        change(&cluster, "PATCH", "/_miroir/topology", &json!({ "replicationFactor": copies })).await;
        settled(&cluster).await;
    }
    end(&cluster, observer).await;
}

#[tokio::test]
async fn a_group_comes_and_goes() {
    let mut cluster = cluster(2, 1).await;
    films(&cluster).await;
    let observer = Observer::begin(&cluster);
    let nodes = [cluster.spawn_node().await.unwrap(), cluster.spawn_node().await.unwrap()];
    let nodes: Vec<Value> = nodes.into_iter().map(|node| as_new(&cluster, node)).collect();
    change(&cluster, "POST", "/_miroir/groups", &json!({ "id": "more", "nodes": nodes })).await;
    settled(&cluster).await;
    change(&cluster, "DELETE", "/_miroir/groups/group-0", &Value::Null).await;
    settled(&cluster).await;
    for node in ["node-0", "node-1"] {
        change(&cluster, "DELETE", &format!("/_miroir/nodes/{node}"), &Value::Null).await;
    }
    end(&cluster, observer).await;
}

#[tokio::test]
async fn it_goes_on_after_the_control_plane_was_killed_and_back_when_it_is_canceled() {
    let mut cluster = cluster(2, 1).await;
    films(&cluster).await;
    let added = cluster.spawn_node().await.unwrap();
    change(&cluster, "POST", "/_miroir/nodes", &as_new(&cluster, added)).await;
    for _ in 0..3 {
        cluster.stop_control_plane();
        cluster.start_control_plane().await.unwrap();
    }
    settled(&cluster).await;
    let observer = Observer::begin(&cluster);
    change(&cluster, "POST", "/_miroir/nodes/node-0/drain", &Value::Null).await;
    cluster.admin().post("/_miroir/rebalance/pause", &Value::Null).await.unwrap().ok().unwrap();
    let paused = status(&cluster).await;
    assert!(["paused", "idle"].contains(&paused["state"].as_str().unwrap()), "{paused:#}");
    cluster.admin().post("/_miroir/rebalance/cancel", &Value::Null).await.unwrap().ok().unwrap();
    settled(&cluster).await;
    change(&cluster, "POST", "/_miroir/rebalance", &Value::Null).await;
    settled(&cluster).await;
    let topology = cluster.admin().get("/_miroir/topology").await.unwrap().ok().unwrap();
    assert_eq!(shards_of(&topology, "node-0"), 0);
    end(&cluster, observer).await;
}
