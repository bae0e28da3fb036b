//! What a long body of documents costs Envoy, beside Envoy passing it through to one node.

use std::time::Duration;

use anyhow::{Context, Result};
use miroir_harness::{Client, Cluster, Method, Options, Package, SingleNode, debian_packages};
use serde_json::json;

use crate::plain_envoy::PlainEnvoy;
use crate::report::{Bound, Figure, Section};
use crate::{corpus, cpu, progress};

const MEGABYTE: usize = 1_000_000;
/// How many a body has that the targets are for.
const USUAL: usize = 100;
/// How fast the body comes: slower than nodes take it, so that nothing waits for them.
const MEGABYTES_PER_SECOND: u32 = 20;
const NODES: usize = 3;

/// What a body cost.
struct Cost {
    /// CPU time of Envoy per megabyte.
    cpu: Duration,
    /// The most memory that Envoy ever had.
    peak: u64,
}

/// Measures it.
pub async fn run(gigabyte: bool) -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    let mut section = Section::new("NDJSON in one body");
    for megabytes in [USUAL, 1_000].into_iter().take(1 + usize::from(gigabyte)) {
        // A node alone takes no more than the usual.
        for copies in usize::from(megabytes > USUAL)..=2 {
            let name =
                if copies == 0 { "Envoy to 1 node".into() } else { format!("Miroir over 3, RF {copies}") };
            progress::say(format!("{name}, {megabytes} MB"));
            let cost = cost(copies, pieces(&packages, megabytes)?).await?;
            let peak = Figure::of(cost.peak as f64 / 1e6, "MB");
            let figures = [("CPU of Envoy per MB", Figure::time(cost.cpu)), ("peak memory of Envoy", peak)];
            section.row(format!("{name}, {megabytes} MB"), figures);
            if copies > 0 && megabytes == USUAL {
                section.target(
                    format!("peak memory of Envoy at RF {copies}, {USUAL} MB"),
                    peak,
                    Bound::AtMost(200.0),
                );
            }
        }
    }
    Ok(vec![section])
}

/// The catalogue over and over, each time with new ids, in pieces of at most a megabyte.
fn pieces(packages: &[Package], megabytes: usize) -> Result<Vec<Vec<u8>>> {
    let mut pieces = Vec::with_capacity(megabytes);
    let mut piece = Vec::with_capacity(MEGABYTE);
    for (number, package) in packages.iter().cycle().enumerate() {
        let document = Package { id: format!("{}-{number}", package.id), ..package.clone() };
        let line = serde_json::to_vec(&document)?;
        if piece.len() + line.len() >= MEGABYTE {
            pieces.push(std::mem::replace(&mut piece, Vec::with_capacity(MEGABYTE)));
            if pieces.len() == megabytes {
                break;
            }
        }
        piece.extend(line);
        piece.push(b'\n');
    }
    Ok(pieces)
}

/// Of sending them to so many copies behind Miroir, or to one node behind Envoy alone.
async fn cost(copies: usize, pieces: Vec<Vec<u8>>) -> Result<Cost> {
    if copies == 0 {
        let folder = tempfile::tempdir()?;
        let node = SingleNode::start().await?;
        let envoy = PlainEnvoy::before(&node.url(), folder.path()).await?;
        return cost_of(&envoy.client(), envoy.pid(), pieces).await;
    }
    let config = json!({"body_limit": 2 * MEGABYTE * pieces.len()});
    let options = Options { nodes: NODES, replication_factor: copies, config, ..Options::default() };
    let cluster = Cluster::start(options).await?;
    let envoy = cluster.envoy_pid().context("Envoy is not running")?;
    cost_of(&cluster.client(), envoy, pieces).await
}

async fn cost_of(client: &Client, envoy: u32, pieces: Vec<Vec<u8>>) -> Result<Cost> {
    // Quick to fill: only ids are searched for.
    let index = corpus::create_index(client, &json!({"searchableAttributes": ["id"]})).await?;
    let megabytes = pieces.len();
    let pause = Duration::from_secs(1) / MEGABYTES_PER_SECOND;
    let before = cpu::time(&[envoy])?;
    let path = index.path("/documents");
    let answer = client.send_pieces(Method::POST, &path, "application/x-ndjson", pieces, pause).await?;
    let cpu = (cpu::time(&[envoy])? - before).div_f64(megabytes as f64);
    answer.ok()?;
    Ok(Cost { cpu, peak: cpu::peak_memory(envoy)? })
}
