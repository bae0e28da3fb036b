//! How soon all workers of an Envoy go by a new placement.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use miroir_harness::{Cluster, Options};
use serde_json::json;
use tokio::time::sleep;

use crate::report::{Figure, Section};
use crate::{latency, progress};

const NODES: usize = 100;
const SHARDS: u32 = 512;
const COPIES: usize = 2;
const ROUNDS: usize = 6;
/// How often Envoy's log is looked at.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    progress::say(format!("{NODES} nodes"));
    let options = Options { nodes: NODES, replication_factor: COPIES, shards: SHARDS, ..Options::default() };
    let cluster = Cluster::start(options).await?;
    let (mut answered, mut pushed) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress::say(format!("a new placement, {round} of {ROUNDS}"));
        // Shards are to come, and then not to come after all: each is a new placement.
        let weight = if round % 2 == 0 { 1.0 } else { 1.5 };
        let (answer, push) = push(&cluster, weight).await?;
        answered.push(answer);
        pushed.push(push);
    }
    let mut section =
        Section::new(format!("{NODES} nodes, {SHARDS} shards, RF {COPIES}: a node's weight is changed"));
    for (what, mut times) in [("the call is answered", answered), ("all workers go by it", pushed)] {
        section.row(
            what,
            [
                ("p50", Figure::time(latency::at(0.5, &mut times))),
                ("slowest", Figure::time(latency::at(1.0 - f64::EPSILON, &mut times))),
            ],
        );
    }
    Ok(vec![section])
}

/// After what time the REST call is answered, and all workers go by the placement that it asked for.
async fn push(cluster: &Cluster, weight: f64) -> Result<(Duration, Duration)> {
    let status = cluster.admin().get("/_miroir/rebalance").await?.ok()?;
    let before = status["epoch"].as_u64().context("no epoch")?;
    let threads = threads_at(cluster, |epoch| epoch <= before)?;
    let start = Instant::now();
    let answer = async {
        let answer = cluster.admin().patch("/_miroir/nodes/node-0", &json!({"weight": weight})).await?;
        answer.ok()?;
        anyhow::Ok(start.elapsed())
    };
    let pushed = async {
        while threads_at(cluster, |epoch| epoch > before)? != threads {
            ensure!(start.elapsed() < PATIENCE, "the placement did not come to all workers in {PATIENCE:?}");
            sleep(PAUSE).await;
        }
        Ok(start.elapsed())
    };
    tokio::try_join!(answer, pushed)
}

/// The threads of Envoy that were given such a placement: each has a virtual machine of its own, which logs it.
fn threads_at(cluster: &Cluster, wanted: impl Fn(u64) -> bool) -> Result<BTreeSet<String>> {
    let log = std::fs::read_to_string(cluster.folder().join("envoy.log"))?;
    let thread = |line: &str| {
        let (head, placement) = line.split_once("routing table ")?;
        let epoch = placement.split_once(", epoch ")?.1.split(',').next()?.parse().ok()?;
        // [time][thread][level]…
        wanted(epoch).then(|| head.split(['[', ']']).nth(3).map(str::to_owned))?
    };
    Ok(log.lines().filter_map(thread).collect())
}
