//! Changes of the topology: nodes, replica groups, the number of copies.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use miroir_core::error::{ApiError, ErrorType};
use miroir_core::shard::ShardId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::openapi::Error;
use super::reply::Refused;
use crate::rebalance::{Change, NewNode, Status, change, plan, planned, reshard_to, status, trust};

/// What all changes take.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Tell what the change would move, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// For the removal of a node: even if it owns shards. Each must have another copy that is up to date.
    #[serde(default)]
    force: bool,
}

/// A replica group that is to be added.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewGroup {
    /// Its name.
    id: String,
    /// Its nodes.
    nodes: Vec<NewNode>,
}

/// What is to be changed of a node.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeUpdate {
    /// Its share of the shards relative to the other nodes of its group.
    #[serde(default)]
    weight: Option<f64>,
    /// Where it is.
    #[serde(default)]
    url: Option<String>,
}

/// What is to be changed of the cluster.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologyUpdate {
    /// Copies of a shard inside a group.
    #[serde(default)]
    replication_factor: Option<usize>,
    /// How many shards there are to be: a multiple of the present number, or a divisor of it.
    #[serde(default)]
    shards: Option<ShardId>,
}

/// A body of JSON, with an error in our shape if it is none.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Admin> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &Admin) -> Result<Self, Refused> {
        let body = axum::body::Bytes::from_request(request, state).await;
        let body = body.map_err(|error| bad_request(error.to_string()))?;
        serde_json::from_slice(&body).map(Body).map_err(|error| bad_request(format!("The body: {error}.")))
    }
}

/// The query string, with an error in our shape if it has what we don't know.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Admin> for Parameters<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &Admin) -> Result<Self, Refused> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| Parameters(query)).map_err(|error| bad_request(error.to_string()))
    }
}

fn bad_request(message: String) -> Refused {
    Refused(ApiError::new(400, "bad_request", ErrorType::InvalidRequest, message))
}

/// Makes a change, or tells what it would move.
async fn make(admin: &Admin, options: &Options, wanted: Change) -> Result<Response, Refused> {
    if options.dry_run {
        let plan = plan(&admin.cluster, &wanted).await.map_err(Refused)?;
        return Ok(Json(planned(&admin.cluster, &plan).await?).into_response());
    }
    change(&admin.cluster, &wanted).await.map_err(Refused)?;
    Ok((StatusCode::ACCEPTED, Json(status(&admin.cluster).await?)).into_response())
}

/// Adds a node. It gets all indexes, settings and keys, then its share of the shards.
#[utoipa::path(
    post, path = "/_miroir/nodes", tag = "topology", operation_id = "addNode", params(Options), request_body = NewNode,
    responses((status = 202, body = Status), (status = 400, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn add_node(
    State(admin): State<Admin>,
    Parameters(options): Parameters<Options>,
    Body(node): Body<NewNode>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::Add(node)).await
}

/// Changes a node's weight, or where it is.
#[utoipa::path(
    patch, path = "/_miroir/nodes/{id}", tag = "topology", operation_id = "updateNode", params(Options, ("id", description = "The node.")),
    request_body = NodeUpdate,
    responses((status = 202, body = Status), (status = 400, body = Error), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn update_node(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Parameters(options): Parameters<Options>,
    Body(NodeUpdate { weight, url }): Body<NodeUpdate>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::Update { id, weight, url }).await
}

/// Moves all that a node holds to the others of its group.
#[utoipa::path(
    post, path = "/_miroir/nodes/{id}/drain", tag = "topology", operation_id = "drainNode", params(Options, ("id", description = "The node.")),
    responses((status = 202, body = Status), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn drain_node(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Parameters(options): Parameters<Options>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::Drain(id)).await
}

/// Removes a node that owns nothing, or with `force` one that is lost.
#[utoipa::path(
    delete, path = "/_miroir/nodes/{id}", tag = "topology", operation_id = "removeNode", params(Options, ("id", description = "The node.")),
    responses((status = 202, body = Status), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn remove_node(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Parameters(options): Parameters<Options>,
) -> Result<Response, Refused> {
    let force = options.force;
    make(&admin, &options, Change::Remove { id, force }).await
}

/// Takes a node's copies for the truth, of those shards of which all copies have missed writes. What only the others have is
/// lost.
#[utoipa::path(
    post, path = "/_miroir/nodes/{id}/trust", tag = "topology", operation_id = "trustNode", params(("id", description = "The node.")),
    responses((status = 200, body = Status), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn trust_node(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<Status>, Refused> {
    trust(&admin.cluster, &id).await.map_err(Refused)?;
    Ok(Json(status(&admin.cluster).await?))
}

/// Puts another node in the place of one, dead or alive, which is removed when its shards are there.
#[utoipa::path(
    post, path = "/_miroir/nodes/{id}/replace", tag = "topology", operation_id = "replaceNode", params(Options, ("id", description = "The node that goes.")),
    request_body = NewNode,
    responses((status = 202, body = Status), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn replace_node(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Parameters(options): Parameters<Options>,
    Body(by): Body<NewNode>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::Replace { id, by }).await
}

/// Adds a replica group. It serves a shard as soon as it has all of it.
#[utoipa::path(
    post, path = "/_miroir/groups", tag = "topology", operation_id = "addGroup", params(Options), request_body = NewGroup,
    responses((status = 202, body = Status), (status = 400, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn add_group(
    State(admin): State<Admin>,
    Parameters(options): Parameters<Options>,
    Body(NewGroup { id, nodes }): Body<NewGroup>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::AddGroup(id, nodes)).await
}

/// Drains all nodes of a replica group. They can be removed then.
#[utoipa::path(
    delete, path = "/_miroir/groups/{id}", tag = "topology", operation_id = "removeGroup", params(Options, ("id", description = "The group.")),
    responses((status = 202, body = Status), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn remove_group(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Parameters(options): Parameters<Options>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::RemoveGroup(id)).await
}

/// Changes the number of copies of each shard, or the number of shards.
#[utoipa::path(
    patch, path = "/_miroir/topology", tag = "topology", operation_id = "updateTopology", params(Options), request_body = TopologyUpdate,
    responses((status = 202, body = Status), (status = 400, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn update_topology(
    State(admin): State<Admin>,
    Parameters(options): Parameters<Options>,
    Body(TopologyUpdate { replication_factor, shards }): Body<TopologyUpdate>,
) -> Result<Response, Refused> {
    match (replication_factor, shards) {
        (Some(copies), None) => make(&admin, &options, Change::ReplicationFactor(copies)).await,
        (None, Some(shards)) => {
            reshard_to(&admin.cluster, shards, options.dry_run).await.map_err(Refused)?;
            let status_code = if options.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok((status_code, Json(status(&admin.cluster).await?)).into_response())
        }
        _ => Err(bad_request("Give either `replicationFactor` or `shards`.".to_owned())),
    }
}

/// Places all shards anew and moves what is not where it should be: after a rebalance was canceled.
#[utoipa::path(
    post, path = "/_miroir/rebalance", tag = "rebalance", operation_id = "rebalance", params(Options),
    responses((status = 202, body = Status), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn rebalance(
    State(admin): State<Admin>,
    Parameters(options): Parameters<Options>,
) -> Result<Response, Refused> {
    make(&admin, &options, Change::Place).await
}
