//! Who may call the node, and for what.

pub mod access;
mod routes;
mod tenant_token;

use axum::RequestExt;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use self::access::Access;
use crate::error::{ResponseError, Result};
use crate::keys::store::Keys;

/// Lets only those requests pass whose key allows them, and tells their handlers which indexes they may touch.
pub async fn authenticate(State(keys): State<Keys>, mut request: Request, next: Next) -> Result<Response> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let action = route.as_ref().and_then(|route| routes::action(request.method(), route.as_str()));
    if let Some(action) = action {
        let parameters = request.extract_parts::<RawPathParams>().await.ok();
        let index = parameters
            .as_ref()
            .filter(|_| route.is_some_and(|route| route.as_str().starts_with("/indexes/")))
            .and_then(|parameters| parameters.iter().find(|(name, _)| *name == "uid"))
            .map(|(_, uid)| uid);
        let access = keys.authorize(request.headers(), action, index)?;
        request.extensions_mut().insert(access);
    }
    Ok(next.run(request).await)
}

impl Keys {
    fn authorize(&self, headers: &HeaderMap, action: &str, index: Option<&str>) -> Result<Access> {
        let token = bearer(headers)?;
        let is_about_keys = action.starts_with("keys.");
        let Some(master_key) = self.master_key() else {
            return if is_about_keys { Err(missing_master_key()) } else { Ok(Access::all()) };
        };
        let Some(token) = token else { return Err(missing_header()) };
        if token == master_key {
            return Ok(Access::all());
        }

        // Tenant tokens are for searches alone.
        let tenant = if action == "search" { tenant_token::read(token, master_key)? } else { None };
        let (key, rules) = match tenant {
            Some((uid, rules)) => (self.get(uid)?, Some(rules)),
            None => (self.with_value(token)?, None),
        };
        let key = key.ok_or_else(invalid_key)?;
        let access = Access::of(&key, rules);
        if let Some(index) = index {
            access.check(index)?;
        }
        if key.allows(action, index) { Ok(access) } else { Err(invalid_key()) }
    }
}

/// The token that a request carries.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let header = header.to_str().unwrap_or_default();
    match header.split_once(' ') {
        Some(("Bearer", token)) => Ok(Some(token)),
        None if header == "Bearer" => Err(invalid_key()),
        _ => Err(missing_header()),
    }
}

/// The key is none, or none for this.
pub fn invalid_key() -> ResponseError {
    ResponseError::new("invalid_api_key", "The provided API key is invalid.")
}

fn missing_header() -> ResponseError {
    ResponseError::new(
        "missing_authorization_header",
        "The Authorization header is missing. It must use the bearer authorization method.",
    )
}

fn missing_master_key() -> ResponseError {
    ResponseError::new(
        "missing_master_key",
        "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at \
         launch.",
    )
}
