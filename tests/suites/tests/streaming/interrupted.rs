//! A node, the client or the control plane goes away in the middle of a body.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use miroir_core::tag;
use miroir_harness::{Cluster, Index, wait_until};
use miroir_suites::stats::wasm_failures;
use miroir_suites::topology::{stale_shards, wait_for_status};
use serde_json::{Value, json};

use crate::cluster;
use crate::upload::{Upload, document, lines, prepare};

const PATIENCE: Duration = Duration::from_secs(60);

/// The ids that each node holds, by shard and node.
async fn held(cluster: &Cluster, index: &str) -> BTreeMap<u64, BTreeMap<String, Vec<u64>>> {
    let mut held: BTreeMap<u64, BTreeMap<String, Vec<u64>>> = BTreeMap::new();
    for node in cluster.nodes() {
        let query = json!({ "limit": 100_000, "fields": ["id", "_miroir_shard"] });
        let page = node.client().post(&format!("/indexes/{index}/documents/fetch"), &query).await.unwrap();
        for document in page.ok().unwrap()["results"].as_array().unwrap() {
            let shard = tag::decode(document["_miroir_shard"].as_str().unwrap()).unwrap();
            let of_shard = held.entry(shard.into()).or_default().entry(node.id().to_owned()).or_default();
            of_shard.push(document["id"].as_u64().unwrap());
        }
    }
    for ids in held.values_mut().flat_map(BTreeMap::values_mut) {
        ids.sort_unstable();
    }
    held
}

/// Waits until the nodes have done what they were asked.
async fn settle(cluster: &Cluster) {
    wait_until("the nodes to be done", PATIENCE, async || {
        let mut done = true;
        for node in cluster.nodes() {
            let tasks = node.client().get("/tasks?statuses=enqueued,processing").await?.ok()?;
            done &= tasks["total"] == 0;
        }
        Ok(done)
    })
    .await
    .unwrap();
}

/// The clean owners of each shard.
async fn clean_owners(cluster: &Cluster) -> BTreeMap<u64, BTreeSet<String>> {
    let places = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    let clean = |place: &Value| {
        let stale = place["stale"].as_array().unwrap();
        let owners =
            place["owners"].as_object().unwrap().values().flat_map(|owners| owners.as_array().unwrap());
        owners.filter(|node| !stale.contains(node)).map(|node| node.as_str().unwrap().to_owned()).collect()
    };
    let places = places["shards"].as_array().unwrap();
    places.iter().map(|place| (place["shard"].as_u64().unwrap(), clean(place))).collect()
}

/// Sees to it that the copies of each shard are the same, but for those that are known to be stale.
async fn check_no_silent_difference(cluster: &Cluster, index: &str) {
    settle(cluster).await;
    // Repair goes on meanwhile: what it made clean in between may have been read before.
    let before = clean_owners(cluster).await;
    let held = held(cluster, index).await;
    let after = clean_owners(cluster).await;
    for (shard, owners) in before {
        let clean: Vec<&String> = owners.intersection(&after[&shard]).collect();
        assert!(!clean.is_empty(), "shard {shard} has no clean copy");
        let of = |node: &String| held.get(&shard).and_then(|nodes| nodes.get(node)).cloned();
        let copies: Vec<Vec<u64>> = clean.iter().map(|node| of(node).unwrap_or_default()).collect();
        assert!(
            copies.windows(2).all(|pair| pair[0] == pair[1]),
            "copies of shard {shard} differ: {clean:?}, {copies:?}"
        );
    }
}

/// Waits until a node has so many parts of writes.
async fn wait_for_parts(cluster: &Cluster, node: usize, parts: u64) {
    wait_until("parts to be on a node", PATIENCE, async || {
        let tasks = cluster.node(node).client().get("/tasks?types=documentAdditionOrUpdate").await?.ok()?;
        Ok(tasks["total"].as_u64() >= Some(parts))
    })
    .await
    .unwrap();
}

/// An upload of which a part is on node 1, and more is to come.
async fn begun(cluster: &Cluster, index: &Index) -> Upload {
    let mut upload = Upload::begin(cluster, index);
    upload.push(lines(0..3000, 1)).await;
    wait_for_parts(cluster, 1, 1).await;
    upload
}

#[tokio::test]
async fn a_node_that_dies_in_the_middle_is_stale_and_the_write_goes_on() {
    let mut cluster = cluster(json!({})).await;
    let index = prepare(&cluster, "dying").await;
    let mut upload = begun(&cluster, &index).await;
    cluster.stop_node(1);
    for first in (3000..6000).step_by(100) {
        upload.push(lines(first..first + 100, 1)).await;
    }
    let (status, summary) = upload.finish().await;
    assert_eq!(status, 202, "{summary}");
    let client = cluster.client();
    let task = client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(task["status"], "succeeded", "{task}");
    assert_eq!(task["details"]["indexedDocuments"], 6000);
    assert!(!stale_shards(&cluster, 1).await.is_empty());
    cluster.start_node(1).await.unwrap();
    wait_for_status(&cluster, 1, "up").await;
    for id in (0..6000).step_by(499) {
        assert_eq!(index.document(&id.to_string()).await.unwrap().ok().unwrap(), document(id, 1));
    }
    check_no_silent_difference(&cluster, "dying").await;
}

#[tokio::test]
async fn what_a_client_left_behind_is_known() {
    let cluster = cluster(json!({})).await;
    let index = prepare(&cluster, "leaving").await;
    let mut upload = Upload::begin(&cluster, &index);
    for first in (0..3000).step_by(100) {
        upload.push(lines(first..first + 100, 1)).await;
    }
    // The second is sent once the filter knows that the node took the first.
    wait_for_parts(&cluster, 0, 2).await;
    upload.abort().await;
    let client = cluster.client();
    let mut failed = Value::Null;
    wait_until("a failed task", PATIENCE, async || {
        let tasks = client.get("/tasks?statuses=failed&indexUids=leaving").await?.ok()?;
        failed = tasks["results"][0].clone();
        Ok(tasks["total"] == 1)
    })
    .await
    .unwrap();
    assert_eq!(failed["error"]["code"], "miroir_write_interrupted", "{failed}");
    check_no_silent_difference(&cluster, "leaving").await;
    // Sending all of it again does what was asked for.
    let mut upload = Upload::begin(&cluster, &index);
    upload.push(lines(0..3000, 1)).await;
    let (status, summary) = upload.finish().await;
    assert_eq!(status, 202, "{summary}");
    client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(index.count().await.unwrap(), 3000);
    assert!(wasm_failures(&cluster).await.is_empty());
}

#[tokio::test]
async fn without_the_control_plane_nothing_is_acknowledged_and_nothing_forgotten() {
    let mut cluster = cluster(json!({})).await;
    let index = prepare(&cluster, "alone").await;
    let mut upload = begun(&cluster, &index).await;
    cluster.stop_control_plane();
    cluster.stop_node(1);
    for first in (3000..5000).step_by(100) {
        upload.push(lines(first..first + 100, 1)).await;
    }
    let (status, error) = upload.finish().await;
    assert_eq!((status, &error["code"]), (503, &json!("miroir_control_plane_unavailable")), "{error}");
    cluster.start_control_plane().await.unwrap();
    // The filter tells what the node missed when it can.
    wait_until("the node to be known as stale", PATIENCE, async || {
        Ok(!stale_shards(&cluster, 1).await.is_empty())
    })
    .await
    .unwrap();
    cluster.start_node(1).await.unwrap();
    wait_for_status(&cluster, 1, "up").await;
    check_no_silent_difference(&cluster, "alone").await;
}
