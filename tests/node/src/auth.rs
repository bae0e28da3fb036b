//! Who may call the node.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{ResponseError, Result};

/// What requests are checked against. Without a master key every route is open.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    master_key: Option<Arc<str>>,
}

impl Authentication {
    /// Asks for this master key, if there is one.
    pub fn new(master_key: Option<String>) -> Self {
        Self { master_key: master_key.filter(|key| !key.is_empty()).map(Into::into) }
    }

    fn check(&self, request: &Request) -> Result<()> {
        let Some(master_key) = &self.master_key else { return Ok(()) };
        let bearer = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match bearer {
            Some(key) if key.trim() == &**master_key => Ok(()),
            Some(_) => Err(ResponseError::new("invalid_api_key", "The provided API key is invalid.")),
            None => Err(ResponseError::new(
                "missing_authorization_header",
                "The Authorization header is missing. It must use the bearer authorization method.",
            )),
        }
    }
}

/// Lets only authenticated requests pass.
pub async fn authenticate(
    State(authentication): State<Authentication>,
    request: Request,
    next: Next,
) -> Result<Response> {
    authentication.check(&request)?;
    Ok(next.run(request).await)
}
