//! Changes are made to their end once they have begun, whether or not whoever asked for them still waits: half of one would
//! leave nodes, or Envoys, at different states.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Failure;

/// Serves a request to its end, if it is one that may change something.
pub async fn serve(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let served = tokio::spawn(next.run(request)).await;
    served.unwrap_or_else(|error| Failure::internal(&error).into_response())
}
