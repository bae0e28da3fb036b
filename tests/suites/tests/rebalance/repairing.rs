//! Replicas that missed writes become clean again by themselves.

use std::collections::BTreeMap;

use miroir_harness::{Cluster, wait_until};
use miroir_suites::stats::envoy_stats;
use serde_json::{Value, json};

use crate::{DOCUMENTS, PATIENCE, check_placement, cluster, film, films, settled};

/// Compares all replicas; gives the report.
async fn compare(cluster: &Cluster, repair: bool) -> Value {
    let admin = cluster.admin();
    let begun = admin.post("/_miroir/anti-entropy", &json!({ "repair": repair })).await.unwrap();
    assert_eq!(begun.status, 202, "{}", begun.text());
    let mut report = Value::Null;
    wait_until("the check to end", PATIENCE, async || {
        report = admin.get("/_miroir/anti-entropy").await?.json()?;
        Ok(report["repairs"] == repair && report["finishedAt"].is_string())
    })
    .await
    .unwrap();
    report
}

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

#[tokio::test]
async fn a_node_that_lost_all_it_had_is_filled_again_although_a_write_has_made_its_index_anew() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    let places = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    let is_on_it = |id: &u64| {
        let shard = miroir_core::shard::shard_of(&id.to_string(), 16);
        let owners = places["shards"][shard as usize]["owners"]["group-0"].as_array().unwrap();
        owners.iter().any(|owner| *owner == cluster.node(2).id())
    };
    let id = (0..DOCUMENTS).find(is_on_it).unwrap();
    // Nobody looks, and the node is back before anybody does.
    cluster.stop_control_plane();
    cluster.stop_node(2);
    cluster.wipe_node(2).unwrap();
    cluster.start_node(2).await.unwrap();
    // As an Envoy writes that knows of nothing.
    let node = cluster.node(2).client();
    let mut written = film(id, 1);
    written["_miroir_shard"] =
        miroir_core::tag::encode(miroir_core::shard::shard_of(&id.to_string(), 16)).into();
    let added = node.post("/indexes/films/documents", &json!([written])).await.unwrap();
    node.wait_for_success(&added).await.unwrap();
    cluster.start_control_plane().await.unwrap();
    settled(&cluster).await;
    let expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    check_placement(&cluster, "films", &expected).await;
}

#[tokio::test]
async fn what_differs_for_no_reason_that_miroir_knows_is_found_and_repaired() {
    let cluster = cluster(3, 2).await;
    films(&cluster).await;
    let places = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    let shard = u64::from(miroir_core::shard::shard_of("7", 16));
    let owners = places["shards"][shard as usize]["owners"]["group-0"].as_array().unwrap();
    let node = |id: &Value| cluster.nodes().iter().find(|node| *id == node.id()).unwrap();
    let second = node(&owners[1]).client();
    let stranger =
        cluster.nodes().iter().find(|node| !owners.iter().any(|id| *id == node.id())).unwrap().client();
    // Somebody talks to nodes past Miroir.
    let deleted = second.delete("/indexes/films/documents/7").await.unwrap();
    second.wait_for_success(&deleted).await.unwrap();
    let tag = miroir_core::tag::encode(shard as u32);
    let misplaced = json!([{ "id": 7, "title": "elsewhere", "genre": "genre 0", "_miroir_shard": tag }]);
    let added = stranger.post("/indexes/films/documents", &misplaced).await.unwrap();
    stranger.wait_for_success(&added).await.unwrap();
    let untagged =
        json!([{ "id": 900_001, "title": "film number 900001", "genre": "genre 0", "version": 1 }]);
    let added = second.post("/indexes/films/documents", &untagged).await.unwrap();
    second.wait_for_success(&added).await.unwrap();

    let admin = cluster.admin();
    assert_eq!(admin.get("/_miroir/anti-entropy").await.unwrap().status, 404);
    for (repair, kinds) in [
        (false, vec!["misplaced", "missing", "wrongTag"]),
        (true, vec!["misplaced", "missing", "wrongTag"]),
        (false, vec![]),
    ] {
        let report = compare(&cluster, repair).await;
        let findings = report["findings"].as_array().unwrap();
        let mut found: Vec<&str> = findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, kinds, "{report:#}");
        assert_eq!(report["unchecked"], json!([]));
        settled(&cluster).await;
    }
    let mut expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    expected.insert(900_001, untagged[0].clone());
    check_placement(&cluster, "films", &expected).await;
}

#[tokio::test]
async fn when_the_last_clean_copy_is_lost_an_operator_says_which_one_counts() {
    let mut cluster = cluster(2, 2).await;
    let index = films(&cluster).await;
    let trust = |node: &str| format!("/_miroir/nodes/{node}/trust");
    let admin = cluster.admin();
    let nothing = admin.post(&trust("node-1"), &Value::Null).await.unwrap();
    assert_eq!((nothing.status, nothing.code().as_deref()), (409, Some("miroir_nothing_lost")));
    cluster.stop_node(1);
    index.add_documents(&[film(0, 2)]).await.unwrap();
    cluster.stop_node(0);
    cluster.wipe_node(0).unwrap();
    cluster.start_node(0).await.unwrap();
    cluster.start_node(1).await.unwrap();
    let mut last = Value::Null;
    wait_until("it to be known that a copy is lost", PATIENCE, async || {
        last = admin.get("/_miroir/rebalance").await?.ok()?;
        let repairs = last["repairs"].as_array().unwrap();
        Ok(repairs.iter().any(|repair| {
            let reason = repair["reason"].as_str().unwrap_or_default();
            repair["node"] == "node-1" && reason.contains("no clean copy is left")
        }))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {last:#}"));
    let trusted = admin.post(&trust("node-1"), &Value::Null).await.unwrap();
    assert_eq!(trusted.status, 200, "{}", trusted.text());
    settled(&cluster).await;
    // What node 1 has missed is lost, and nothing else.
    let expected: BTreeMap<u64, Value> = (0..DOCUMENTS).map(|id| (id, film(id, 1))).collect();
    check_placement(&cluster, "films", &expected).await;
}

#[tokio::test]
async fn a_write_that_never_ends_keeps_no_replicas_from_being_compared() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    for node in 0..3 {
        cluster.pause_node(node).unwrap();
    }
    let client = cluster.client();
    let body = json!([film(1, 2)]);
    let write = tokio::spawn(async move { client.post("/indexes/films/documents", &body).await });
    wait_until("the write to be on its way", PATIENCE, async || {
        let stats = envoy_stats(&cluster).await;
        let mut of_nodes = stats.iter().filter(|(name, _)| {
            name.ends_with(".upstream_rq_active") && !name.starts_with("cluster.miroir-control-plane.")
        });
        Ok(of_nodes.any(|(_, active)| *active > 0))
    })
    .await
    .unwrap();
    cluster.stop_envoy();
    for node in 0..3 {
        cluster.resume_node(node).unwrap();
    }
    assert!(write.await.unwrap().is_err(), "nobody can have answered");
    cluster.start_envoy().await.unwrap();
    let report = compare(&cluster, false).await;
    assert_eq!((&report["unchecked"], &report["shardsCompared"]), (&json!([]), &json!(16)), "{report:#}");
}
