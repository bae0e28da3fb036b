//! What a search through Miroir costs Envoy, beside Envoy passing the same search through to one node.
//!
//! Three nodes with one copy of each shard, so that every search fans out to all three. Rounds of both kinds
//! alternate, since the machine may be busy with other things; the medians are compared.

mod cpu;
mod load;
mod pass_through;

use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use miroir_harness::{Client, Cluster, Options, debian_packages};
use serde_json::json;

use crate::load::{Round, search_round};
use crate::pass_through::PassThrough;

const DOCUMENTS: usize = 5_000;
const ROUNDS: usize = 9;
const SEARCHES_PER_ROUND: usize = 400;

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::start(Options { nodes: 3, replication_factor: 1, ..Options::default() }).await?;
    fill(&cluster.client()).await?;
    let pass_through = PassThrough::start(&cluster.node(0).url(), cluster.folder()).await?;
    let direct = Client::new(pass_through.url(), "masterKey");
    let envoy = cluster.envoy_pid().context("Envoy is not running")?;

    search_round(&cluster.client(), envoy, SEARCHES_PER_ROUND).await?;
    search_round(&direct, pass_through.pid(), SEARCHES_PER_ROUND).await?;
    let memory_before = cpu::resident_kib(envoy)?;
    let (mut fanned_out, mut passed_through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        fanned_out.push(search_round(&cluster.client(), envoy, SEARCHES_PER_ROUND).await?);
        passed_through.push(search_round(&direct, pass_through.pid(), SEARCHES_PER_ROUND).await?);
    }
    let memory_after = cpu::resident_kib(envoy)?;

    show(&fanned_out, &passed_through);
    println!(
        "Envoy's memory: {} MiB before, {} MiB after {} searches",
        memory_before / 1024,
        memory_after / 1024,
        ROUNDS * SEARCHES_PER_ROUND
    );
    Ok(())
}

async fn fill(client: &Client) -> Result<()> {
    let packages = debian_packages()?;
    let index = client.create_index("packages", Some("id")).await?;
    index.update_settings(&json!({"searchableAttributes": ["name", "description"]})).await?;
    for batch in packages[..DOCUMENTS.min(packages.len())].chunks(1_000) {
        index.add_documents(batch).await?;
    }
    Ok(())
}

fn show(fanned_out: &[Round], passed_through: &[Round]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["20 hits a search", "CPU of Envoy", "p50", "p99"]);
    let milliseconds = |duration: Duration| format!("{:.3} ms", duration.as_secs_f64() * 1e3);
    let columns: [fn(&Round) -> Duration; 3] = [|round| round.cpu, |round| round.p50, |round| round.p99];
    for (name, rounds) in [("Miroir over 3 nodes", fanned_out), ("Envoy to 1 node", passed_through)] {
        let medians = columns.map(|column| milliseconds(median(rounds, column)));
        table.add_row([vec![name.to_string()], medians.to_vec()].concat());
    }
    let ratios = columns.map(|column| {
        let ratio = median(fanned_out, column).as_secs_f64() / median(passed_through, column).as_secs_f64();
        format!("{ratio:.2} ×")
    });
    table.add_row([vec!["ratio".to_string()], ratios.to_vec()].concat());
    println!("{table}");
}

fn median(rounds: &[Round], column: fn(&Round) -> Duration) -> Duration {
    let mut values: Vec<Duration> = rounds.iter().map(column).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
