//! Redis is away for a while.

use std::time::Instant;

use miroir_harness::wait_until;
use serde_json::json;

use crate::{PATIENCE, cluster, count, leader};

#[tokio::test]
async fn without_redis_searches_go_on_and_writes_are_told_to_wait() {
    let mut cluster = cluster(1).await;
    let client = cluster.client();
    let index = client.create_index("notes", Some("id")).await.unwrap();
    index.add_documents(&[json!({ "id": 0 })]).await.unwrap();

    // A short absence is waited for.
    cluster.redis().unwrap().stop();
    let document = [json!({ "id": 1 })];
    let (written, started) =
        tokio::join!(index.post_documents(&document), async { cluster.redis().unwrap().start().await });
    started.unwrap();
    let written = written.unwrap();
    assert_eq!(written.status, 202, "{}", written.text());
    client.wait_for_success(&written).await.unwrap();

    cluster.redis().unwrap().stop();
    let mut refused = None;
    wait_until("a write to be refused", PATIENCE * 2, async || {
        let answer = index.post_documents(&[json!({ "id": 2 })]).await?;
        let status = answer.status;
        refused = Some(answer);
        Ok(status == 503)
    })
    .await
    .unwrap();
    let refused = refused.unwrap();
    let code = refused.code().unwrap();
    let clear = ["miroir_task_store_unavailable", "miroir_control_plane_unavailable", "miroir_not_leader"];
    assert!(clear.contains(&code.as_str()), "{}", refused.text());
    let since = Instant::now();
    while since.elapsed().as_secs() < 10 {
        let found = index.search(&json!({ "filter": null })).await.unwrap();
        assert!(count(&found) >= 2, "{found}");
    }

    cluster.redis().unwrap().start().await.unwrap();
    leader(&mut cluster).await;
    wait_until("writes to be taken again", PATIENCE, async || {
        Ok(index.post_documents(&[json!({ "id": 3 })]).await.is_ok_and(|answer| answer.status == 202))
    })
    .await
    .unwrap();
    wait_until("all tasks to be over", PATIENCE, async || {
        let unfinished = client.get("/tasks?statuses=enqueued,processing&limit=1").await?.ok()?;
        Ok(unfinished["total"] == 0)
    })
    .await
    .unwrap();
    for id in [0, 1, 3] {
        assert_eq!(index.document(&id.to_string()).await.unwrap().status, 200, "{id}");
    }
}
