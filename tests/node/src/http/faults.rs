//! `/test-faults`: not Meilisearch's, see [`crate::faults`].

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};

use crate::faults::Orders;
use crate::tasks::queue::Queue;

/// The route by which a test says what is to go wrong.
pub fn routes(queue: Arc<Queue>) -> Router {
    Router::new().route("/test-faults", put(order)).with_state(queue)
}

async fn order(State(queue): State<Arc<Queue>>, Json(orders): Json<Orders>) -> StatusCode {
    queue.faults.order(orders);
    StatusCode::NO_CONTENT
}
