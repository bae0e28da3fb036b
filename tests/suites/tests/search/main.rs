//! All that searches: a cluster answers each request as one node alone does, also while a node is down.

mod ask;
mod corpus;
mod facets;
mod federated;
mod multi;
mod parameters;
mod similar;
mod vectors;

use miroir_harness::{Client, Cluster, Options, SingleNode};
use miroir_suites::topology::wait_for_status;
use serde_json::json;

use crate::ask::{Request, check};

type Area = (&'static str, Vec<Request>);

fn areas() -> [Area; 6] {
    [
        ("parameters", parameters::requests()),
        ("facets", facets::requests()),
        ("multi-search", multi::requests()),
        ("federation", federated::requests()),
        ("vectors", vectors::requests()),
        ("similar", similar::requests()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_as_one_node_does() {
    let mut comparison = Comparison::new().await;
    for replication_factor in [1, 3] {
        let cluster = comparison.start(replication_factor).await;
        comparison
            .check(&format!("RF {replication_factor}"), cluster.client(), comparison.single.client())
            .await;
    }
    let mut cluster = comparison.start(2).await;
    comparison.check("RF 2", cluster.client(), comparison.single.client()).await;
    // A client's key may well do nothing else.
    let keys = (searching_only(cluster.client()).await, searching_only(comparison.single.client()).await);
    comparison.check("RF 2, by a key that only searches", keys.0, keys.1).await;
    cluster.stop_node(1);
    comparison.check("RF 2, one node stopped", cluster.client(), comparison.single.client()).await;
    wait_for_status(&cluster, 1, "down").await;
    comparison.check("RF 2, one node known to be down", cluster.client(), comparison.single.client()).await;
    let failures = comparison.failures;
    let shown = failures.iter().take(60).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} differ:\n\n{shown}", failures.len());
}

/// One node, and in what clusters differ from it.
struct Comparison {
    single: SingleNode,
    areas: [Area; 6],
    failures: Vec<String>,
}

impl Comparison {
    async fn new() -> Comparison {
        let single = SingleNode::start().await.unwrap();
        corpus::index(single.client()).await;
        Comparison { single, areas: areas(), failures: Vec::new() }
    }

    /// A cluster of three nodes with the same documents.
    async fn start(&self, replication_factor: usize) -> Cluster {
        let options = Options { replication_factor, ..Options::default() };
        let cluster = Cluster::start(options).await.unwrap();
        corpus::index(cluster.client()).await;
        cluster
    }

    async fn check(&mut self, configuration: &str, miroir: Client, single: Client) {
        for (area, requests) in &self.areas {
            let name = format!("{configuration}: {area}");
            self.failures.extend(check(&name, requests, &miroir, &single).await);
        }
    }
}

/// The same client with a key that may search, and nothing else.
async fn searching_only(client: Client) -> Client {
    let key = json!({ "actions": ["search"], "indexes": ["*"], "expiresAt": null });
    let created = client.post("/keys", &key).await.unwrap().ok().unwrap();
    client.with_key(created["key"].as_str().unwrap())
}
