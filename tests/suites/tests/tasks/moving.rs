//! Swaps and renamings while clients write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::future::join_all;
use miroir_harness::{Client, Cluster};
use miroir_suites::stats::wasm_failures;
use serde_json::{Value, json};

use crate::{cluster, documents, ids};

/// What a client was told that was enqueued.
#[derive(Debug)]
enum Done {
    Written { index: &'static str, id: u64 },
    Changed { pairs: Value },
}

/// What each index holds after tasks in the order of their uids, as on one Meilisearch.
fn replay(
    indexes: &[&'static str],
    tasks: &BTreeMap<u64, Done>,
    succeeded: &BTreeSet<u64>,
) -> BTreeMap<String, BTreeSet<u64>> {
    let mut indexes: BTreeMap<String, BTreeSet<u64>> =
        indexes.iter().map(|uid| ((*uid).to_owned(), BTreeSet::new())).collect();
    for (_, done) in tasks.iter().filter(|(uid, _)| succeeded.contains(uid)) {
        match done {
            Done::Written { index, id } => {
                indexes.entry((*index).to_owned()).or_default().insert(*id);
            }
            Done::Changed { pairs } => {
                for pair in pairs.as_array().unwrap() {
                    let [left, right] =
                        [0, 1].map(|place| pair["indexes"][place].as_str().unwrap().to_owned());
                    let (of_left, of_right) = (indexes.remove(&left), indexes.remove(&right));
                    indexes.extend(of_left.map(|held| (right, held)));
                    indexes.extend(of_right.map(|held| (left, held)));
                }
            }
        }
    }
    indexes
}

/// Writes single documents into the indexes in turn until told to stop.
async fn write(
    client: &Client,
    indexes: &[&'static str],
    next: &AtomicU64,
    stop: &AtomicBool,
    refused: &Mutex<BTreeSet<String>>,
) -> BTreeMap<u64, Done> {
    let mut done = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let index = indexes[id as usize % indexes.len()];
        let answer = client.index(index).post_documents(&documents([id])).await.unwrap();
        match answer.status {
            202 => {
                let uid = answer.json::<Value>().unwrap()["taskUid"].as_u64().unwrap();
                done.insert(uid, Done::Written { index, id });
            }
            // Not acknowledged: it may have come to some nodes, and may have made its index anew.
            503 => drop(refused.lock().unwrap().insert(index.to_owned())),
            _ => panic!("{}", answer.text()),
        }
    }
    done
}

async fn while_clients_write(cluster: &Cluster, indexes: &[&'static str], changes: &[Value]) {
    let client = cluster.client();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let refused = Mutex::default();
    let writers = join_all((0..4).map(|_| write(&client, indexes, &next, &stop, &refused)));
    let swapper = async {
        let mut done = BTreeMap::new();
        for pairs in changes {
            let summary = client.post("/swap-indexes", pairs).await.unwrap().ok().unwrap();
            done.insert(summary["taskUid"].as_u64().unwrap(), Done::Changed { pairs: pairs.clone() });
        }
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (written, mut tasks) = tokio::join!(writers, swapper);
    tasks.extend(written.into_iter().flatten());
    let written = tasks.values().filter(|done| matches!(done, Done::Written { .. })).count();
    assert!(written > changes.len(), "{written} writes");

    let mut succeeded = BTreeSet::new();
    for uid in tasks.keys() {
        let task = client.wait_for_task(*uid).await.unwrap();
        match (task["status"].as_str(), &tasks[uid]) {
            (Some("succeeded"), _) => drop(succeeded.insert(*uid)),
            // A renaming that found its new uid taken.
            (Some("failed"), Done::Changed { .. }) => {}
            _ => panic!("{task}"),
        }
    }
    let expected = replay(indexes, &tasks, &succeeded);
    let acknowledged: BTreeSet<u64> = expected.values().flatten().copied().collect();
    for (index, expected) in &expected {
        let mut held = ids(&client, index).await;
        held.retain(|id| acknowledged.contains(id));
        assert_eq!(held, expected.iter().copied().collect::<Vec<_>>(), "{index}");
    }
    let listed = client.get("/indexes?limit=100").await.unwrap().ok().unwrap();
    let listed =
        listed["results"].as_array().unwrap().iter().map(|index| index["uid"].as_str().unwrap().to_owned());
    let mut listed: Vec<String> = listed.collect();
    let refused = refused.into_inner().unwrap();
    listed.retain(|index| expected.contains_key(index.as_str()) || !refused.contains(index));
    assert_eq!(listed, expected.into_keys().collect::<Vec<_>>());
    assert!(wasm_failures(cluster).await.is_empty());
}

#[tokio::test]
async fn a_swap_comes_before_or_after_each_write() {
    let cluster = cluster(json!({})).await;
    for uid in ["blue", "green"] {
        cluster.client().create_index(uid, Some("id")).await.unwrap();
    }
    let swaps = vec![json!([{ "indexes": ["blue", "green"] }]); 8];
    while_clients_write(&cluster, &["blue", "green"], &swaps).await;
}

/// A write to a uid that was renamed makes the index anew, as on one node.
#[tokio::test]
async fn a_renaming_comes_before_or_after_each_write() {
    let cluster = cluster(json!({})).await;
    cluster.client().create_index("red", Some("id")).await.unwrap();
    let rename = |left: &str, right: &str| json!([{ "indexes": [left, right], "rename": true }]);
    let changes = [
        rename("red", "red-1"),
        rename("red", "red-2"),
        rename("red-1", "red-2"),
        json!([{ "indexes": ["red-1", "red-2"] }]),
        rename("red", "red-3"),
    ];
    // Between two renamings the index must be there again.
    let changes: Vec<Value> = changes.into_iter().flat_map(|change| [change, json!([])]).collect();
    while_clients_write(&cluster, &["red"], &changes).await;
}
