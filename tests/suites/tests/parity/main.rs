//! The same real documents on one node and behind Miroir, and the same queries to both: nobody can tell which answered.
//!
//! `PARITY_DOCUMENTS`, `PARITY_QUERIES` and `PARITY_SEED` set how many and which; `MEILISEARCH_BIN` makes all nodes real
//! servers.

mod compare;
mod corpus;
mod engine;
mod pages;
mod queries;
mod query;
mod report;

use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use miroir_harness::{Client, Cluster, Options, SingleNode};
use miroir_suites::topology::wait_for_status;

use crate::compare::{Answers, Difference, compare};
use crate::engine::Part;
use crate::query::Query;
use crate::report::Row;

/// Queries asked at the same time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_as_one_node_would() -> Result<()> {
    let documents = corpus::documents(setting("PARITY_DOCUMENTS", 20_000)?)?;
    let queries = queries::generate(&documents, setting("PARITY_QUERIES", 320)?, setting("PARITY_SEED", 1)?);
    let node = SingleNode::start().await?;
    corpus::index(&node.client(), &documents).await?;
    let reference = Reference::ask(queries, node.client()).await?;

    report::print_head();
    let mut failures = Vec::new();
    let configurations = [
        ("3 nodes, RF 1", Options { replication_factor: 1, ..Options::default() }, false),
        ("3 nodes, RF 2", Options { replication_factor: 2, ..Options::default() }, true),
        ("3 nodes, RF 3", Options { replication_factor: 3, ..Options::default() }, false),
        ("2 groups of 2 nodes, RF 1", two_groups(), false),
    ];
    for (name, options, loses_a_node) in configurations {
        let mut cluster = Cluster::start(options).await?;
        corpus::index(&cluster.client(), &documents).await?;
        let mut parts = parts(&cluster).await?;
        failures.extend(reference.check(name, &cluster.client(), &parts).await?);
        failures.extend(reference.check_pages(name, &cluster.client()).await);
        if loses_a_node {
            let name = format!("{name}, one stopped");
            cluster.stop_node(1);
            parts.remove(1);
            failures.extend(reference.check(&name, &cluster.client(), &parts).await?);
            // While it is found out that the node is down, the nodes asked for one page are not those asked for the next.
            wait_for_status(&cluster, 1, "down").await;
            failures.extend(reference.check_pages(&name, &cluster.client()).await);
        }
    }
    ensure!(failures.is_empty(), "Miroir differs from one node:\n\n{}", failures.join("\n"));
    Ok(())
}

fn two_groups() -> Options {
    Options { nodes: 4, replica_groups: 2, replication_factor: 1, ..Options::default() }
}

async fn parts(cluster: &Cluster) -> Result<Vec<Part>> {
    let parts = cluster.nodes().iter().map(|node| Part::of(node.client()));
    try_join_all(parts).await
}

fn setting<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(name: &str, default: T) -> Result<T> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().context(name.to_owned()))
}

/// One node, and what it answers.
struct Reference {
    node: Client,
    answered: Vec<(Query, Answers)>,
}

impl Reference {
    async fn ask(queries: Vec<Query>, node: Client) -> Result<Reference> {
        let ask = async |query: Query| {
            let answers = Answers::to(&query, &node).await?;
            anyhow::Ok((query, answers))
        };
        let answered = stream::iter(queries).map(ask).buffered(AT_ONCE).try_collect().await?;
        Ok(Reference { node, answered })
    }

    /// Asks Miroir the same, shows how much of it is equal, and says what fails.
    async fn check<'s>(
        &'s self,
        configuration: &str,
        miroir: &Client,
        parts: &[Part],
    ) -> Result<Option<String>> {
        let begun = Instant::now();
        let ask = async |answered: &'s (Query, Answers)| {
            let (query, theirs) = answered;
            let difference = compare(query, &Answers::to(query, miroir).await?, theirs, &self.node).await?;
            anyhow::Ok((query, difference))
        };
        let compared: Vec<_> = stream::iter(&self.answered).map(ask).buffered(AT_ONCE).try_collect().await?;
        let took = begun.elapsed();
        let mut differences = Vec::new();
        for (query, difference) in compared.into_iter().filter(|(_, difference)| difference.any()) {
            let of_the_engine = engine::differs(query, &difference.found, parts, &self.node).await?;
            differences.push(Difference { of_the_engine, ..difference });
        }
        let row =
            Row { configuration: configuration.to_owned(), queries: self.answered.len(), differences, took };
        row.print();
        Ok(row.failure())
    }

    /// Pages through some queries, and says what fails.
    async fn check_pages(&self, configuration: &str, miroir: &Client) -> Vec<String> {
        let mut failures = Vec::new();
        for query in pages::queries() {
            if let Err(error) = pages::join(&query, miroir, &self.node).await {
                failures.push(format!("{configuration}: {error:#}"));
            }
        }
        failures
    }
}
