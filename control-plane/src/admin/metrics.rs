//! `GET /metrics`.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics::{describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::Admin;
use super::reply::Refused;
use crate::rebalance::left;

const TEXT: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4")];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// From here what is counted anywhere is shown.
pub fn install() {
    recorder();
}

fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("metrics go elsewhere: another recorder is installed");
        }
        describe_gauge!("miroir_leader", "Whether this control plane leads.");
        describe_gauge!("miroir_epoch", "The version of the placement.");
        describe_gauge!("miroir_table_version", "The version of the routing table.");
        describe_gauge!("miroir_node_up", "Whether the node answers and is in step with the cluster.");
        describe_gauge!("miroir_node_shards", "How many shards the node owns.");
        describe_gauge!("miroir_node_stale_shards", "For how many shards the node missed writes.");
        describe_gauge!("miroir_rebalance_shards_left", "How many shards have still to be moved.");
        describe_counter!("miroir_repairs_total", "Copies of shards to a node, by outcome.");
        describe_counter!(
            "miroir_copied_documents_total",
            "Documents compared with those of a clean copy, and copied if they differ."
        );
        describe_counter!(
            "miroir_copied_bytes_total",
            "Bytes of documents sent to a node to make its copies clean."
        );
        describe_counter!(
            "miroir_anti_entropy_findings_total",
            "Differences between copies that a comparison has found."
        );
        describe_gauge!("miroir_envoy_streams", "How many streams Envoys have open.");
        describe_gauge!(
            "miroir_envoy_streams_outdated",
            "How many of them have not acknowledged the newest of what they were sent."
        );
        describe_counter!(
            "miroir_settings_drift_total",
            "How often settings that were changed on the node itself were repaired."
        );
        describe_counter!("miroir_xds_sent_total", "Answers sent to Envoys, by type of resource.");
        describe_counter!("miroir_xds_nacks_total", "Answers that Envoys refused, by type of resource.");
        handle
    })
}

/// The metrics of a control plane that stands by: what the cluster is like is told by the one that leads.
pub async fn of_standby() -> impl IntoResponse {
    let text = "# HELP miroir_leader Whether this control plane leads.\n# TYPE miroir_leader gauge\nmiroir_leader 0\n";
    (TEXT, text)
}

/// Tells the metrics, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "cluster", operation_id = "getMetrics",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(admin): State<Admin>) -> Result<impl IntoResponse, Refused> {
    let store = &admin.cluster.store;
    let now = store.current_epoch().await?.unwrap_or_default();
    let shards_left = store.rebalance().await?.map_or(0, |rebalance| left(&now, &rebalance.target));
    gauge!("miroir_leader").set(1.0);
    gauge!("miroir_rebalance_shards_left").set(shards_left as f64);
    let table = admin.cluster.table();
    gauge!("miroir_epoch").set(table.epoch as f64);
    gauge!("miroir_table_version").set(table.version as f64);
    for (index, node) in table.nodes.iter().enumerate() {
        let owners = table.groups.iter().flat_map(|group| &group.owners);
        let stale = table.stale.iter().filter(|stale| stale.node == index).map(|stale| stale.shards.len());
        gauge!("miroir_node_up", "node" => node.id.clone()).set(f64::from(u8::from(node.up)));
        gauge!("miroir_node_shards", "node" => node.id.clone())
            .set(owners.filter(|owners| owners.contains(&index)).count() as f64);
        gauge!("miroir_node_stale_shards", "node" => node.id.clone()).set(stale.sum::<usize>() as f64);
    }
    let envoys = admin.cluster.envoys.connected();
    let outdated = envoys.iter().filter(|envoy| envoy.resources.values().any(|d| d.sent != d.acknowledged));
    gauge!("miroir_envoy_streams_outdated").set(outdated.count() as f64);
    gauge!("miroir_envoy_streams").set(envoys.len() as f64);

    let recorder = recorder();
    recorder.run_upkeep();
    Ok((TEXT, recorder.render()))
}
