//! A leader that was not running for a while.

use std::collections::BTreeSet;

use miroir_harness::wait_until;
use serde_json::json;

use crate::{PATIENCE, cluster, count, leader};

#[tokio::test]
async fn a_leader_that_was_paused_does_no_harm() {
    let mut cluster = cluster(1).await;
    let client = cluster.client();
    let index = client.create_index("notes", Some("id")).await.unwrap();
    index.add_documents(&[json!({ "id": 0 })]).await.unwrap();

    let paused = leader(&mut cluster).await;
    cluster.control_plane(paused).pause().unwrap();
    let mut acknowledged = BTreeSet::new();
    wait_until("the other one to take writes", PATIENCE * 2, async || {
        let answer = index.post_documents(&[json!({ "id": 1 })]).await;
        acknowledged.extend(answer.ok().filter(|answer| answer.status == 202).map(|_| 1));
        Ok(!acknowledged.is_empty())
    })
    .await
    .unwrap();
    cluster.control_plane(paused).resume().unwrap();
    for id in 2..60 {
        let answer = index.post_documents(&[json!({ "id": id })]).await.unwrap();
        if answer.status == 202 {
            acknowledged.insert(id);
        }
    }
    assert!(acknowledged.len() > 30, "only {acknowledged:?} were taken");
    let other = 1 - paused;
    wait_until("the paused one to stand by", PATIENCE, async || {
        let ready = cluster.control_plane(paused).client().get("/_miroir/ready").await?.ok()?;
        Ok(ready["leader"].is_string())
    })
    .await
    .unwrap();
    assert_eq!(leader(&mut cluster).await, other);
    wait_until("all tasks to be over", PATIENCE, async || {
        let unfinished = client.get("/tasks?statuses=enqueued,processing&limit=1").await?.ok()?;
        Ok(unfinished["total"] == 0)
    })
    .await
    .unwrap();
    for id in &acknowledged {
        assert_eq!(index.document(&id.to_string()).await.unwrap().status, 200, "{id}");
    }
    let found = index.search(&json!({ "limit": 1000 })).await.unwrap();
    assert_eq!(count(&found), index.count().await.unwrap());
}
