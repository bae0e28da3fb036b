//! `/health`, `/version` and the stats.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::invalid::Domain;
use super::request::{self, Parameter};
use super::{IndexUid, Node};
use crate::auth::access::Access;
use crate::error::Result;
use crate::indexes::stats::{self, StatsQuery};
use crate::tasks::view;

/// The version of Meilisearch whose wire format this is.
const PKG_VERSION: &str = "1.50.0";

const PARAMETERS: [(&str, Parameter); 2] =
    [("showInternalDatabaseSizes", Parameter::Boolean), ("sizeFormat", Parameter::Text)];

pub async fn health() -> Json<Value> {
    Json(json!({ "status": "available" }))
}

pub async fn version() -> Json<Value> {
    Json(json!({ "commitSha": "unknown", "commitDate": "unknown", "pkgVersion": PKG_VERSION }))
}

pub async fn stats(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>> {
    let query: StatsQuery = request::query(query.as_deref(), &PARAMETERS, Domain::Stats)?;
    node.blocking(move |queue| {
        let (mut size, mut used) = queue.store.size()?;
        let mut last_update = None;
        let mut indexes = BTreeMap::new();
        let uids = queue.store.indexes(&*queue.store.read()?)?;
        for (uid, folder) in uids {
            let index = queue.indexes.open(folder)?;
            let (index_size, index_used, updated_at) = stats::footprint(&index)?;
            size += index_size;
            used += index_used;
            if !access.covers(&uid) {
                continue;
            }
            last_update = last_update.max(Some(updated_at));
            let stats = stats::index_stats(&index, queue.is_indexing(&uid), query)?;
            indexes.insert(uid, stats);
        }
        Ok(Json(json!({
            "databaseSize": query.size_format.write(size),
            "usedDatabaseSize": query.size_format.write(used),
            "lastUpdate": last_update.map(view::date),
            "indexes": indexes,
        })))
    })
    .await
}

pub async fn index_stats(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>> {
    let query: StatsQuery = request::query(query.as_deref(), &PARAMETERS, Domain::Stats)?;
    node.blocking(move |queue| {
        let stats = stats::index_stats(&queue.index(&uid)?, queue.is_indexing(&uid), query)?;
        Ok(Json(stats))
    })
    .await
}
