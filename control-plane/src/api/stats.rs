//! `/stats` and `/indexes/{uid}/stats`: each document counted once.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use miroir_core::error::not_supported;
use serde_json::{Map, Value, json};

use super::auth::action;
use super::request::{ClientRequest, check_index_uid};
use super::{Api, Failure};
use crate::indexes::index_not_found;
use crate::stats::{self, IndexStats};
use crate::tasks::view;

pub fn routes() -> Router<Api> {
    Router::new().route("/stats", get(all)).route("/indexes/{uid}/stats", get(one))
}

async fn all(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&request.headers, action::STATS_GET, None).await?;
    check_parameters(&api, request).await?;
    let stats = stats::cluster(&api.cluster).await?;
    let indexes: Map<String, Value> = stats
        .indexes
        .iter()
        .filter(|(uid, _)| access.covers(uid))
        .map(|(uid, stats)| (uid.clone(), shown(stats)))
        .collect();
    Ok(Json(json!({
        "databaseSize": stats.database_size,
        "usedDatabaseSize": stats.used_database_size,
        "lastUpdate": stats.last_update.map(view::rfc_3339),
        "indexes": indexes,
    })))
}

async fn one(
    State(api): State<Api>,
    Path(uid): Path<String>,
    request: ClientRequest,
) -> Result<Json<Value>, Failure> {
    api.authorize(&request.headers, action::STATS_GET, Some(&uid)).await?;
    check_index_uid(&uid)?;
    check_parameters(&api, request).await?;
    if api.cluster.store.index(&uid).await?.is_none() {
        return Err(index_not_found(&uid).into());
    }
    Ok(Json(shown(&stats::index(&api.cluster, &uid).await)))
}

async fn check_parameters(api: &Api, request: ClientRequest) -> Result<(), Failure> {
    let parameters: Vec<_> = request.parameters().collect();
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            ("sizeFormat", "raw") | ("showInternalDatabaseSizes", "false") => {}
            ("sizeFormat", "human") => {
                return Err(
                    not_supported("Miroir gives sizes in bytes alone: leave out `sizeFormat`.").into()
                );
            }
            ("showInternalDatabaseSizes", "true") => {
                let message = "Miroir can't show internal databases: ask the nodes for theirs.";
                return Err(not_supported(message).into());
            }
            _ => return Err(request.refusal(&api.cluster).await),
        }
    }
    Ok(())
}

fn shown(stats: &IndexStats) -> Value {
    json!({
        "numberOfDocuments": stats.documents,
        "rawDocumentDbSize": stats.raw_document_db_size,
        "avgDocumentSize": stats.raw_document_db_size.checked_div(stats.documents).unwrap_or(0),
        "isIndexing": stats.is_indexing,
        "numberOfEmbeddings": stats.embeddings,
        "numberOfEmbeddedDocuments": stats.embedded_documents,
        "fieldDistribution": stats.field_distribution,
    })
}
