//! `GET /_miroir/ready`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use miroir_core::shard::ShardId;
use miroir_core::table::RoutingTable;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;

/// Whether the cluster can serve.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// Whether it can.
    ready: bool,
    /// What keeps it from serving.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

/// Tells whether Envoys are served and every shard has a clean copy on a node that is up.
#[utoipa::path(
    get, path = "/_miroir/ready", tag = "cluster", operation_id = "getReadiness",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub async fn ready(State(admin): State<Admin>) -> (StatusCode, Json<Readiness>) {
    let mut missing = Vec::new();
    if admin.snapshot.borrow().is_none() {
        missing.push("the nodes are being checked; Envoys are not served yet".to_owned());
    }
    let table = admin.cluster.table();
    let uncovered: Vec<ShardId> = (0..table.shards).filter(|&shard| !is_covered(&table, shard)).collect();
    if !uncovered.is_empty() {
        let down: Vec<&str> =
            table.nodes.iter().filter(|node| !node.up).map(|node| node.id.as_str()).collect();
        missing.push(format!(
            "no clean copy on a node that is up of shards {uncovered:?}; nodes not up: {}",
            down.join(", ")
        ));
    }
    let ready = missing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, missing }))
}

fn is_covered(table: &RoutingTable, shard: ShardId) -> bool {
    let mut readers = table.groups.iter().flat_map(|group| table.readers(group, shard));
    readers.any(|&node| table.nodes[node].up && !table.is_stale(node, shard))
}
