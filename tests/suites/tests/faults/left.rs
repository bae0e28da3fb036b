//! Clients that go away before they are answered.

use std::time::Duration;

use miroir_harness::{Cluster, wait_until};
use miroir_suites::stats::{envoy_stats, wasm_failures};
use serde_json::json;

use crate::films::{check_whole, prepare, search};
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

/// Waits until Envoy has any requests under way, or none.
async fn wait_until_active(cluster: &Cluster, statistic: &str, is_any: bool) {
    wait_until(&format!("{statistic}: any? {is_any}"), PATIENCE, async || {
        let active = envoy_stats(cluster).await.get(statistic).copied();
        Ok((active > Some(0)) == is_any)
    })
    .await
    .unwrap();
}

/// Envoy tells the filter nothing of calls that it cancels, so none may be.
#[tokio::test]
async fn what_a_search_has_asked_is_answered_though_nobody_waits_for_it() {
    const ASKED: &str = "cluster.miroir-node-node-0.upstream_rq_active";
    let cluster = unaware_cluster(2, json!({})).await;
    let client = cluster.client();
    prepare(&cluster).await;

    cluster.pause_node(0).unwrap();
    let searches = (0..8).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { search(&client, number).await })
    });
    let searches: Vec<_> = searches.collect();
    wait_until_active(&cluster, ASKED, true).await;
    searches.iter().for_each(|search| search.abort());
    wait_until_active(&cluster, "http.miroir.downstream_rq_active", false).await;
    wait_until_active(&cluster, ASKED, true).await;
    cluster.resume_node(0).unwrap();
    wait_until_active(&cluster, ASKED, false).await;

    let stats = envoy_stats(&cluster).await;
    for reason in ["rq_cancelled", "rq_tx_reset"] {
        let statistic = format!("cluster.miroir-node-node-0.upstream_{reason}");
        assert!(
            stats.get(&statistic).is_none_or(|&count| count == 0),
            "{statistic}: {:?}",
            stats.get(&statistic)
        );
    }
    check_whole(&search(&client, 0).await);
    assert!(wasm_failures(&cluster).await.is_empty());
}
