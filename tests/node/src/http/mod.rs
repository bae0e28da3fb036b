//! The HTTP routes.

mod batches;
mod documents;
pub mod faults;
mod indexes;
pub mod invalid;
mod keys;
pub mod request;
mod search;
mod settings;
mod system;
mod tasks;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, StatusCode, request::Parts};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::auth::authenticate;
use crate::error::{ResponseError, Result};
use crate::features::FeatureStore;
use crate::keys::store::Keys;
use crate::tasks::queue::Queue;
use crate::tasks::{Operation, view};

/// What the routes work with.
#[derive(Clone)]
struct Node {
    queue: Arc<Queue>,
    keys: Keys,
    features: Arc<FeatureStore>,
    payload_limit: usize,
}

/// The routes of the node.
pub fn router(queue: Arc<Queue>, keys: Keys, features: FeatureStore, payload_limit: usize) -> Router {
    Router::new()
        .route("/version", get(system::version))
        .route("/stats", get(system::stats))
        .route("/tasks", get(tasks::list).delete(tasks::delete))
        .route("/tasks/cancel", post(tasks::cancel))
        .route("/tasks/{uid}", get(tasks::get))
        .route("/batches", get(batches::list))
        .route("/batches/{uid}", get(batches::get))
        .route("/experimental-features", get(system::features).patch(system::change_features))
        .route("/dumps", post(system::dump))
        .route("/snapshots", post(system::snapshot))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{key}", get(keys::get).patch(keys::update).delete(keys::delete))
        .route("/indexes", get(indexes::list).post(indexes::create))
        .route("/indexes/{uid}", get(indexes::get).patch(indexes::update).delete(indexes::delete))
        .route("/indexes/{uid}/stats", get(system::index_stats))
        .route("/indexes/{uid}/fields", post(indexes::fields))
        .route("/indexes/{uid}/compact", post(indexes::compact))
        .route("/swap-indexes", post(indexes::swap))
        .route(
            "/indexes/{uid}/documents",
            get(documents::browse).post(documents::replace).put(documents::update).delete(documents::clear),
        )
        .route("/indexes/{uid}/documents/fetch", post(documents::fetch))
        .route("/indexes/{uid}/documents/delete-batch", post(documents::delete_batch))
        .route("/indexes/{uid}/documents/edit", post(documents::edit))
        .route("/indexes/{uid}/documents/delete", post(documents::delete_by_filter))
        .route("/indexes/{uid}/documents/{id}", get(documents::get).delete(documents::delete))
        .merge(settings::routes())
        .route("/indexes/{uid}/search", get(search::get).post(search::post))
        .route("/indexes/{uid}/facet-search", post(search::facet_search))
        .route("/indexes/{uid}/similar", get(search::similar_get).post(search::similar_post))
        .route("/multi-search", post(search::multi_search))
        .layer(from_fn_with_state(keys.clone(), authenticate))
        .route("/health", get(system::health))
        .layer(DefaultBodyLimit::disable())
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(Node { queue, keys, features: Arc::new(features), payload_limit })
}

impl Node {
    /// Runs something that reads or writes the disk, or takes long, where it holds nobody up.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Queue) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = Arc::clone(&self.queue);
        tokio::task::spawn_blocking(move || work(&queue)).await?
    }

    /// Takes a task in and answers with its summary.
    async fn enqueue(
        &self,
        operation: Operation,
        index_uid: Option<&str>,
        custom_metadata: Option<String>,
    ) -> Result<Response> {
        self.queue.faults.check(&operation)?;
        let index_uid = index_uid.map(String::from);
        let task = self.blocking(move |queue| queue.register(operation, index_uid, custom_metadata)).await?;
        Ok((StatusCode::ACCEPTED, Json(view::summary(&task))).into_response())
    }
}

/// A body and the headers that say what it is.
struct Payload {
    headers: HeaderMap,
    bytes: axum::body::Bytes,
}

impl FromRequest<Node> for Payload {
    type Rejection = ResponseError;

    async fn from_request(request: Request, node: &Node) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, node.payload_limit).await.map_err(|error| {
            // Which of the two it was shows only in the source of the error.
            let is_too_large = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit exceeded"));
            if is_too_large {
                let limit = readable(node.payload_limit);
                let message = format!(
                    "The provided payload reached the size limit. The maximum accepted payload size is {limit}."
                );
                ResponseError::new("payload_too_large", message)
            } else {
                ResponseError::new("bad_request", "The provided payload is incomplete and cannot be parsed")
            }
        })?;
        Ok(Self { headers: parts.headers, bytes })
    }
}

/// A size in the unit that suits it.
fn readable(bytes: usize) -> String {
    let (base, units) = if bytes.is_multiple_of(1024) {
        (1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
    } else {
        (1000.0, ["B", "KB", "MB", "GB", "TB"])
    };
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    format!("{size} {}", units[unit])
}

/// The index uid in the path, well formed.
struct IndexUid(String);

impl FromRequestParts<Node> for IndexUid {
    type Rejection = ResponseError;

    async fn from_request_parts(parts: &mut Parts, node: &Node) -> Result<Self> {
        let Path(variables) = Path::<Vec<(String, String)>>::from_request_parts(parts, node)
            .await
            .map_err(|error| ResponseError::new("bad_request", error.to_string()))?;
        let uid =
            variables.into_iter().find(|(name, _)| name == "uid").map(|(_, uid)| uid).unwrap_or_default();
        request::index_uid(&uid)?;
        Ok(Self(uid))
    }
}
