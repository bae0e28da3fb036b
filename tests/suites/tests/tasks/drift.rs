//! Settings that someone changed on a node.

use std::time::Duration;

use miroir_harness::wait_until;
use serde_json::json;

use crate::{cluster, documents, ids};

#[tokio::test]
async fn settings_that_drifted_are_repaired_and_counted() {
    let cluster = cluster(json!({ "settings_interval_ms": 300 })).await;
    let client = cluster.client();
    let index = client.create_index("tuned", Some("id")).await.unwrap();
    index.add_documents(&documents(0..40)).await.unwrap();
    index.update_settings(&json!({ "stopWords": ["the"], "rankingRules": ["words"] })).await.unwrap();
    let version = client.get("/indexes/tuned/settings").await.unwrap().text();

    let node = cluster.node(1).client();
    let by_hand =
        json!({ "stopWords": ["a", "the"], "filterableAttributes": [], "synonyms": { "x": ["y"] } });
    let answer = node.patch("/indexes/tuned/settings", &by_hand).await.unwrap();
    node.wait_for_success(&answer).await.unwrap();
    let repaired = async || {
        let settings = node.get("/indexes/tuned/settings").await?.ok()?;
        Ok(settings["stopWords"] == json!(["the"])
            && settings["filterableAttributes"] == json!(["_miroir_shard"])
            && settings["synonyms"] == json!({}))
    };
    wait_until("the settings to be repaired", Duration::from_secs(30), repaired).await.unwrap();
    assert_eq!(client.get("/indexes/tuned/settings").await.unwrap().text(), version);
    assert_eq!(ids(&client, "tuned").await, (0..40).collect::<Vec<_>>());
    let metrics = cluster.admin().get("/metrics").await.unwrap().text();
    let id = cluster.node(1).id();
    let counted = format!("miroir_settings_drift_total{{node=\"{id}\"}} 1");
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}
