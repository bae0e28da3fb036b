//! All that searches: a cluster answers each request as one node alone does, also while a node is down.

mod ask;
mod corpus;
mod facets;
mod federated;
mod multi;
mod parameters;
mod similar;
mod vectors;

use miroir_harness::{Cluster, Options, SingleNode};
use miroir_suites::topology::wait_for_status;

use crate::ask::{Request, check};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_as_one_node_does() {
    let options = Options { replication_factor: 2, ..Options::default() };
    let (cluster, single) = tokio::join!(Cluster::start(options), SingleNode::start());
    let (mut cluster, single) = (cluster.unwrap(), single.unwrap());
    tokio::join!(corpus::index(cluster.client()), corpus::index(single.client()));
    let areas: [(&str, Vec<Request>); 6] = [
        ("parameters", parameters::requests()),
        ("facets", facets::requests()),
        ("multi-search", multi::requests()),
        ("federation", federated::requests()),
        ("vectors", vectors::requests()),
        ("similar", similar::requests()),
    ];
    let mut failures = Vec::new();
    for (area, requests) in &areas {
        failures.extend(check(area, requests, &cluster.client(), &single.client()).await);
    }
    cluster.stop_node(1);
    for (area, requests) in &areas {
        let area = format!("{area}, one node stopped");
        failures.extend(check(&area, requests, &cluster.client(), &single.client()).await);
    }
    wait_for_status(&cluster, 1, "down").await;
    for (area, requests) in &areas {
        let area = format!("{area}, one node known to be down");
        failures.extend(check(&area, requests, &cluster.client(), &single.client()).await);
    }
    let shown = failures.iter().take(60).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} differ:\n\n{shown}", failures.len());
}
