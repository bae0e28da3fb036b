//! `/render-template`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use miroir_core::error::no_quorum;
use miroir_core::shard::shard_of;
use serde_json::Value;

use super::request::ClientRequest;
use super::{Api, Failure};
use crate::aliases;
use crate::node_client::NodeClient;

pub fn routes() -> Router<Api> {
    Router::new().route("/render-template", post(render))
}

/// Passed on to a node as it came but for aliases, which checks the key too.
async fn render(State(api): State<Api>, mut request: ClientRequest) -> Result<Response, Failure> {
    let body = request.json();
    let document = body.as_ref().and_then(document);
    let mut resolved = body.clone();
    for part in ["template", "input"] {
        let part = resolved.as_mut().and_then(|body| body.get_mut(part));
        part.map_or(Ok(()), |part| aliases::put_index(&api.cluster, part))?;
    }
    if let Some(resolved) = resolved.filter(|resolved| Some(resolved) != body.as_ref()) {
        request.body = resolved.to_string().into();
    }
    for client in candidates(&api, document.as_deref()).await {
        let body = request.body.clone();
        let answer = client.pass_on(request.method.clone(), request.uri.path(), &request.headers, body).await;
        match answer {
            Ok((status, body)) if !status.is_server_error() => return Ok(answered(status, body)),
            Ok((status, _)) => tracing::warn!(%status, "a node did not render a template"),
            Err(error) => tracing::warn!(%error, "a node did not render a template"),
        }
    }
    Err(no_quorum("no node that holds the document could be reached").into())
}

/// The id of the document to be rendered, if it is one of an index.
fn document(body: &Value) -> Option<String> {
    let input = body.get("input").filter(|input| input["kind"] == "indexDocument")?;
    input["id"].as_str().map(str::to_owned)
}

/// The nodes that can render it: those that hold the document.
async fn candidates(api: &Api, document: Option<&str>) -> Vec<NodeClient> {
    let up = api.cluster.up_clients().await;
    let Some(id) = document else { return up.into_iter().map(|(_, client)| client).collect() };
    let table = api.cluster.table();
    let shard = shard_of(id, table.shards);
    let readers = table.groups.iter().flat_map(|group| table.readers(group, shard));
    let clean = readers.filter(|&&node| !table.is_stale(node, shard)).map(|&node| &table.nodes[node].id);
    clean.filter_map(|id| up.iter().find(|(node, _)| node == id)).map(|(_, client)| client.clone()).collect()
}

fn answered(status: StatusCode, body: Bytes) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_of_an_index_is_found_where_it_is() {
        let body = |kind: &str| json!({"input": {"kind": kind, "indexUid": "films", "id": "7"}});
        assert_eq!(document(&body("indexDocument")).as_deref(), Some("7"));
        assert_eq!(document(&body("inlineDocument")), None);
        assert_eq!(document(&json!({"template": {}})), None);
        assert_eq!(document(&json!([])), None);
    }
}
