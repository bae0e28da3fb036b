//! Changes are made to their end once they have begun, whether or not whoever asked for them still waits: half of one would
//! leave nodes, or Envoys, at different states.

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use miroir_core::error::{ApiError, ErrorType};

use crate::api::Failure;

/// Serves a request to its end, if it is one that may change something.
pub async fn serve(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    tokio::spawn(next.run(request)).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not served");
        Failure::from(ApiError::new(500, "internal", ErrorType::Internal, error.to_string())).into_response()
    })
}
