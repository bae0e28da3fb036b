//! The cold path of the Meilisearch API: what touches neither documents nor search; and the filter's own calls.

mod aliases;
mod auth;
mod awaiting;
mod backups;
mod batches;
mod failure;
mod features;
mod fields;
mod idempotency;
mod indexes;
mod internal;
mod keys;
mod origin;
mod render;
mod request;
mod rules;
mod settings;
mod stats;
mod swap;
mod tasks;
mod unsupported;
mod webhooks;

pub use failure::Failure;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::cluster::Cluster;
use crate::unbroken;
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
        .merge(keys::routes())
        .merge(features::routes())
        .merge(backups::routes())
        .merge(rules::routes())
        .merge(render::routes())
        .merge(webhooks::routes())
        .merge(aliases::routes())
        .merge(unsupported::routes())
        .route_layer(middleware::from_fn_with_state(api.clone(), origin::note))
        .route_layer(middleware::from_fn(unbroken::serve))
        .merge(internal::routes())
        .merge(awaiting::routes())
        .route_layer(middleware::from_fn(refuse_head))
        // As Meilisearch: without a body.
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(body_limit)
        .with_state(api)
}

/// Meilisearch takes `HEAD` nowhere, where axum takes it for `GET`.
async fn refuse_head(request: Request, next: Next) -> Response {
    match request.method() {
        &Method::HEAD => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => next.run(request).await,
    }
}
