//! The REST API for operators, on its own port.

mod adopt;
mod aliases;
mod anti_entropy;
mod auth;
mod changes;
pub mod metrics;
mod openapi;
mod ready;
mod rebalance;
mod reply;
mod shards;
mod tasks;
mod topology;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post};
use miroir_core::error::{ApiError, ErrorType};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::unbroken;
use crate::xds::Snapshot;
pub use reply::Refused;

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
        .route("/_miroir/topology", get(topology::topology).patch(changes::update_topology))
        .route("/_miroir/shards", get(shards::shards))
        .route("/_miroir/nodes", post(changes::add_node))
        .route("/_miroir/nodes/{id}", patch(changes::update_node).delete(changes::remove_node))
        .route("/_miroir/nodes/{id}/drain", post(changes::drain_node))
        .route("/_miroir/nodes/{id}/replace", post(changes::replace_node))
        .route("/_miroir/nodes/{id}/trust", post(changes::trust_node))
        .route("/_miroir/groups", post(changes::add_group))
        .route("/_miroir/groups/{id}", delete(changes::remove_group))
        .route("/_miroir/rebalance", get(rebalance::status).post(changes::rebalance))
        .route("/_miroir/rebalance/pause", post(rebalance::pause))
        .route("/_miroir/rebalance/resume", post(rebalance::resume))
        .route("/_miroir/rebalance/cancel", post(rebalance::cancel))
        .route("/_miroir/indexes/adopt", post(adopt::all))
        .route("/_miroir/indexes/{uid}/adopt", post(adopt::one))
        .route("/_miroir/aliases", get(aliases::list))
        .route("/_miroir/aliases/{name}", get(aliases::one).put(aliases::set).delete(aliases::remove))
        .route("/_miroir/aliases/{name}/rollback", post(aliases::roll_back))
        .route("/_miroir/anti-entropy", get(anti_entropy::report).post(anti_entropy::begin))
        .route("/_miroir/tasks/{uid}", get(tasks::task))
        .route_layer(from_fn(unbroken::serve))
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
