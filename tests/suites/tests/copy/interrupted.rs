//! Copies that can't go on, and copies that may not be fast.

use std::time::{Duration, Instant};

use miroir_control_plane::copy::{CopyError, Progress, sync};
use miroir_control_plane::store::{NodeChange, Store};
use miroir_core::tag::TAG_FIELD;
use miroir_harness::wait_until;
use serde_json::json;

use crate::nodes::{LONG, Nodes, all_shards, documents, tag};

#[tokio::test]
async fn a_target_that_fails_says_why() {
    let nodes = Nodes::start(2).await;
    let embedder = |dimensions: u64| json!({ "embedders": { "v": { "source": "userProvided", "dimensions": dimensions } } });
    let index = nodes.index("odd", "id", embedder(2)).await;
    // Somebody changed it on the node.
    nodes.client(1).index("odd").update_settings(&json!({ "embedders": { "v": null } })).await.unwrap();
    nodes.client(1).index("odd").update_settings(&embedder(3)).await.unwrap();
    let document = json!({ "id": 1, TAG_FIELD: tag(1), "_vectors": { "v": [1, 2] } });
    nodes.add(0, &index, &[document]).await;
    let error = nodes.sync(&index, &all_shards()).await.unwrap_err();
    let CopyError::Node { node, .. } = &error else { panic!("{error}") };
    assert_eq!(node, "b");
    let message = error.to_string();
    for part in ["node b", "dimension", "failed"] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_target_that_does_not_have_the_index_says_so() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("lost", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..3)).await;
    let answer = nodes.client(1).delete("/indexes/lost").await.unwrap();
    nodes.client(1).wait_for_success(&answer).await.unwrap();
    let message = nodes.sync(&index, &all_shards()).await.unwrap_err().to_string();
    assert!(message.contains("node b") && message.contains("index_not_found"), "{message}");
}

#[tokio::test]
async fn a_copy_stops_when_the_uid_names_another_index() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("blue", "id", json!({})).await;
    nodes.index("green", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..1000)).await;
    nodes.pace.set(Some(400.0));
    let progress = Progress::default();
    let copy = async {
        let [source, target] = [&nodes.replicas[0], &nodes.replicas[1]];
        sync(nodes.context(), &index, &all_shards(), source, target, &progress).await
    };
    let swap = async {
        let begun = async || Ok(progress.now().documents_done > 0);
        wait_until("the copy to begin", LONG, begun).await.unwrap();
        let closed = nodes.gates.close(["blue", "green"]).await;
        for node in 0..2 {
            let pair = json!([{ "indexes": ["blue", "green"] }]);
            nodes.client(node).post("/swap-indexes", &pair).await.unwrap().ok().unwrap();
        }
        for uid in ["blue", "green"] {
            let mut record = nodes.store.index(uid).await.unwrap().unwrap();
            record.generation += 1;
            nodes.store.save_index(&record).await.unwrap();
        }
        drop(closed);
    };
    let (copied, ()) = tokio::time::timeout(LONG, async { tokio::join!(copy, swap) }).await.unwrap();
    assert!(matches!(copied, Err(CopyError::IndexChanged(uid)) if uid == "blue"));
    assert!(nodes.documents(1, &index).await.is_empty(), "nothing came into the other index");

    nodes.pace.set(None);
    let record = nodes.store.index("blue").await.unwrap().unwrap();
    let index = miroir_control_plane::copy::CopiedIndex::new(&record).unwrap();
    nodes.sync(&index, &all_shards()).await.unwrap();
    // A node that still has to take a change knows the index by another uid.
    nodes.store.add_pending_change("b", &NodeChange::Delete("blue".into())).await.unwrap();
    assert!(matches!(nodes.sync(&index, &all_shards()).await, Err(CopyError::IndexChanged(_))));
    nodes.store.delete_index("blue").await.unwrap();
    assert!(matches!(nodes.sync(&index, &all_shards()).await, Err(CopyError::IndexChanged(_))));
}

#[tokio::test]
async fn a_copy_keeps_its_pace() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("slow", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..600)).await;
    nodes.pace.set(Some(400.0));
    let start = Instant::now();
    nodes.sync(&index, &all_shards()).await.unwrap();
    // All but the last chunk have to be paid for before it ends.
    assert!(start.elapsed() >= Duration::from_millis(1000 * (600 - 100) / 400), "{:?}", start.elapsed());
    nodes.assert_equal(&index, [0, 1]).await;
}

#[tokio::test]
async fn a_copy_waits_for_writes_that_are_under_way() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("waiting", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..10)).await;
    let write = nodes.gates.pass("waiting").await;
    let shards = all_shards();
    let copy = nodes.sync(&index, &shards);
    tokio::pin!(copy);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut copy).await.is_err());
    assert!(nodes.documents(1, &index).await.is_empty());
    nodes.gates.leave(write);
    copy.await.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), 10);
}

#[tokio::test]
async fn a_copy_waits_for_what_the_nodes_have_still_to_do() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("queued", "id", json!({})).await;
    for (node, ids) in [(0, 0..800), (1, 700..900)] {
        for id in ids.step_by(100) {
            let chunk = documents(id..id + 100);
            nodes.client(node).index("queued").post_documents(&chunk).await.unwrap().ok().unwrap();
        }
    }
    nodes.sync(&index, &all_shards()).await.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), 800);
}

/// A write that has come to the target only, when the copy has handled its document.
#[tokio::test]
async fn a_copy_looks_again_once_a_write_is_on_both_nodes() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("halfway", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..300)).await;
    nodes.pace.set(Some(300.0));
    let progress = Progress::default();
    let shards = all_shards();
    let copy = sync(nodes.context(), &index, &shards, &nodes.replicas[0], &nodes.replicas[1], &progress);
    let write = async {
        let begun = async || Ok(progress.now().documents_done > 0);
        wait_until("the copy to begin", LONG, begun).await.unwrap();
        let write = nodes.gates.pass("halfway").await;
        let ids: Vec<u64> = (0..300).step_by(7).collect();
        for node in [1, 0] {
            let answer =
                nodes.client(node).post("/indexes/halfway/documents/delete-batch", &ids).await.unwrap();
            nodes.client(node).wait_for_success(&answer).await.unwrap();
            if node == 1 {
                let all = async || Ok(progress.now().documents_done == 300);
                wait_until("the copy to have handled all", LONG, all).await.unwrap();
                // Long enough for a copy that does not wait to look again.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        nodes.gates.leave(write);
        ids.len()
    };
    let (copied, deleted) = tokio::time::timeout(LONG, async { tokio::join!(copy, write) }).await.unwrap();
    copied.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), 300 - deleted);
}
