//! More than fits.

use std::time::{Duration, Instant};

use miroir_harness::{Bootstrap, Cluster, Options};
use miroir_suites::stats::wasm_failures;
use serde_json::{Value, json};

use crate::cluster;
use crate::upload::{DOCUMENT, Upload, document, lines, prepare};

/// The most memory that Envoy ever had, in bytes.
fn peak(cluster: &Cluster) -> u64 {
    let pid = cluster.envoy_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Sends so many bytes through one connection at so many a second, and sees to it that all of it arrives and that
/// Envoy holds little of it.
async fn send(bytes: u64, per_second: u64) {
    const AT_ONCE: u64 = 100;
    let cluster = cluster(json!({ "body_limit": 2 * bytes })).await;
    let index = prepare(&cluster, "long").await;
    let count = bytes / DOCUMENT as u64;
    let mut upload = Upload::begin(&cluster, &index);
    let begun = Instant::now();
    for first in (0..count).step_by(AT_ONCE as usize) {
        upload.push(lines(first..count.min(first + AT_ONCE), 1)).await;
        let due = Duration::from_secs_f64((first * DOCUMENT as u64) as f64 / per_second as f64);
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
    }
    let (status, summary) = upload.finish().await;
    assert_eq!(status, 202, "{summary}");
    let (sent, peak) = (begun.elapsed(), peak(&cluster));
    eprintln!("{} MB sent in {sent:?}; Envoy's peak memory: {} MB", bytes / 1_000_000, peak / 1_000_000);
    assert!(peak < 256_000_000, "Envoy had {peak} bytes");

    let client = cluster.client();
    let task = client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(task["status"], "succeeded", "{task}");
    assert_eq!(task["details"], json!({ "receivedDocuments": count, "indexedDocuments": count }));
    assert_eq!(index.count().await.unwrap(), count);
    for id in [0, 1, count / 2, count - 1] {
        assert_eq!(index.document(&id.to_string()).await.unwrap().ok().unwrap(), document(id, 1));
    }
    assert!(wasm_failures(&cluster).await.is_empty());
}

#[tokio::test]
async fn a_body_of_120_mb_leaves_envoy_small() {
    send(120_000_000, 12_000_000).await;
}

#[tokio::test]
#[ignore = "takes minutes: make stream"]
async fn a_body_of_1_gb_leaves_envoy_small() {
    send(1_000_000_000, 20_000_000).await;
}

#[tokio::test]
async fn a_nodes_answer_may_be_40_mb_long() {
    const COUNT: u64 = 40;
    for bootstrap in [Bootstrap::Standalone, Bootstrap::ExistingMesh] {
        let options = Options { nodes: 1, replication_factor: 1, bootstrap, ..Options::default() };
        let cluster = Cluster::start(options).await.unwrap();
        let index = prepare(&cluster, "long").await;
        let documents: Vec<Value> =
            (0..COUNT).map(|id| json!({ "id": id, "text": "x".repeat(1_000_000) })).collect();
        for some in documents.chunks(20) {
            index.add_documents(some).await.unwrap();
        }
        let found = index.search(&json!({ "limit": COUNT })).await.unwrap();
        assert!(
            found["hits"].as_array().unwrap().iter().eq(&documents),
            "{} hits",
            found["hits"].as_array().unwrap().len()
        );
        let path = index.path(&format!("/documents?limit={COUNT}"));
        let listed = cluster.client().get(&path).await.unwrap().ok().unwrap();
        assert_eq!(listed["results"].as_array().unwrap().len() as u64, COUNT);
    }
}

#[tokio::test]
async fn what_waits_for_slow_nodes_is_bounded() {
    let config = json!({ "write_buffer_limit": 16_000_000, "timeouts": { "write_ms": 5000 } });
    let cluster = cluster(config).await;
    let index = prepare(&cluster, "slow").await;
    for node in 0..3 {
        cluster.pause_node(node).unwrap();
    }
    let mut upload = Upload::begin(&cluster, &index);
    for first in (0..6000).step_by(100) {
        if !upload.send(lines(first..first + 100, 1)).await {
            break;
        }
    }
    let (status, error) = upload.finish().await;
    for node in 0..3 {
        cluster.resume_node(node).unwrap();
    }
    assert_eq!((status, &error["code"]), (503, &json!("miroir_write_buffer_full")), "{error}");
    assert!(wasm_failures(&cluster).await.is_empty());
    // And the same worker goes on.
    index.add_documents(&[document(1, 2)]).await.unwrap();
}

#[tokio::test]
async fn what_turns_out_wrong_at_the_end_leaves_a_failed_task() {
    let cluster = cluster(json!({})).await;
    let index = prepare(&cluster, "wrong").await;
    let mut upload = Upload::begin(&cluster, &index);
    upload.push(lines(0..3000, 1)).await;
    upload.push(b"{\"id\":".to_vec()).await;
    let (status, error) = upload.finish().await;
    assert_eq!((status, &error["code"]), (400, &json!("malformed_payload")), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("The `ndjson` payload provided is malformed."), "{message}");
    assert!(message.contains("had been accepted by then, and stay"), "{message}");

    let client = cluster.client();
    let tasks = client.get("/tasks?limit=1&types=documentAdditionOrUpdate").await.unwrap().ok().unwrap();
    let task = client.wait_for_task(tasks["results"][0]["uid"].as_u64().unwrap()).await.unwrap();
    assert_eq!((&task["status"], &task["error"]["message"]), (&json!("failed"), &json!(message)), "{task}");
    assert_eq!(task["details"], json!({ "receivedDocuments": 3000, "indexedDocuments": 0 }));
    let there = index.count().await.unwrap();
    assert!(0 < there && there < 3000, "{there}");
}
