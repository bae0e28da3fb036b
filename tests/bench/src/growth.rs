//! How the CPU time of Envoy per search grows with the nodes and with the length of the page.

use anyhow::{Context, Result};
use miroir_harness::{Package, debian_packages};
use serde_json::{Value, json};

use crate::canned::CannedCluster;
use crate::load::{Load, Rounds, alternate};
use crate::report::{Bound, Figure, Section};
use crate::{corpus, progress};

const FAN_OUTS: [usize; 5] = [1, 2, 4, 8, 16];
const DOCUMENTS: usize = 5_000;
const LENGTHS: [usize; 4] = [20, 200, 1_000, 10_000];
/// For long pages: every node has as many hits as are asked of it.
const NODES: usize = 3;
const LONG_DOCUMENTS: usize = 33_000;
const PAGE: usize = 20;

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    Ok(vec![by_fan_out(&packages).await?, by_length(&packages).await?])
}

async fn by_fan_out(packages: &[Package]) -> Result<Section> {
    let queries = corpus::common_searches();
    let mut clusters = Vec::new();
    for fan_out in FAN_OUTS {
        progress::say(format!("{fan_out} canned nodes"));
        clusters.push(filled(fan_out, &packages[..DOCUMENTS], &corpus::settings()).await?);
    }
    progress::say("searching them");
    let loads = clusters.iter().map(|nodes| load(nodes, &queries)).collect::<Result<Vec<_>>>()?;
    let rounds = alternate(&loads).await?;
    let mut section = Section::new("nodes, 20 hits");
    add_growth(&mut section, "fan-out", &FAN_OUTS, &rounds);
    Ok(section)
}

async fn by_length(packages: &[Package]) -> Result<Section> {
    progress::say("long pages");
    let settings = json!({"searchableAttributes": ["id"], "pagination": {"maxTotalHits": LONG_DOCUMENTS}});
    let nodes = filled(NODES, &packages[..LONG_DOCUMENTS], &settings).await?;
    let whole = LENGTHS.map(|limit| [json!({"limit": limit})]);
    let last = LENGTHS.map(|end| [json!({"offset": end - PAGE, "limit": PAGE})]);
    let loads = whole.iter().chain(&last).map(|queries| load(&nodes, queries)).collect::<Result<Vec<_>>>()?;
    let rounds = alternate(&loads).await?;
    let mut section = Section::new(format!("offset + limit, {NODES} nodes"));
    let (of_whole, of_last) = rounds.split_at(LENGTHS.len());
    add_growth(&mut section, "limit", &LENGTHS, of_whole);
    add_growth(&mut section, "the last 20 of", &LENGTHS, of_last);
    Ok(section)
}

async fn filled(nodes: usize, packages: &[Package], settings: &Value) -> Result<CannedCluster> {
    let nodes = CannedCluster::start(nodes).await?;
    let client = nodes.cluster.client();
    corpus::create_index(&client, settings).await?;
    corpus::add(&client, packages).await?;
    Ok(nodes)
}

fn load<'q>(nodes: &CannedCluster, queries: &'q [Value]) -> Result<Load<'q>> {
    let envoy = nodes.cluster.envoy_pid().context("Envoy is not running")?;
    Ok(Load { client: nodes.cluster.client(), queries, at_once: 2, processes: vec![envoy] })
}

/// The exponent says how it grows from the case before: 1 is linearly.
fn add_growth(section: &mut Section, name: &str, sizes: &[usize], rounds: &[Rounds]) {
    let mut exponent = None;
    for (place, (size, of_size)) in sizes.iter().zip(rounds).enumerate() {
        if let Some(before) = place.checked_sub(1) {
            let factor = *size as f64 / sizes[before] as f64;
            exponent = Some(Figure::of(of_size.cpu_ratio(&rounds[before]).log(factor), ""));
        }
        let figures = [("CPU of Envoy", of_size.cpu())].into_iter();
        section.row(format!("{name} {size}"), figures.chain(exponent.map(|exponent| ("exponent", exponent))));
    }
    if let (Some(exponent), [.., before, last]) = (exponent, sizes) {
        section.target(format!("exponent of {name} {before} → {last}"), exponent, Bound::AtMost(1.0));
    }
}
