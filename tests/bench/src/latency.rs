//! Latencies, and what of them is shown.

use std::time::Duration;

/// The latency that this part of them stays below.
pub fn at(part: f64, latencies: &mut [Duration]) -> Duration {
    latencies.sort_unstable();
    latencies.get((latencies.len() as f64 * part) as usize).copied().unwrap_or_default()
}

/// The middle one of some numbers.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
