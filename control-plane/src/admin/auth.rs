//! Who may use the REST API: whoever has the admin key.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use miroir_core::error::{ApiError, ErrorType};
use subtle::ConstantTimeEq;

use super::Admin;
use super::reply::Refused;

/// Lets only requests with the admin key pass.
pub async fn require_admin_key(
    State(admin): State<Admin>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(refused(
            401,
            "missing_authorization_header",
            "The Authorization header is missing. It must use the bearer authorization method, with the admin key.",
        ));
    };
    let key = header.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
    let admin_key = admin.cluster.config.admin_key.expose().as_bytes();
    if !bool::from(key.ct_eq(admin_key)) {
        return Err(refused(
            403,
            "invalid_api_key",
            "The provided API key is invalid: it must be the admin key.",
        ));
    }
    Ok(next.run(request).await)
}

fn refused(status: u16, code: &'static str, message: &str) -> Refused {
    Refused(ApiError::new(status, code, ErrorType::Auth, message))
}
