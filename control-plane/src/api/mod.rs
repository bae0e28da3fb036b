//! The cold path of the Meilisearch API: what touches neither documents nor search; and the filter's own calls.

mod auth;
mod batches;
mod failure;
mod fields;
mod indexes;
mod internal;
mod request;
mod settings;
mod stats;
mod swap;
mod tasks;
mod unsupported;

pub use failure::Failure;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;

use crate::cluster::Cluster;
use auth::Keys;

/// What the handlers share.
#[derive(Clone)]
struct Api {
    cluster: Arc<Cluster>,
    keys: Arc<Keys>,
}

/// All routes of the Meilisearch API that the filter leaves to the control plane, and of the filter's own calls.
pub fn router(cluster: Arc<Cluster>) -> Router {
    let body_limit = DefaultBodyLimit::max(cluster.config.body_limit);
    let api = Api { cluster, keys: Arc::default() };
    Router::new()
        .merge(indexes::routes())
        .merge(settings::routes())
        .merge(swap::routes())
        .merge(fields::routes())
        .merge(tasks::routes())
        .merge(batches::routes())
        .merge(stats::routes())
        .merge(internal::routes())
        .merge(unsupported::routes())
        // As Meilisearch: without a body.
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(body_limit)
        .with_state(api)
}
