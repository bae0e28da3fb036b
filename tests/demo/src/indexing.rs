//! Sends the catalogue, with a progress bar.

use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use miroir_harness::{Client, Index, Package};

const BATCH: usize = 4_000;

/// Sends all packages in batches and waits until they are found; how long that took.
pub async fn index(client: &Client, index: &Index, packages: &[Package]) -> Result<Duration> {
    let bar = ProgressBar::new(packages.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:40.cyan/dim} {human_pos} of {human_len} searchable, {elapsed}",
    )?);
    bar.enable_steady_tick(Duration::from_millis(200));

    let mut tasks = Vec::new();
    for batch in packages.chunks(BATCH) {
        let summary = index.post_documents(batch).await?.ok()?;
        tasks.push((summary["taskUid"].as_u64().context("a write's answer has a taskUid")?, batch.len()));
    }
    for (task, documents) in tasks {
        let task = client.wait_for_task(task).await?;
        anyhow::ensure!(task["status"] == "succeeded", "{task}");
        bar.inc(documents as u64);
    }
    let took = bar.elapsed();
    bar.finish_and_clear();
    Ok(took)
}
