//! Clients that go away before they are answered.

use std::time::Duration;

use miroir_harness::wait_until;
use serde_json::json;

use crate::films::prepare;
use crate::unaware_cluster;

const PATIENCE: Duration = Duration::from_secs(20);
const PATH: &str = "/indexes/films/settings/stop-words";

#[tokio::test]
async fn a_change_of_settings_is_made_to_its_end_though_nobody_waits_for_it() {
    let cluster = unaware_cluster(2, json!({})).await;
    prepare(&cluster).await;
    let (wanted, client) = (json!(["the"]), cluster.client());

    cluster.pause_node(2).unwrap();
    let change = tokio::spawn({
        let (wanted, client) = (wanted.clone(), client.clone());
        async move { client.put(PATH, &wanted).await }
    });
    let first = cluster.node(0).client();
    wait_until("a node to have it", PATIENCE, async || Ok(first.get(PATH).await?.ok()? == wanted))
        .await
        .unwrap();
    assert!(!change.is_finished(), "the change waits for the node that is paused");
    change.abort();
    cluster.resume_node(2).unwrap();

    let path = "/tasks?types=settingsUpdate&statuses=succeeded&limit=1";
    wait_until("the task", PATIENCE, async || {
        Ok(client.get(path).await?.ok()?["results"][0]["details"]["stopWords"] == wanted)
    })
    .await
    .unwrap();
    assert_eq!(client.get(PATH).await.unwrap().ok().unwrap(), wanted);
    for node in cluster.nodes() {
        assert_eq!(node.client().get(PATH).await.unwrap().ok().unwrap(), wanted);
    }
}
