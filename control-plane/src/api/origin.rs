//! What a request says of the task that it makes, whatever its route: how it may be repeated, and whose it is.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use miroir_core::error::payload_too_large;
use miroir_core::idempotency::{Fingerprint, KEY_HEADER};
use miroir_core::session::SESSION_HEADER;

use super::idempotency::{self, Begun};
use super::{Api, Failure};
use crate::cluster::Cluster;
use crate::store::{Origin, SessionWrite};
use crate::tasks::{expiry, origin};

/// Notes it for the task, if one comes of the request.
pub async fn note(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let session = text(request.headers(), SESSION_HEADER).map(|id| session_write(&api.cluster, id));
    let Some(id) = text(request.headers(), KEY_HEADER).map(|key| idempotency::id(request.headers(), key))
    else {
        return origin::scope(Origin { idempotency: None, session }, next.run(request)).await;
    };
    // The filter has seen to it that it is not longer.
    let limit = api.cluster.config.body_limit;
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, limit).await else {
        return Failure::from(payload_too_large(limit)).into_response();
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let content_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let mut fingerprint = Fingerprint::new(head.method.as_str(), target, content_type);
    fingerprint.update(&body);
    let fingerprint = fingerprint.finish();
    let _claim = match idempotency::begin(&api.cluster, &id).await {
        Ok(Begun::Claimed(claim)) => claim,
        Ok(Begun::Answered(known)) => return idempotency::repeat(&known, &fingerprint),
        Err(failure) => return failure.into_response(),
    };
    let idempotency = Some(idempotency::used_key(&api.cluster, id, fingerprint));
    let request = Request::from_parts(head, Body::from(body));
    origin::scope(Origin { idempotency, session }, next.run(request)).await
}

/// What is to be saved of a session with a task.
pub fn session_write(cluster: &Cluster, id: &str) -> SessionWrite {
    SessionWrite { id: id.to_owned(), expires_at: expiry::after(cluster.config.sessions.ttl_ms) }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
