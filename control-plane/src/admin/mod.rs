//! The REST API for operators, on its own port.

mod auth;
mod metrics;
mod openapi;
mod ready;
mod reply;
mod shards;
mod tasks;
mod topology;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use miroir_core::error::{ApiError, ErrorType};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::xds::Snapshot;
use reply::Refused;

/// What the REST API tells of.
#[derive(Clone)]
pub struct Admin {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// What Envoys are told; `None` before the first time.
    pub snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// All routes.
pub fn router(admin: Admin) -> Router {
    metrics::install();
    let for_operators = Router::new()
        .route("/_miroir/topology", get(topology::topology))
        .route("/_miroir/shards", get(shards::shards))
        .route("/_miroir/tasks/{uid}", get(tasks::task))
        .route_layer(from_fn_with_state(admin.clone(), auth::require_admin_key));
    let open = Router::new()
        .route("/_miroir/ready", get(ready::ready))
        .route("/_miroir/openapi.json", get(openapi::openapi))
        .route("/metrics", get(metrics::metrics));
    for_operators
        .merge(open)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(admin)
}

async fn unknown_route(request: Request) -> Refused {
    let message =
        format!("There is no {}: see /_miroir/openapi.json for what there is.", request.uri().path());
    Refused(ApiError::new(404, "not_found", ErrorType::InvalidRequest, message))
}

async fn wrong_method(request: Request) -> Refused {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} does not take {method}: see /_miroir/openapi.json for what it takes.");
    Refused(ApiError::new(405, "method_not_allowed", ErrorType::InvalidRequest, message))
}
