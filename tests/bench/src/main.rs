//! Miroir's benchmarks.

mod canned;
mod config_push;
mod core;
mod corpus;
mod cpu;
mod data_plane;
mod disk;
mod growth;
mod ingest;
mod latency;
mod leader;
mod load;
mod memory;
mod plain_envoy;
mod progress;
mod rebalance;
mod registered;
mod registration;
mod report;
mod search;
mod writes;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use report::Section;
use serde::Serialize;

/// Miroir's benchmarks: all of them, or some.
#[derive(Debug, Parser)]
#[command(name = "miroir-bench")]
struct Cli {
    /// Which of them; all if none is named.
    #[arg(value_enum)]
    benchmarks: Vec<Benchmark>,
    /// Writes all figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// For `writes`: sends a body of 1 GB too, which takes a minute or two.
    #[arg(long)]
    gigabyte: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Benchmark {
    /// Merging answers and splitting documents: natively, and as Wasm inside Envoy.
    Core,
    /// What a search costs Envoy with nodes that cost nothing, beside Envoy passing it through to one.
    DataPlane,
    /// Searches of 63,000 documents: 1, 2 and 4 nodes behind Miroir, and one node alone.
    Search,
    /// Indexing 63,000 documents: three nodes behind Miroir, and one node alone.
    Ingest,
    /// What a long body of documents costs Envoy, and how much memory.
    Writes,
    /// How CPU per search grows with the nodes and with the length of the page.
    Growth,
    /// Moving documents to a node that is added, beside importing them.
    Rebalance,
    /// How soon all Envoy workers go by a new placement, with 100 nodes and 512 shards.
    ConfigPush,
    /// How many writes each task store registers, and how much of a write's latency that is.
    Registration,
    /// What a row of each table needs of Redis' memory, and what a busy cluster holds at rest.
    RedisMemory,
}

/// What a benchmark found, as the JSON file has it.
#[derive(Serialize)]
struct Outcome {
    benchmark: Benchmark,
    sections: Vec<Section>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let chosen = if cli.benchmarks.is_empty() { Benchmark::value_variants() } else { &cli.benchmarks };
    let mut outcomes = Vec::new();
    for &benchmark in chosen {
        let sections = benchmark.run(cli.gigabyte).await.with_context(|| format!("{benchmark:?}"))?;
        sections.iter().for_each(|section| progress::print(&section.to_string()));
        outcomes.push(Outcome { benchmark, sections });
        // After each, lest a later one fails.
        cli.json.iter().try_for_each(|path| save(path, &outcomes))?;
    }
    Ok(())
}

impl Benchmark {
    async fn run(self, gigabyte: bool) -> Result<Vec<Section>> {
        match self {
            Benchmark::Core => core::run().await,
            Benchmark::DataPlane => data_plane::run().await,
            Benchmark::Search => search::run().await,
            Benchmark::Ingest => ingest::run().await,
            Benchmark::Writes => writes::run(gigabyte).await,
            Benchmark::Growth => growth::run().await,
            Benchmark::Rebalance => rebalance::run().await,
            Benchmark::ConfigPush => config_push::run().await,
            Benchmark::Registration => registration::run().await,
            Benchmark::RedisMemory => memory::run().await,
        }
    }
}

fn save(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(outcomes)?).with_context(|| path.display().to_string())
}
