//! Moving documents to a node that is added, beside importing the same documents into a node alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use miroir_core::tag::TAG_FIELD;
use miroir_harness::{Cluster, Options, Package, SingleNode, debian_packages, wait_until};
use serde_json::{Value, json};

use crate::corpus::{self, INDEX};
use crate::report::{Figure, Section};
use crate::{latency, progress};

const NODES: usize = 2;
const DOCUMENTS: usize = 30_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(300);

/// What adding a node brought about.
struct Addition {
    /// How long searches that do not know of the node were waited for before the first document was copied.
    wait: Duration,
    /// How long it took from then on.
    copying: Duration,
    /// What the node got.
    documents: Vec<Value>,
}

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    let (mut waits, mut moved, mut imported, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress::say(format!("adding a node, {round} of {ROUNDS}"));
        let Addition { wait, copying, documents } = add_node(&packages[..DOCUMENTS]).await?;
        waits.push(wait);
        moved.push(documents.len() as f64 / copying.as_secs_f64());
        imported.push(import_speed(&documents).await?);
        counts.push(documents.len() as f64);
    }
    let ratio =
        latency::median(moved.iter().zip(&imported).map(|(moved, imported)| 100.0 * moved / imported));
    let speed = |speeds: Vec<f64>| Figure::of(latency::median(speeds), "documents/s");
    let count = latency::median(counts);
    let mut section = Section::new(format!("{count:.0} of {DOCUMENTS} documents, to a third node"));
    section.row(
        "moved by Miroir",
        [
            ("speed", speed(moved)),
            ("of the import", Figure::of(ratio, "%")),
            ("waited before", Figure::time(latency::at(0.5, &mut waits))),
        ],
    );
    section.row("imported in one body", [("speed", speed(imported))]);
    Ok(vec![section])
}

async fn add_node(packages: &[Package]) -> Result<Addition> {
    // Until searches are over that do not know of the node: what is measured begins after that.
    let config = json!({"timeouts": {"read_ms": 2_000}});
    let options = Options { nodes: NODES, replication_factor: 1, config, ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    let client = cluster.client();
    corpus::create_index(&client, &corpus::settings()).await?;
    corpus::add(&client, packages).await?;
    let new = cluster.spawn_node().await?;
    let node = cluster.node(new);
    let admin = cluster.admin();

    let start = Instant::now();
    admin.post("/_miroir/nodes", &json!({"id": node.id(), "url": node.url()})).await?.ok()?;
    let mut begun = None;
    wait_until("the documents to be moved", PATIENCE, async || {
        let status = admin.get("/_miroir/rebalance").await?.ok()?;
        let moves = status["moves"].as_array().context("no moves")?;
        if begun.is_none() && moves.iter().any(|shard| shard["state"] == "copying") {
            begun = Some(start.elapsed());
        }
        Ok(status["shardsTotal"] != 0 && status["shardsDone"] == status["shardsTotal"])
    })
    .await?;
    let wait = begun.context("nothing was copied")?;
    let copying = start.elapsed() - wait;

    let path = format!("/indexes/{INDEX}/documents/fetch");
    let page = node.client().post(&path, &json!({"limit": DOCUMENTS})).await?.ok()?;
    let mut documents = page["results"].as_array().context("no documents")?.clone();
    for document in &mut documents {
        document.as_object_mut().map(|fields| fields.remove(TAG_FIELD));
    }
    Ok(Addition { wait, copying, documents })
}

/// Documents per second into a node alone.
async fn import_speed(documents: &[Value]) -> Result<f64> {
    let node = SingleNode::start().await?;
    let index = corpus::create_index(&node.client(), &corpus::settings()).await?;
    let start = Instant::now();
    index.add_documents(documents).await?;
    Ok(documents.len() as f64 / start.elapsed().as_secs_f64())
}
