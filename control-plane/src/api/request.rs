//! A client's request, and the words in which Meilisearch refuses a wrong one.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use miroir_core::alias::about;
use miroir_core::error::{ApiError, ErrorType, invalid_index_uid, is_index_uid};
use miroir_core::exchange::RequestHead;
use serde_json::Value;

use super::Failure;
use crate::cluster::Cluster;

/// A request as it came.
pub struct ClientRequest {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for ClientRequest {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<ClientRequest, Response> {
        let (method, uri, headers) =
            (request.method().clone(), request.uri().clone(), request.headers().clone());
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(ClientRequest { method, uri, headers, body })
    }
}

impl ClientRequest {
    /// The body, if it is JSON and says so.
    pub fn json(&self) -> Option<Value> {
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }

    /// The parameters of the query.
    pub fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        let query = self.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
    }

    /// The same request about an index of this uid. Its path must be one under `/indexes/{uid}`.
    pub fn about(mut self, uid: &str) -> ClientRequest {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let head = about(RequestHead { target, ..RequestHead::default() }, uid);
        self.uri = head.target.parse().unwrap_or(self.uri);
        self
    }

    /// What to answer to this request, which we know to be one that Meilisearch refuses: a node's own words.
    pub async fn refusal(self, cluster: &Cluster) -> Failure {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let content_type = self.headers.get(CONTENT_TYPE);
        for client in cluster.members().clients.values() {
            let answer = client.forward(self.method.clone(), path, content_type, self.body.clone()).await;
            let Ok((status, body)) = answer else { continue };
            if let (true, Ok(body)) = (status.is_client_error(), serde_json::from_slice(&body)) {
                return Failure::OfNode { status: status.as_u16(), body };
            }
            break;
        }
        let message = "The request is not one that Meilisearch takes.";
        ApiError::new(400, "bad_request", ErrorType::InvalidRequest, message).into()
    }
}

/// Refuses what can't be the uid of an index.
pub fn check_index_uid(uid: &str) -> Result<(), Failure> {
    match is_index_uid(uid) {
        true => Ok(()),
        false => Err(invalid_index_uid(uid).into()),
    }
}
