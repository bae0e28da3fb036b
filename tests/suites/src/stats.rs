//! Envoy's statistics.

use std::collections::BTreeMap;

use miroir_harness::{Client, Cluster};

/// Envoy's counters and gauges by name, as its admin interface tells them now.
///
/// # Panics
/// If Envoy doesn't answer.
pub async fn envoy_stats(cluster: &Cluster) -> BTreeMap<String, u64> {
    let answer = Client::new(cluster.envoy_admin_url(), "").get("/stats").await.unwrap();
    let text = answer.text();
    let stats = text.lines().filter_map(|line| line.split_once(": "));
    stats.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// How often the filter's virtual machine has failed in any way, by statistic.
///
/// # Panics
/// If Envoy doesn't answer.
pub async fn wasm_failures(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut stats = envoy_stats(cluster).await;
    stats.retain(|name, count| {
        let of_wasm = name.starts_with("wasm.") || name.contains(".wasm.");
        let of_failures = ["fail", "reload", "crash", "error"].iter().any(|word| name.contains(word));
        of_wasm && of_failures && *count > 0
    });
    stats
}
