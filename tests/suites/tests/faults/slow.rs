//! A node that answers late, or not at all.

use std::time::{Duration, Instant};

use miroir_harness::{Client, Cluster, Options, Way, wait_until};
use serde_json::json;

use crate::films::{COUNT, check_whole, prepare, search};
use crate::unaware_cluster;

const PATIENCE: Duration = Duration::from_secs(120);

/// What a round trip to the slow node takes longer, in each direction.
const DELAY: Duration = Duration::from_millis(300);

#[tokio::test]
async fn others_stand_in_for_a_node_that_does_not_answer() {
    let timeouts = json!({ "read_ms": 1500, "write_ms": 1500 });
    let cluster = unaware_cluster(2, json!({ "timeouts": timeouts })).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.pause_node(0).unwrap();
    for number in 0..3 {
        let begun = Instant::now();
        check_whole(&search(&client, number).await);
        assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    }
    for id in 0..4 {
        assert_eq!(index.document(&id.to_string()).await.unwrap().status, 200);
    }
    cluster.resume_node(0).unwrap();
    check_whole(&search(&client, 0).await);
}

/// One of the filter's statistics, from Envoy's own interface.
async fn statistic(envoy: &Client, name: &str) -> u64 {
    let path = format!("/stats?filter=wasmcustom.miroir_{name}$");
    let text = envoy.get(&path).await.unwrap().text();
    text.trim().rsplit_once(": ").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// How long searches take, each another query. All of them find everything.
async fn latencies(client: &Client, numbers: std::ops::Range<usize>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in numbers {
        let begun = Instant::now();
        check_whole(&search(client, number).await);
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

/// The pages of one query whose hits are all of equal rank.
async fn check_pages(client: &Client) {
    let mut ids = Vec::new();
    for page in 0..COUNT / 10 {
        let query = json!({ "q": "", "offset": page * 10, "limit": 10, "attributesToRetrieve": ["id"] });
        let found = client.index("films").search(&query).await.unwrap();
        ids.extend(found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..COUNT).collect::<Vec<u64>>());
}

#[tokio::test]
async fn one_slow_node_of_three_does_not_set_what_searches_take() {
    let options = Options { replication_factor: 2, shards: 16, controlled_ways: true, ..Options::default() };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client();
    let envoy = Client::new(cluster.envoy_admin_url(), "");
    prepare(&cluster).await;
    latencies(&client, 0..300).await;
    assert_eq!(statistic(&envoy, "slow_nodes").await, 0);

    cluster.node(0).set_way(Way::Slow(DELAY));
    let slow = latencies(&client, 300..1500).await;
    assert!(slow[slow.len() * 99 / 100] < DELAY, "{:?}", &slow[slow.len() * 98 / 100..]);
    assert!(statistic(&envoy, "hedges_won").await > 0);
    assert_eq!(statistic(&envoy, "slow_nodes").await, 1);
    check_pages(&client).await;
    assert_eq!(statistic(&envoy, "slow_nodes").await, 1);

    cluster.node(0).set_way(Way::Open);
    let is_let_back = async || {
        check_whole(&search(&client, 0).await);
        Ok(statistic(&envoy, "slow_nodes").await == 0)
    };
    wait_until("the node to be let back", PATIENCE, is_let_back).await.unwrap();
    check_pages(&client).await;
}
