//! What a leader has promised, the next one keeps.

use miroir_harness::{Answer, Client, Cluster, wait_until};
use serde_json::{Value, json};

use crate::{PATIENCE, cluster, count, leader};

/// Kills who leads, waits until the other one does, and has the first one stand by.
async fn change_leader(cluster: &mut Cluster) {
    let killed = leader(cluster).await;
    cluster.control_plane(killed).stop();
    assert_ne!(leader(cluster).await, killed);
    cluster.control_plane(killed).spawn().unwrap();
    cluster.control_plane(killed).wait_until_ready().await.unwrap();
}

/// Does it until somebody leads.
async fn taken(request: impl AsyncFn() -> anyhow::Result<Answer>) -> Value {
    let mut answer = None;
    wait_until("the request to be taken", PATIENCE * 2, async || {
        answer = Some(request().await?).filter(|answer| answer.status < 500);
        Ok(answer.is_some())
    })
    .await
    .unwrap();
    answer.unwrap().ok().unwrap()
}

fn with(client: &Client, name: &'static str, value: &str) -> Client {
    client.with_header(name, value).unwrap()
}

#[tokio::test]
async fn keys_sessions_aliases_and_versions_outlive_a_leader() {
    let mut cluster = cluster(2).await;
    let (first, second) = (cluster.client_of(0), cluster.client_of(1));
    let index = first.create_index("notes", Some("id")).await.unwrap();
    let filterable = json!({ "filterableAttributes": ["edition"] });
    let changed = first.patch(&index.path("/settings"), &filterable).await.unwrap();
    let version = changed.header("x-miroir-settings-version").unwrap().to_owned();
    first.wait_for_success(&changed).await.unwrap();

    // By the one that stands by.
    let standby = 1 - leader(&mut cluster).await;
    let operator = cluster.control_plane(standby).client();
    operator.put("/_miroir/aliases/memos", &json!({ "indexes": ["notes"] })).await.unwrap().ok().unwrap();
    let key = json!({ "actions": ["search"], "indexes": ["notes"], "expiresAt": null });
    let key = first.post("/keys", &key).await.unwrap().ok().unwrap();
    let reader = second.with_key(key["key"].as_str().unwrap());

    let once = with(&with(&first, "idempotency-key", "once"), "x-miroir-session", "mine");
    for round in 1..=3_u64 {
        let document = json!([{ "id": 1, "edition": round }]);
        let once = with(&once, "idempotency-key", &format!("once-{round}"));
        let write = async || once.post("/indexes/memos/documents", &document).await;
        let answer = taken(write).await;
        change_leader(&mut cluster).await;
        // The session sees its write through the other Envoy, whoever leads by now.
        let mine = with(&second, "x-miroir-session", "mine");
        let query = json!({ "filter": format!("edition = {round}") });
        let found = taken(async || mine.post("/indexes/memos/search", &query).await).await;
        assert_eq!(count(&found), 1, "{found}");
        assert_eq!(taken(write).await, answer, "the first answer again");
        let other = async || with(&once, "x", "y").put("/indexes/memos/documents", &document).await;
        let refused = other().await.unwrap();
        assert_eq!(refused.code().as_deref(), Some("miroir_idempotency_key_reused"), "{}", refused.text());

        let fresh = with(&reader, "x-miroir-min-settings-version", &version);
        let found = fresh.post("/indexes/memos/search", &query).await.unwrap();
        assert_eq!(count(&found.ok().unwrap()), 1);
    }
    let tasks = first.get("/tasks?types=documentAdditionOrUpdate").await.unwrap().ok().unwrap();
    assert_eq!(tasks["total"], 3, "{tasks}");
}
