//! Adopting the indexes that the first node holds already.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::changes::Parameters;
use super::openapi::Error;
use super::reply::Refused;
use crate::indexes::{Found, adopt, find_adoptable};

/// How to adopt.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Tell what would be adopted, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Adopts an index that the cluster's only node held before: it is searched and written through Miroir from now on, and its
/// documents get their tags in the background. `GET /_miroir/rebalance` tells how far that is.
#[utoipa::path(
    post, path = "/_miroir/indexes/{uid}/adopt", tag = "topology", operation_id = "adoptIndex",
    params(Options, ("uid", description = "The index.")),
    responses((status = 202, body = Found), (status = 404, body = Error), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn one(
    State(admin): State<Admin>,
    Path(uid): Path<String>,
    Parameters(options): Parameters<Options>,
) -> Result<(StatusCode, Json<Found>), Refused> {
    make(&admin, Some(&uid), &options).await
}

/// Adopts all indexes that the cluster's only node held before.
#[utoipa::path(
    post, path = "/_miroir/indexes/adopt", tag = "topology", operation_id = "adoptAllIndexes", params(Options),
    responses((status = 202, body = Found), (status = 409, body = Error)),
    security(("adminKey" = []))
)]
pub async fn all(
    State(admin): State<Admin>,
    Parameters(options): Parameters<Options>,
) -> Result<(StatusCode, Json<Found>), Refused> {
    make(&admin, None, &options).await
}

async fn make(
    admin: &Admin,
    only: Option<&str>,
    options: &Options,
) -> Result<(StatusCode, Json<Found>), Refused> {
    if options.dry_run {
        return Ok((StatusCode::OK, Json(find_adoptable(&admin.cluster, only).await.map_err(Refused)?)));
    }
    Ok((StatusCode::ACCEPTED, Json(adopt(&admin.cluster, only).await.map_err(Refused)?)))
}
