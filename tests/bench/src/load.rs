//! A bounded load of searches.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use miroir_harness::{Client, Method};
use serde_json::json;

use crate::cpu;

/// Common enough that every node has 20 hits.
const WORDS: [&str; 8] =
    ["library", "development", "python", "files", "data", "tools", "documentation", "game"];
const AT_ONCE: usize = 4;

/// What a round of searches cost, per search.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// CPU time of the Envoy process.
    pub cpu: Duration,
    /// The median latency.
    pub p50: Duration,
    /// The latency that one of a hundred exceeds.
    pub p99: Duration,
}

/// Sends `searches` searches and measures the process `envoy` meanwhile.
pub async fn search_round(client: &Client, envoy: u32, searches: usize) -> Result<Round> {
    let before = cpu::time(envoy)?;
    let mut latencies: Vec<Duration> = stream::iter((0..searches).map(|number| search(client, number)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((searches as f64 * part) as usize).copied().unwrap_or_default();
    let cpu = (cpu::time(envoy)? - before) / searches as u32;
    Ok(Round { cpu, p50: at(0.5), p99: at(0.99) })
}

async fn search(client: &Client, number: usize) -> Result<Duration> {
    let query = json!({"q": WORDS[number % WORDS.len()], "limit": 20});
    let start = Instant::now();
    let answer = client.request(Method::POST, "/indexes/packages/search", &query).await?;
    ensure!(answer.status == 200, "a search answered {}: {}", answer.status, answer.text());
    Ok(start.elapsed())
}
