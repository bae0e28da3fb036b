//! What a row of each table needs of Redis' memory, and what a busy cluster holds at rest: by these costs, and filled into a
//! Redis at a smaller scale.

mod busy;
mod fill;
mod rows;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use miroir_harness::{Persistence, Redis};
use redis::InfoDict;

use crate::leader::Leader;
use crate::progress;
use crate::report::{Figure, Section};
use busy::SCALE;
use fill::Writes;
use rows::Row;

/// Measures and shows it.
pub async fn run() -> Result<Vec<Section>> {
    progress::say("rows in Redis");
    let costs = rows::costs().await?;
    let mut each = Section::new("a row of");
    for (row, cost) in &costs {
        each.row(row.name(), [("in Redis", Figure::of(*cost, "bytes"))]);
    }

    let mut at_rest = Section::new(format!("At rest. {}", busy::described()));
    let (rows, writes) = (busy::rows(1), busy::rows(SCALE));
    for (row, count) in &rows {
        let bytes = cost_of(&costs, &BTreeMap::from([(*row, *count)]))?;
        let rows = ("rows", Figure::of(*count as f64, ""));
        at_rest.row(row.name(), [rows, ("memory", mebibytes(bytes))]);
    }
    at_rest.row("all", [("memory", mebibytes(cost_of(&costs, &rows)?))]);

    progress::say("a busy cluster's Redis");
    let expected = cost_of(&costs, &writes)?;
    let measured =
        measured(async |leader| fill::all(&*leader.store, &writes, &busy::writes(SCALE)).await).await?;
    let mut filled = Section::new(format!("1/{SCALE} of its writes and all else, filled into a Redis"));
    filled.row("expected", [("memory", mebibytes(expected))]);
    filled.row("used", [("memory", mebibytes(measured)), ("expected", Figure::times(expected / measured))]);
    Ok(vec![each, at_rest, filled])
}

fn cost_of(costs: &BTreeMap<Row, f64>, rows: &BTreeMap<Row, usize>) -> Result<f64> {
    let bytes =
        rows.iter().map(|(row, count)| Ok(costs.get(row).context("a row without a cost")? * *count as f64));
    bytes.sum()
}

/// By how many bytes the memory that a Redis uses grows by this.
async fn measured(fill: impl AsyncFnOnce(&Leader) -> Result<()>) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let redis = Redis::start_alone(folder.path(), Persistence::None).await?;
    let leader = Leader::of(&redis).await?;
    let before = used(&leader).await?;
    fill(&leader).await?;
    Ok(used(&leader).await? - before)
}

/// Without the buffers of connections, which come and go.
async fn used(leader: &Leader) -> Result<f64> {
    let mut request = redis::pipe();
    request.cmd("INFO").arg("memory");
    let (info,): (InfoDict,) = leader.link.ask(&request).await?;
    let number = |name: &str| info.get::<f64>(name).with_context(|| format!("INFO memory has no {name}"));
    Ok(number("used_memory")? - number("mem_clients_normal")?)
}

fn mebibytes(bytes: f64) -> Figure {
    Figure::of(bytes / f64::from(1 << 20), "MiB")
}
