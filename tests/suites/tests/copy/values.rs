//! Copies at rest: what is copied is as it was.

use miroir_core::shard::shard_of;
use miroir_core::tag::{TAG_FIELD, filter_clause};
use serde_json::{Value, json};

use crate::nodes::{Nodes, SHARDS, all_shards, document, documents, tag};

#[tokio::test]
async fn a_copy_is_whole_and_of_its_shards_alone() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("films", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..700)).await;
    // The target has some that are out of date, and some that are gone.
    let mut old = documents(600..800);
    old.iter_mut().for_each(|document| document["title"] = "old".into());
    nodes.add(1, &index, &old).await;

    let in_shards = |id: u64| [1, 3].contains(&shard_of(&id.to_string(), SHARDS));
    let progress = nodes.sync(&index, &[1, 3]).await.unwrap().now();
    let source = nodes.documents(0, &index).await;
    let target = nodes.documents(1, &index).await;
    for id in 0..800 {
        let (source, target) = (source.get(&id.to_string()), target.get(&id.to_string()));
        match in_shards(id) {
            true => assert_eq!(target, source, "{id}"),
            false => assert_eq!(target.is_some(), id >= 600, "{id}"),
        }
    }
    let expected = (0..800).filter(|id| in_shards(*id)).count() as u64;
    assert_eq!((progress.documents, progress.documents_done), (expected, expected));
    assert!(progress.bytes_done > 50 * expected / 2, "{progress:?}");

    nodes.sync(&index, &all_shards()).await.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), 700);
    let again = nodes.sync(&index, &all_shards()).await.unwrap().now();
    assert_eq!((again.documents_done, again.bytes_done), (700, 0), "nothing is left to copy");

    let target = &nodes.replicas[1].client;
    let count = async |filter: String| target.count_documents("films", Some(&filter)).await.unwrap();
    assert_eq!(count(format!("{TAG_FIELD} NOT EXISTS")).await, 0);
    let (kept, gone) = (count(filter_clause([2])).await, count(filter_clause([1, 3])).await);
    assert!(kept > 0 && gone > 0);
    let task = target.delete_documents_where("films", &filter_clause([1, 3])).await.unwrap();
    target.wait_for_task(task, crate::nodes::LONG).await.unwrap();
    assert_eq!((count(filter_clause([2])).await, count(filter_clause([1, 3])).await), (kept, 0));
}

#[tokio::test]
async fn values_of_all_kinds_come_over() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("kinds", "id", json!({})).await;
    let values = [
        json!(null),
        json!(1.5e-9),
        json!(9007199254740993u64),
        json!(-0.1),
        json!("\u{0} \" \\ \n ⸀ 😀"),
        json!([[], {}, [{ "a": [1, 2.0] }]]),
        json!({ "id": 1, "x.y": { "z": false } }),
    ];
    let mut added: Vec<Value> = values
        .iter()
        .zip(0..)
        .map(|(value, id)| json!({ "id": id, TAG_FIELD: tag(id), "value": value }))
        .collect();
    added.push(json!({ "id": "a-B_9", TAG_FIELD: tag("a-B_9") }));
    added.push(json!({ "id": "007", TAG_FIELD: tag("007"), "large": "x".repeat(3 << 20) }));
    nodes.add(0, &index, &added).await;
    nodes.sync(&index, &all_shards()).await.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), added.len());
}

#[tokio::test]
async fn large_documents_come_in_small_chunks() {
    let mut nodes = Nodes::start(2).await;
    nodes.limits.bytes = 200_000;
    let index = nodes.index("large", "id", json!({})).await;
    let large = |id| {
        let mut document = document(id);
        document["text"] = "much ".repeat(8000).into();
        document
    };
    nodes.add(0, &index, &(0..150).map(large).collect::<Vec<_>>()).await;
    nodes.sync(&index, &all_shards()).await.unwrap();
    nodes.assert_equal(&index, [0, 1]).await;
    // The first chunk is before their size is known.
    let added = nodes.client(1).get("/tasks?limit=1000&types=documentAdditionOrUpdate").await.unwrap();
    let added = added.ok().unwrap();
    let sizes: Vec<u64> = added["results"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|task| task["details"]["receivedDocuments"].as_u64().unwrap())
        .collect();
    assert!(sizes[1..].iter().all(|size| *size <= 5), "{sizes:?}");
}

#[tokio::test]
async fn vectors_survive() {
    let nodes = Nodes::start(2).await;
    let embedders = json!({ "embedders": {
        "v": { "source": "userProvided", "dimensions": 3 },
        "w": { "source": "userProvided", "dimensions": 1 },
    } });
    let index = nodes.index("vectors", "id", embedders).await;
    let mut added = documents(0..50);
    for (document, n) in added.iter_mut().zip(0..) {
        let x = f64::from(n) / 7.0;
        document["_vectors"] = match n % 4 {
            0 => json!({ "v": [x, -x, 1e-7], "w": null }),
            1 => json!({ "v": null, "w": [[x], [x + 1.0]] }),
            2 => json!({ "v": { "embeddings": [[x, 0, 1], [1, x, 0]], "regenerate": false }, "w": [0] }),
            _ => json!({ "v": null, "w": null }),
        };
    }
    nodes.add(0, &index, &added).await;
    nodes.sync(&index, &all_shards()).await.unwrap();
    let copied = nodes.assert_equal(&index, [0, 1]).await;
    assert_eq!(copied["2"]["_vectors"]["v"]["embeddings"].as_array().unwrap().len(), 2);
    // A vector that alone differs is seen.
    let mut other = document(0);
    other["_vectors"] = json!({ "v": [9, 9, 9], "w": null });
    nodes.add(0, &index, &[other]).await;
    let progress = nodes.sync(&index, &all_shards()).await.unwrap();
    assert!(progress.now().bytes_done > 0);
    nodes.assert_equal(&index, [0, 1]).await;
}

#[tokio::test]
async fn primary_keys_may_be_nested() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("nested", "info.key", json!({})).await;
    let nested =
        |id: u64| json!({ "info": { "key": id, "more": id * 2 }, TAG_FIELD: tag(id), "key": "other" });
    nodes.add(0, &index, &(0..300).map(nested).collect::<Vec<_>>()).await;
    nodes.add(1, &index, &(290..400).map(nested).collect::<Vec<_>>()).await;
    nodes.sync(&index, &all_shards()).await.unwrap();
    assert_eq!(nodes.assert_equal(&index, [0, 1]).await.len(), 300);
}
