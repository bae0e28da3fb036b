//! `GET /_miroir/topology`.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use miroir_core::shard::ShardId;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Admin;
use crate::routing;
use crate::xds::Envoy;

/// The cluster: what it is made of and how it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The version of the placement.
    epoch: u64,
    /// The version of the routing table.
    table_version: u64,
    /// How many shards there are.
    shards: u32,
    /// Copies of a shard inside a group.
    replication_factor: usize,
    /// The replica groups: the ids of the nodes of each, by the group's id.
    groups: BTreeMap<String, Vec<String>>,
    /// The nodes.
    nodes: Vec<Node>,
    /// The Envoys that are connected now, one entry per stream.
    envoys: Vec<Envoy>,
}

/// One Meilisearch instance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Node {
    /// Its name.
    id: String,
    /// Where it is.
    url: String,
    /// Its replica group.
    group: String,
    /// Its share of the shards relative to the other nodes of its group.
    weight: f64,
    /// The Envoy cluster that leads to it.
    cluster: String,
    /// How it is.
    status: Status,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when it is up or down.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<OffsetDateTime>,
    /// How many shards it owns.
    shards: usize,
    /// Of how many it is the primary.
    primary_shards: usize,
    /// The shards for which it missed writes.
    stale: BTreeSet<ShardId>,
}

/// How a node is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It answers and is in step with the cluster.
    Up,
    /// It does not answer, or is not in step.
    Down,
    /// It was not checked yet, or is being brought in step.
    Checking,
}

/// Tells the topology.
#[utoipa::path(
    get, path = "/_miroir/topology", tag = "cluster", operation_id = "getTopology",
    responses((status = 200, body = Topology), (status = 401, body = super::openapi::Error), (status = 403, body = super::openapi::Error)),
    security(("adminKey" = []))
)]
pub async fn topology(State(admin): State<Admin>) -> Json<Topology> {
    let cluster = &admin.cluster;
    let table = cluster.table();
    let health = cluster.health.read().await;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let members = cluster.members();
    for node in &members.nodes {
        groups.entry(node.group.clone()).or_default().push(node.id.clone());
    }
    let nodes = members.nodes.iter().enumerate().map(|(index, node)| {
        let owners = || table.groups.iter().flat_map(|group| &group.owners);
        let health = health.get(&node.id);
        Node {
            id: node.id.clone(),
            url: node.url.clone(),
            group: node.group.clone(),
            weight: node.weight,
            cluster: routing::cluster_name(node),
            status: match health.map(|health| health.up) {
                Some(true) => Status::Up,
                Some(false) => Status::Down,
                None => Status::Checking,
            },
            reason: health.and_then(|health| health.reason.clone()),
            since: health.map(|health| health.since),
            shards: owners().filter(|owners| owners.contains(&index)).count(),
            primary_shards: owners().filter(|owners| owners.first() == Some(&index)).count(),
            stale: table
                .stale
                .iter()
                .filter(|stale| stale.node == index)
                .flat_map(|s| s.shards.clone())
                .collect(),
        }
    });
    Json(Topology {
        epoch: table.epoch,
        table_version: table.version,
        shards: table.shards,
        replication_factor: members.replication_factor,
        nodes: nodes.collect(),
        groups,
        envoys: admin.cluster.envoys.connected(),
    })
}
