//! Envoy statistics, under `wasmcustom.miroir_…`.

use miroir_core::exchange::Report;
use miroir_core::router::Kind;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

const OUTCOMES: [&str; 3] = ["ok", "refused", "failed"];

/// The statistics' host ids; `None` where the host would not define one.
#[derive(Default)]
pub struct Metrics {
    /// By kind and outcome.
    requests: Vec<(Kind, [Option<u32>; OUTCOMES.len()])>,
    fan_out: Option<u32>,
    second_waves: Option<u32>,
    degraded: Option<u32>,
    upstream_failures: Option<u32>,
    hedges: Option<u32>,
    hedges_won: Option<u32>,
    slow_nodes: Option<u32>,
}

impl Metrics {
    /// Defines them; the host gives the same id for the same name.
    pub fn define() -> Metrics {
        let define = |metric, name: &str| hostcalls::define_metric(metric, name).ok();
        let counter = |name: &str| define(MetricType::Counter, name);
        let requests = |kind: Kind| {
            let by_outcome =
                OUTCOMES.map(|outcome| counter(&format!("miroir_requests_{}_{outcome}", kind.name())));
            (kind, by_outcome)
        };
        Metrics {
            requests: Kind::ALL.map(requests).to_vec(),
            fan_out: define(MetricType::Histogram, "miroir_fan_out"),
            second_waves: counter("miroir_second_waves"),
            degraded: counter("miroir_degraded_answers"),
            upstream_failures: counter("miroir_upstream_failures"),
            hedges: counter("miroir_hedges"),
            hedges_won: counter("miroir_hedges_won"),
            slow_nodes: define(MetricType::Gauge, "miroir_slow_nodes"),
        }
    }

    /// Counts a request that was answered.
    pub fn count(&self, kind: Kind, status: u16, report: &Report) {
        let outcome = match status {
            0..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        let by_outcome = self.requests.iter().find(|(known, _)| *known == kind);
        let requests = by_outcome.and_then(|(_, ids)| ids.get(outcome).copied().flatten());
        increment(requests, 1);
        increment(self.second_waves, report.second_wave.into());
        increment(self.degraded, report.degraded.into());
        increment(self.upstream_failures, report.upstream_failures);
        increment(self.hedges, report.hedges);
        increment(self.hedges_won, report.hedges_won);
        if let 1.. = report.fan_out {
            record(self.fan_out, report.fan_out);
        }
    }

    /// Shows how many nodes are slow.
    pub fn show_slow_nodes(&self, count: usize) {
        record(self.slow_nodes, count as u64);
    }
}

fn increment(id: Option<u32>, by: u64) {
    if let (Some(id), 1..) = (id, by) {
        let _ = hostcalls::increment_metric(id, by as i64);
    }
}

fn record(id: Option<u32>, value: u64) {
    if let Some(id) = id {
        // A statistic that can't be recorded is no reason to fail a request.
        let _ = hostcalls::record_metric(id, value);
    }
}
