//! Searches of the whole catalogue: Miroir over nodes, beside one node that holds all of it.

use anyhow::{Context, Result};
use miroir_harness::{Client, Cluster, Options, SingleNode, debian_packages};

use crate::load::{Load, Rounds, alternate};
use crate::plain_envoy::PlainEnvoy;
use crate::report::{Bound, Figure, Section};
use crate::{corpus, progress};

const NODES: [usize; 3] = [1, 2, 4];
const QUERIES: usize = 200;
/// For the throughput.
const AT_ONCE: usize = 8;

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    let queries = corpus::searches(&packages, QUERIES);
    let single = SingleNode::start().await?;
    let mut clusters = Vec::new();
    for nodes in NODES {
        clusters.push(Cluster::start(Options { nodes, replication_factor: 1, ..Options::default() }).await?);
    }
    for client in clusters.iter().map(Cluster::client).chain([single.client()]) {
        progress::say(format!("indexing {} documents", packages.len()));
        corpus::create_index(&client, &corpus::settings()).await?;
        corpus::add(&client, &packages).await?;
    }
    progress::say("searching");
    let plain = PlainEnvoy::before(&single.url(), clusters[0].folder()).await?;
    let single_pid = single.pid().context("the node is not running")?;
    let mut servers: Vec<(String, Client, Vec<u32>)> = vec![
        ("one node, asked directly".into(), single.client(), vec![single_pid]),
        ("one node through Envoy".into(), plain.client(), vec![single_pid, plain.pid()]),
    ];
    for (cluster, nodes) in clusters.iter().zip(NODES) {
        let processes = cluster.nodes().iter().filter_map(|node| node.pid()).chain(cluster.envoy_pid());
        servers.push((format!("Miroir over {nodes}"), cluster.client(), processes.collect()));
    }

    let rounds = async |at_once: usize| -> Result<Vec<Rounds>> {
        let load = |(_, client, processes): &(String, Client, Vec<u32>)| Load {
            client: client.clone(),
            queries: &queries,
            at_once,
            processes: processes.clone(),
        };
        alternate(&servers.iter().map(load).collect::<Vec<_>>()).await
    };
    let (alone, busy) = (rounds(1).await?, rounds(AT_ONCE).await?);
    let mut section = Section::new(format!("{} documents, 20 hits, 1 search at once", packages.len()));
    for (((name, ..), alone_rounds), busy) in servers.iter().zip(&alone).zip(&busy) {
        section.row(
            name.clone(),
            [
                ("p50", alone_rounds.p50()),
                ("p50 ratio", Figure::times(alone_rounds.p50_ratio(&alone[1]))),
                ("p99", alone_rounds.p99()),
                ("CPU of nodes and Envoy", alone_rounds.cpu()),
                ("8 at once", busy.per_second()),
                ("p99 of 8 at once", busy.p99()),
            ],
        );
    }
    let ratio = Figure::times(alone[2].p50_ratio(&alone[1]));
    section.target("p50 of one node behind Miroir, to that through Envoy", ratio, Bound::AtMost(1.15));
    Ok(vec![section])
}
