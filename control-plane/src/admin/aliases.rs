//! Aliases of indexes.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::changes::Body;
use super::openapi::Error;
use super::reply::Refused;
use crate::aliases;
use crate::store::AliasRecord;

/// All aliases.
#[derive(Serialize, ToSchema)]
pub struct Aliases {
    /// By name.
    results: Vec<AliasRecord>,
}

/// What an alias is to stand for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Meaning {
    /// The uids of indexes that exist: one, or to be searched several.
    indexes: Vec<String>,
}

/// Lists all aliases.
#[utoipa::path(
    get, path = "/_miroir/aliases", tag = "aliases", operation_id = "listAliases",
    responses((status = 200, body = Aliases), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn list(State(admin): State<Admin>) -> Result<Json<Aliases>, Refused> {
    let aliases = admin.cluster.store.aliases().await?;
    Ok(Json(Aliases { results: aliases.into_values().collect() }))
}

/// Tells what an alias stands for, and what it stood for before.
#[utoipa::path(
    get, path = "/_miroir/aliases/{name}", tag = "aliases", operation_id = "getAlias", params(("name", description = "The alias.")),
    responses((status = 200, body = AliasRecord), (status = 404, body = Error), (status = 401, body = Error), (status = 403, body = Error)),
    security(("adminKey" = []))
)]
pub async fn one(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<AliasRecord>, Refused> {
    Ok(Json(aliases::get(&admin.cluster, &name).await?))
}

/// Makes an alias, or lets it stand for other indexes from now on. It is answered when every connected Envoy goes by it.
#[utoipa::path(
    put, path = "/_miroir/aliases/{name}", tag = "aliases", operation_id = "setAlias", params(("name", description = "The alias.")),
    request_body = Meaning,
    responses((status = 200, body = AliasRecord), (status = 400, body = Error), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn set(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Body(Meaning { indexes }): Body<Meaning>,
) -> Result<Json<AliasRecord>, Refused> {
    Ok(Json(aliases::set(&admin.cluster, &name, indexes).await?))
}

/// Lets an alias stand for what it stood for before its last change.
#[utoipa::path(
    post, path = "/_miroir/aliases/{name}/rollback", tag = "aliases", operation_id = "rollBackAlias", params(("name", description = "The alias.")),
    responses((status = 200, body = AliasRecord), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn roll_back(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<AliasRecord>, Refused> {
    Ok(Json(aliases::roll_back(&admin.cluster, &name).await?))
}

/// Removes an alias and its history; its indexes stay. Answers what it was.
#[utoipa::path(
    delete, path = "/_miroir/aliases/{name}", tag = "aliases", operation_id = "removeAlias", params(("name", description = "The alias.")),
    responses((status = 200, body = AliasRecord), (status = 404, body = Error)),
    security(("adminKey" = []))
)]
pub async fn remove(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<AliasRecord>, Refused> {
    Ok(Json(aliases::remove(&admin.cluster, &name).await?))
}
