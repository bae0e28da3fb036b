//! `/stats` and `/indexes/{uid}/stats`: each document counted once.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use miroir_core::error::binary_size;
use serde_json::{Map, Value, json};

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::indexes::index_not_found;
use crate::stats::{self, IndexStats};
use crate::tasks::view;

pub fn routes() -> Router<Api> {
    Router::new().route("/stats", get(all)).route("/indexes/{uid}/stats", get(one))
}

async fn all(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&request.headers, action::STATS_GET, None).await?;
    let Some(view) = View::read(request.parameters()) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let stats = stats::cluster(&api.cluster).await?;
    let visible = || stats.indexes.iter().filter(|(uid, _)| access.covers(uid));
    let indexes: Map<String, Value> =
        visible().map(|(uid, stats)| (uid.clone(), view.index(stats))).collect();
    Ok(Json(json!({
        "databaseSize": view.size(stats.database_size),
        "usedDatabaseSize": view.size(stats.used_database_size),
        "lastUpdate": visible().filter_map(|(_, stats)| stats.updated_at).max().map(view::rfc_3339),
        "indexes": indexes,
    })))
}

async fn one(
    State(api): State<Api>,
    Path(uid): Path<String>,
    request: ClientRequest,
) -> Result<Json<Value>, Failure> {
    let (_, uid) = api.authorize_index(&request.headers, action::STATS_GET, &uid).await?;
    let Some(view) = View::read(request.parameters()) else {
        return Err(request.about(&uid).refusal(&api.cluster).await);
    };
    let index = api.cluster.store.index(&uid).await?.ok_or_else(|| index_not_found(&uid))?;
    Ok(Json(view.index(&stats::index(&api.cluster, &index).await)))
}

/// How a client wants to see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    human: bool,
    internal_databases: bool,
}

impl View {
    /// `None` if a parameter is wrong or unknown.
    fn read(parameters: impl Iterator<Item = (String, String)>) -> Option<View> {
        let mut view = View::default();
        for (name, value) in parameters {
            match (name.as_str(), value.as_str()) {
                ("sizeFormat", "raw") => view.human = false,
                ("sizeFormat", "human") => view.human = true,
                ("showInternalDatabaseSizes", value) => view.internal_databases = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(view)
    }

    fn size(self, bytes: u64) -> Value {
        match self.human {
            true => binary_size(bytes).into(),
            false => bytes.into(),
        }
    }

    fn index(self, stats: &IndexStats) -> Value {
        let average = stats.raw_document_db_size.checked_div(stats.documents).unwrap_or(0);
        let mut shown = json!({
            "numberOfDocuments": stats.documents,
            "rawDocumentDbSize": self.size(stats.raw_document_db_size),
            "avgDocumentSize": self.size(average),
            "isIndexing": stats.is_indexing,
        });
        let databases: Map<String, Value> = stats
            .internal_database_sizes
            .iter()
            .map(|(name, size)| (name.clone(), self.size(*size)))
            .collect();
        if self.internal_databases && !databases.is_empty() {
            shown["internalDatabaseSizes"] = databases.into();
        }
        shown["numberOfEmbeddings"] = stats.embeddings.into();
        shown["numberOfEmbeddedDocuments"] = stats.embedded_documents.into();
        shown["fieldDistribution"] = json!(stats.field_distribution);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_asked() {
        let parse = |query: &str| View::read(url::form_urlencoded::parse(query.as_bytes()).into_owned());
        let human = parse("sizeFormat=human").unwrap();
        for (bytes, shown) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1_048_576, "1 MiB")] {
            assert_eq!(human.size(bytes), shown);
        }
        assert_eq!(parse("sizeFormat=raw").unwrap().size(1536), 1536);
        assert!(parse("showInternalDatabaseSizes=true").unwrap().internal_databases);
        for wrong in ["sizeFormat=Human", "showInternalDatabaseSizes=1", "size=human"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
