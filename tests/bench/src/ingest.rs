//! Indexing the whole catalogue: Miroir over three nodes, beside one node alone, and beside three nodes that are given a third
//! each without Miroir: what is left of one node's pace where all three share its cores.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use miroir_harness::{Client, Cluster, Method, Options, Package, SingleNode, debian_packages};

use crate::corpus;
use crate::report::{Bound, Figure, Section};
use crate::{latency, progress};

const NODES: usize = 3;
/// Of all ways in turn, each with new nodes.
const ROUNDS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Batches,
    OneBody,
}

/// What takes the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    OneNode,
    /// By themselves, each a third.
    ThreeNodes,
    /// Over three nodes, with so many copies.
    Miroir(usize),
}

const WHO: [(Who, &str); 4] = [
    (Who::OneNode, "one node alone"),
    (Who::ThreeNodes, "three nodes alone, a third each"),
    (Who::Miroir(1), "Miroir over 3, RF 1"),
    (Who::Miroir(2), "Miroir over 3, RF 2"),
];

/// How long an import took.
#[derive(Clone, Copy, Debug)]
struct Import {
    /// Until all writes were acknowledged.
    accepted: Duration,
    /// Until all documents were found.
    indexed: Duration,
}

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    let mut section = Section::new(format!("{} documents until all are found", packages.len()));
    for (shape, name) in [(Shape::Batches, "batches of 1,000"), (Shape::OneBody, "one body of NDJSON")] {
        let mut imports: [Vec<Import>; WHO.len()] = Default::default();
        for _ in 0..ROUNDS {
            for ((who, label), imports) in WHO.into_iter().zip(&mut imports) {
                progress::say(format!("indexing {name}: {label}"));
                imports.push(import(who, shape, &packages).await?);
            }
        }
        let alone = imports[0].clone();
        for ((who, label), imports) in WHO.into_iter().zip(&imports) {
            let times =
                |time: fn(&Import) -> Duration| imports.iter().map(move |import| time(import).as_secs_f64());
            let speed = packages.len() as f64 / latency::median(times(|import| import.indexed));
            let pairs = imports.iter().zip(&alone);
            let ratios = pairs.map(|(ours, alone)| alone.indexed.as_secs_f64() / ours.indexed.as_secs_f64());
            let ratio = Figure::of(100.0 * latency::median(ratios), "%");
            section.row(
                format!("{label}, {name}"),
                [
                    ("accepted after", Figure::of(latency::median(times(|import| import.accepted)), "s")),
                    ("indexed", Figure::of(speed, "documents/s")),
                    ("of one node alone", ratio),
                ],
            );
            if who == Who::Miroir(1) {
                section.target(format!("{label}, {name}, of one node alone"), ratio, Bound::AtLeast(95.0));
            }
        }
    }
    Ok(vec![section])
}

/// Into new nodes.
async fn import(who: Who, shape: Shape, packages: &[Package]) -> Result<Import> {
    match who {
        Who::OneNode => {
            let node = SingleNode::start().await?;
            import_by(&node.client(), shape, packages).await
        }
        Who::ThreeNodes => {
            let nodes = try_join_all((0..NODES).map(|_| SingleNode::start())).await?;
            let imports = nodes.iter().enumerate().map(|(number, node)| async move {
                let third: Vec<Package> = packages.iter().skip(number).step_by(NODES).cloned().collect();
                import_by(&node.client(), shape, &third).await
            });
            let imports = try_join_all(imports).await?;
            let slowest = |time: fn(&Import) -> Duration| imports.iter().map(time).max().unwrap_or_default();
            Ok(Import {
                accepted: slowest(|import| import.accepted),
                indexed: slowest(|import| import.indexed),
            })
        }
        Who::Miroir(copies) => {
            let options = Options { nodes: NODES, replication_factor: copies, ..Options::default() };
            let cluster = Cluster::start(options).await?;
            import_by(&cluster.client(), shape, packages).await
        }
    }
}

async fn import_by(client: &Client, shape: Shape, packages: &[Package]) -> Result<Import> {
    let index = corpus::create_index(client, &corpus::settings()).await?;
    let body = corpus::ndjson(packages)?;
    let path = index.path("/documents");
    let start = Instant::now();
    let answers = match shape {
        Shape::Batches => corpus::post_batches(client, packages).await?,
        Shape::OneBody => vec![client.send(Method::POST, &path, Some("application/x-ndjson"), body).await?],
    };
    let accepted = start.elapsed();
    corpus::wait_for_all(client, &answers).await?;
    Ok(Import { accepted, indexed: start.elapsed() })
}
