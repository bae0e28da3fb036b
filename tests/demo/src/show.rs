//! Tables and headings.

use anyhow::{Context, Result, ensure};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use console::style;
use indicatif::{HumanBytes, HumanCount};
use miroir_harness::Cluster;
use serde_json::Value;

use crate::searches::Search;

const DESCRIPTION_WIDTH: usize = 60;
const FACET_VALUES: usize = 8;
const BAR_WIDTH: u64 = 40;

/// What comes next.
pub fn heading(text: &str) {
    println!("\n{}", style(text).bold().cyan());
}

/// How many documents and which share of the shards each node holds.
pub async fn nodes(cluster: &Cluster, index: &str, total: u64) -> Result<()> {
    let mut table = table(&["node", "documents", "of all"]);
    let mut copies = 0;
    for node in cluster.nodes() {
        let count = node.client().index(index).count().await?;
        copies += count;
        let share = format!("{:.0} %", 100.0 * count as f64 / total.max(1) as f64);
        table.add_row(vec![Cell::new(node.id()), right(HumanCount(count)), right(share)]);
    }
    println!("{table}");
    println!("{} in all: two copies of {}", HumanCount(copies), HumanCount(total));
    ensure!(copies == 2 * total, "there should be {} copies", 2 * total);
    Ok(())
}

/// Hits, or a facet's values, and how many there are.
pub fn answer(search: &Search, answer: &Value) -> Result<()> {
    match search.facet {
        Some(facet) => println!("{}", facet_table(&answer["facetDistribution"][facet])?),
        None => println!("{}", hit_table(&answer["hits"])?),
    }
    let total = HumanCount(answer["totalHits"].as_u64().context("an answer has totalHits")?);
    println!("{total} found in {} ms", answer["processingTimeMs"]);
    Ok(())
}

fn hit_table(hits: &Value) -> Result<Table> {
    let mut table = table(&["package", "section", "size", "description"]);
    for hit in hits.as_array().context("an answer has hits")? {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shown = &hit["_formatted"];
        table.add_row(vec![
            Cell::new(text(&shown["name"])),
            Cell::new(text(&hit["section"])),
            right(HumanBytes(hit["size"].as_u64().unwrap_or_default())),
            Cell::new(console::truncate_str(&text(&shown["description"]), DESCRIPTION_WIDTH, "…")),
        ]);
    }
    Ok(table)
}

fn facet_table(values: &Value) -> Result<Table> {
    let values = values.as_object().context("an answer has the facet")?;
    let mut counts: Vec<(&String, u64)> =
        values.iter().map(|(value, count)| (value, count.as_u64().unwrap_or_default())).collect();
    counts.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    let most = counts.first().map_or(1, |(_, count)| (*count).max(1));

    let mut table = table(&["section", "packages", ""]);
    for (value, count) in counts.iter().take(FACET_VALUES) {
        let bar = "■".repeat((count * BAR_WIDTH).div_ceil(most) as usize);
        table.add_row(vec![Cell::new(value), right(HumanCount(*count)), Cell::new(style(bar).cyan())]);
    }
    if let Some(rest) = counts.len().checked_sub(FACET_VALUES).filter(|rest| *rest > 0) {
        table.add_row(vec![Cell::new(format!("and {rest} more"))]);
    }
    Ok(table)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|text| Cell::new(style(text).dim())));
    table
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
