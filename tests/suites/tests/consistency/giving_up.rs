//! Clients that do not wait for their answers, and a control plane that is killed before it gives them: whoever repeats a
//! write with its key until it is answered has it done once.

use std::time::Duration;

use miroir_harness::{Answer, Client, Index, wait_for};
use serde_json::json;
use tokio::time::timeout;

use crate::{document, options, prepare, start, tasks};

const PATIENCE: Duration = Duration::from_secs(60);

/// Writes one document with a key.
async fn write(client: &Client, index: &Index, key: u64) -> anyhow::Result<Answer> {
    let client = client.with_header("idempotency-key", &format!("write {key}"))?;
    client.post(&index.path("/documents"), &json!([document(key, 1)])).await
}

/// Repeats it until it is answered.
async fn repeat(client: &Client, index: &Index, key: u64) -> Answer {
    wait_for("the write to be answered", PATIENCE, async || {
        let answer = write(client, index, key).await;
        Ok(answer.ok().filter(|answer| answer.status == 202))
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_client_that_gives_up_at_any_moment_has_its_write_done_once() {
    let cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    let mut given_up = 0;
    for key in 0..40 {
        let first = timeout(Duration::from_micros(key * 500), write(&cluster.client(), &index, key)).await;
        given_up += u64::from(first.is_err());
        let answer = repeat(&cluster.client_of(1), &index, key).await;
        cluster.client().wait_for_success(&answer).await.unwrap();
    }
    assert!(given_up > 0);
    // What was broken off while nodes had it is a task that failed, and is not the answer.
    assert_eq!(tasks(&cluster.client(), "types=documentAdditionOrUpdate&statuses=succeeded").await, 40);
    assert_eq!(index.count().await.unwrap(), 40);
}

#[tokio::test]
async fn a_control_plane_that_is_killed_has_registered_a_write_once_or_not_at_all() {
    let mut cluster = start(options(json!({}))).await;
    let index = prepare(&cluster, "films").await;
    let kinds = "types=documentAdditionOrUpdate";
    // Between the answer and its repetition.
    let first = write(&cluster.client(), &index, 0).await.unwrap();
    cluster.stop_control_plane();
    cluster.start_control_plane().await.unwrap();
    let again = repeat(&cluster.client_of(1), &index, 0).await;
    assert_eq!((first.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.body, first.body);
    // While writes are under way.
    for round in 1..4 {
        let keys: Vec<u64> = (round * 100..round * 100 + 20).collect();
        let writes = keys.iter().map(|key| {
            let (client, index, key) = (cluster.client_of((key % 2) as usize), index.clone(), *key);
            tokio::spawn(async move { write(&client, &index, key).await })
        });
        let writes: Vec<_> = writes.collect();
        tokio::time::sleep(Duration::from_millis(round * 8)).await;
        cluster.stop_control_plane();
        let answers = futures::future::join_all(writes).await;
        cluster.start_control_plane().await.unwrap();
        for (key, first) in keys.into_iter().zip(answers) {
            let again = repeat(&cluster.client(), &index, key).await;
            if let Ok(Ok(first)) = first
                && first.status == 202
            {
                assert_eq!(again.body, first.body);
            }
            cluster.client().wait_for_success(&again).await.unwrap();
        }
    }
    assert_eq!(tasks(&cluster.client(), &format!("{kinds}&statuses=succeeded")).await, 61);
    assert_eq!(index.count().await.unwrap(), 61);
}
