//! What a client gets when it does not get what it asked for.

use std::fmt::Display;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use miroir_core::error::{ApiError, ErrorType, no_quorum};
use miroir_core::idempotency::key_in_use;
use serde_json::Value;
use tracing::error;

use crate::node_client::NodeError;
use crate::store::StoreError;

/// An error, in Meilisearch's shape.
#[derive(Debug)]
pub enum Failure {
    /// One of ours.
    Ours(ApiError),
    /// One of a node's, passed on as it is.
    OfNode {
        /// Its status.
        status: u16,
        /// Its body.
        body: Value,
    },
}

impl Failure {
    /// What is no fault of the client's, as Meilisearch says it; logged, too.
    pub fn internal(error: &impl Display) -> Failure {
        error!(%error, "a request failed");
        let message = format!("An internal error has occurred. `{error}`.");
        Failure::Ours(ApiError::new(500, "internal", ErrorType::Internal, message))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self {
            Failure::Ours(error) => {
                let mut response = (code(error.status), Json(&error)).into_response();
                if error.status == 503 || error.code == key_in_use().code {
                    response.headers_mut().insert("retry-after", 1.into());
                }
                response
            }
            Failure::OfNode { status, body } => (code(status), Json(body)).into_response(),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Ours(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        // Who repeats it gets the answer.
        if let StoreError::KeyUsed(_) = error {
            return key_in_use().into();
        }
        Failure::internal(&error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        match error {
            NodeError::Refused { status, body, .. } if (400..500).contains(&status) => {
                Failure::OfNode { status, body }
            }
            error => Failure::Ours(no_quorum(&error.to_string())),
        }
    }
}
