//! `/indexes/{uid}/fields`.

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::indexes::fields::{self, FieldsQuery};
use crate::indexes::index_not_found;

pub fn routes() -> Router<Api> {
    Router::new().route("/indexes/{uid}/fields", post(list))
}

async fn list(
    State(api): State<Api>,
    Path(uid): Path<String>,
    request: ClientRequest,
) -> Result<Json<Value>, Failure> {
    let (_, uid) = api.authorize_index(&request.headers, action::FIELDS_POST, &uid).await?;
    let body = request.json().filter(Value::is_object);
    let query = body.and_then(|body| serde_json::from_value::<FieldsQuery>(body).ok());
    let Some(query) = query else { return Err(request.about(&uid).refusal(&api.cluster).await) };
    let index = api.cluster.store.index(&uid).await?.ok_or_else(|| index_not_found(&uid))?;
    let fields = fields::of_index(&api.cluster, &index).await?;
    let matching: Vec<Value> = fields.into_iter().filter(|field| query.matches(field)).collect();
    let total = matching.len();
    let results: Vec<Value> = matching.into_iter().skip(query.offset).take(query.limit).collect();
    Ok(Json(json!({"results": results, "offset": query.offset, "limit": query.limit, "total": total})))
}
