//! `GET /_miroir/shards`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use miroir_core::shard::ShardId;
use miroir_core::table::NodeIndex;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;

/// Where the shards are.
#[derive(Serialize, ToSchema)]
pub struct Shards {
    /// The version of the placement.
    epoch: u64,
    /// All shards, in order.
    shards: Vec<Shard>,
}

/// Where a shard is.
#[derive(Serialize, ToSchema)]
struct Shard {
    /// Its number.
    shard: ShardId,
    /// The ids of the nodes that own it, the primary first, by replica group.
    owners: BTreeMap<String, Vec<String>>,
    /// The ids of the owners that missed a write to it.
    stale: Vec<String>,
}

/// Tells where the shards are.
#[utoipa::path(
    get, path = "/_miroir/shards", tag = "cluster", operation_id = "getShards",
    responses((status = 200, body = Shards), (status = 401, body = super::openapi::Error), (status = 403, body = super::openapi::Error)),
    security(("adminKey" = []))
)]
pub async fn shards(State(admin): State<Admin>) -> Json<Shards> {
    let table = admin.cluster.table();
    let id = |node: &NodeIndex| table.nodes[*node].id.clone();
    let shards = (0..table.shards).map(|shard| {
        let owners = table.groups.iter().map(|group| (group, &group.owners[shard as usize]));
        let stale = owners.clone().flat_map(|(_, nodes)| nodes).filter(|node| table.is_stale(**node, shard));
        Shard {
            shard,
            stale: stale.map(id).collect(),
            owners: owners.map(|(group, nodes)| (group.id.clone(), nodes.iter().map(id).collect())).collect(),
        }
    });
    Json(Shards { epoch: table.epoch, shards: shards.collect() })
}
