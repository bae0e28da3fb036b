//! `/keys…`.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::invalid::Domain;
use super::request::{self, Parameter};
use super::{Node, Payload};
use crate::error::Result;
use crate::keys::store::Keys;
use crate::keys::{KeyCreation, KeyUpdate};

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields)]
struct Window {
    #[deserr(default)]
    offset: usize,
    #[deserr(default = 20)]
    limit: usize,
}

pub async fn list(State(node): State<Node>, RawQuery(query): RawQuery) -> Result<Json<Value>> {
    const PARAMETERS: [(&str, Parameter); 2] =
        [("offset", Parameter::Integer), ("limit", Parameter::Integer)];

    let Window { offset, limit } = request::query(query.as_deref(), &PARAMETERS, Domain::Key)?;
    let page = with_keys(node, move |keys| {
        let all = keys.list()?;
        let page = all.iter().skip(offset).take(limit);
        let results: Vec<_> = page.map(|key| key.view(keys.master_key())).collect();
        Ok(json!({ "results": results, "offset": offset, "limit": limit, "total": all.len() }))
    });
    Ok(Json(page.await?))
}

pub async fn create(State(node): State<Node>, payload: Payload) -> Result<(StatusCode, Json<Value>)> {
    let creation: KeyCreation = request::body(&payload.headers, &payload.bytes, Domain::Key)?;
    let key = with_keys(node, |keys| Ok(keys.create(creation)?.view(keys.master_key()))).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

pub async fn get(State(node): State<Node>, Path(key): Path<String>) -> Result<Json<Value>> {
    Ok(Json(with_keys(node, move |keys| Ok(keys.find(&key)?.view(keys.master_key()))).await?))
}

pub async fn update(
    State(node): State<Node>,
    Path(key): Path<String>,
    payload: Payload,
) -> Result<Json<Value>> {
    let update: KeyUpdate = request::body(&payload.headers, &payload.bytes, Domain::Key)?;
    Ok(Json(with_keys(node, move |keys| Ok(keys.update(&key, update)?.view(keys.master_key()))).await?))
}

pub async fn delete(State(node): State<Node>, Path(key): Path<String>) -> Result<StatusCode> {
    with_keys(node, move |keys| keys.delete(&key)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn with_keys<T: Send + 'static>(
    node: Node,
    work: impl FnOnce(&Keys) -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(move || work(&node.keys)).await?
}
