//! `/indexes/{uid}/search`, `/indexes/{uid}/facet-search` and `/multi-search`.

use std::convert::Infallible;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, ValuePointerRef, take_cf_content};
use serde_json::{Value, json};
use uuid::Uuid;

use super::invalid::{Body, Domain, Invalid};
use super::request::{self, Uid};
use super::{IndexUid, Node, Payload};
use crate::auth::access::Access;
use crate::auth::invalid_key;
use crate::error::{ResponseError, Result};
use crate::search::facet_search::{self, FacetSearchRequest, FacetSearchResponse};
use crate::search::query::{self, Context, SearchResponse};
use crate::search::request::SearchRequest;

pub async fn get(
    State(node): State<Node>,
    uid: IndexUid,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<SearchResponse>> {
    search(node, uid, access, SearchRequest::from_query(query.as_deref())?, &headers).await
}

pub async fn post(
    State(node): State<Node>,
    uid: IndexUid,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Result<Json<SearchResponse>> {
    let request = request::body(&payload.headers, &payload.bytes, Domain::Search)?;
    search(node, uid, access, request, &payload.headers).await
}

async fn search(
    node: Node,
    IndexUid(uid): IndexUid,
    access: Access,
    mut request: SearchRequest,
    headers: &HeaderMap,
) -> Result<Json<SearchResponse>> {
    access.restrict(&uid, &mut request.filter);
    let context = context(headers);
    node.blocking(move |queue| Ok(Json(query::search(&uid, &queue.index(&uid)?, &request, context)?))).await
}

pub async fn facet_search(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Result<Json<FacetSearchResponse>> {
    let mut request: FacetSearchRequest =
        request::body(&payload.headers, &payload.bytes, Domain::FacetSearch)?;
    access.restrict(&uid, &mut request.filter);
    node.blocking(move |queue| Ok(Json(facet_search::search(&queue.index(&uid)?, request)?))).await
}

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields)]
struct MultiSearch {
    queries: Vec<Value>,
    #[deserr(default)]
    federation: Option<Value>,
}

pub async fn multi_search(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Response {
    match search_many(node, access, payload).await {
        Ok(results) => results.into_response(),
        // An index that is not there makes the request a bad one here.
        Err(error) if error.code == "index_not_found" => {
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn search_many(node: Node, access: Access, payload: Payload) -> Result<Json<Value>> {
    let request: MultiSearch = request::body(&payload.headers, &payload.bytes, Domain::Search)?;
    if request.federation.is_some() {
        let message = "This node does not serve federated searches.";
        return Err(ResponseError::new("feature_not_enabled", message));
    }
    let mut queries: Vec<_> = request
        .queries
        .into_iter()
        .enumerate()
        .map(|(number, query)| sub_query(number, query))
        .collect::<Result<_, _>>()
        .map_err(|invalid| invalid.into_error(Domain::Search))?;
    for (number, (uid, request)) in queries.iter_mut().enumerate() {
        if !access.covers(uid) {
            return Err(invalid_key().inside(&format!(".queries[{number}]")));
        }
        access.restrict(uid, &mut request.filter);
    }
    let context = context(&payload.headers);
    node.blocking(move |queue| {
        let mut results = Vec::with_capacity(queries.len());
        for (number, (uid, request)) in queries.into_iter().enumerate() {
            let result = queue.index(&uid).and_then(|index| query::search(&uid, &index, &request, context));
            let result = result.map_err(|error| error.inside(&format!(".queries[{number}]")))?;
            let mut view = json!({ "indexUid": uid });
            if let (Value::Object(view), Value::Object(result)) = (&mut view, serde_json::to_value(result)?) {
                view.extend(result);
            }
            results.push(view);
        }
        Ok(Json(json!({ "results": results })))
    })
    .await
}

/// Takes the index uid out of a query of a multi-search; what is left is a search.
fn sub_query(number: usize, mut query: Value) -> Result<(String, SearchRequest), Invalid<Body>> {
    let queries = ValuePointerRef::Origin.push_key("queries");
    let location = queries.push_index(number);
    let Some(uid) = query.as_object_mut().and_then(|query| query.remove("indexUid")) else {
        let missing = ErrorKind::MissingField { field: "indexUid" };
        return Err(take_cf_content(Invalid::error::<Infallible>(None, missing, location)));
    };
    let Uid(uid) = Deserr::deserialize_from_value(uid.into_value(), location.push_key("indexUid"))?;
    Ok((uid, Deserr::deserialize_from_value(query.into_value(), location)?))
}

fn context(headers: &HeaderMap) -> Context {
    let asked = headers.get("Meili-Include-Metadata").and_then(|value| value.to_str().ok());
    let with_metadata = asked.is_some_and(|asked| asked == "1" || asked.eq_ignore_ascii_case("true"));
    Context { request_uid: Uuid::now_v7(), with_metadata }
}
