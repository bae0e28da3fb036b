//! The leader is killed again and again while a client creates, renames, swaps and deletes indexes by idempotency keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use miroir_harness::{Answer, Client, Method, wait_until};
use serde_json::{Value, json};

use crate::{PATIENCE, cluster, leader};

const ROUNDS: usize = 8;
/// So many changes are made under each leader, so that another kind of change is under way when it is killed.
const CHANGES: usize = 7;

/// Sends a request until it is accepted, and tells the task.
async fn insist(client: &Client, key: &str, method: Method, path: &str, body: &Value) -> u64 {
    let client = client.with_header("idempotency-key", key).unwrap();
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let answer: Option<Answer> = client.request(method.clone(), path, body).await.ok();
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 202) {
            return answer.json::<Value>().unwrap()["taskUid"].as_u64().unwrap();
        }
        assert!(Instant::now() < deadline, "{method} {path}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Changes indexes until it is over. Each change is asked for once more when it was answered.
async fn change(client: Client, made: Arc<AtomicUsize>, is_over: Arc<AtomicBool>) -> Vec<u64> {
    let mut tasks = Vec::new();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let [first, second, third] = ["a", "b", "c"].map(|name| format!("{name}{number}"));
        for (method, path, body) in [
            (Method::POST, "/indexes".to_owned(), json!({ "uid": first, "primaryKey": "id" })),
            (Method::PATCH, format!("/indexes/{first}"), json!({ "uid": second })),
            (Method::POST, "/indexes".to_owned(), json!({ "uid": third })),
            (Method::POST, "/swap-indexes".to_owned(), json!([{ "indexes": [second, third] }])),
            (Method::DELETE, format!("/indexes/{second}"), Value::Null),
        ] {
            let key = format!("{method} {path} {body}");
            let task = insist(&client, &key, method.clone(), &path, &body).await;
            assert_eq!(insist(&client, &key, method, &path, &body).await, task, "{key}");
            tasks.push(task);
            made.fetch_add(1, Ordering::Relaxed);
        }
        // The one that was created first has the uid of the other one now.
        let left = client.get(&format!("/indexes/{third}")).await;
        if let Some(Ok(left)) = left.ok().map(|answer| answer.ok()) {
            assert_eq!(left["primaryKey"], "id");
        }
    }
    tasks
}

#[tokio::test]
async fn whoever_is_killed_a_change_of_indexes_is_done_once() {
    let mut cluster = cluster(1).await;
    let (made, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let changing = tokio::spawn(change(cluster.client(), made.clone(), is_over.clone()));
    for _ in 0..ROUNDS {
        let killed = leader(&mut cluster).await;
        let before = made.load(Ordering::Relaxed);
        wait_until("some changes", 4 * PATIENCE, async || {
            Ok(made.load(Ordering::Relaxed) >= before + CHANGES)
        })
        .await
        .unwrap();
        cluster.control_plane(killed).stop();
        leader(&mut cluster).await;
        cluster.control_plane(killed).spawn().unwrap();
        cluster.control_plane(killed).wait_until_ready().await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let tasks = changing.await.unwrap();
    println!("{} changes", tasks.len());
    for uid in tasks {
        let task = cluster.client().wait_for_task(uid).await.unwrap();
        assert_eq!(task["status"], "succeeded", "{task}");
    }
    // A node that was not up yet under a new leader missed changes, and is brought in step.
    wait_until("all nodes to have the same indexes", 2 * PATIENCE, async || {
        let wanted = uids(&cluster.client()).await?;
        for node in cluster.nodes() {
            if uids(&node.client()).await? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
    .unwrap();
}

async fn uids(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let page = client.get("/indexes?limit=1000").await?.ok()?;
    let uids = page["results"].as_array().into_iter().flatten().filter_map(|index| index["uid"].as_str());
    Ok(uids.map(str::to_owned).collect())
}
