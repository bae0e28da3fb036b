//! `/indexes/{uid}/documents…`.

use std::io::Write;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::{Extension, Json};
use milli_core::Object;
use serde_json::Value;
use uuid::Uuid;

use super::invalid::Domain;
use super::request::{self, Parameter};
use super::{IndexUid, Node, Payload};
use crate::auth::access::Access;
use crate::documents::payload::PayloadFormat;
use crate::documents::read::{
    self, BROWSE_PARAMETERS, BrowseRequest, DOCUMENT_PARAMETERS, DocumentRequest, Page,
};
use crate::error::{ResponseError, Result};
use crate::search::filter;
use crate::tasks::{AdditionMethod, Operation};

#[derive(deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
struct Addition {
    #[deserr(default)]
    primary_key: Option<String>,
    #[deserr(default)]
    csv_delimiter: Option<char>,
    #[deserr(default)]
    custom_metadata: Option<String>,
}

const ADDITION_PARAMETERS: [(&str, Parameter); 3] =
    [("primaryKey", Parameter::Text), ("csvDelimiter", Parameter::Text), ("customMetadata", Parameter::Text)];

#[derive(deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
struct Deletion {
    #[deserr(default)]
    custom_metadata: Option<String>,
}

const DELETION_PARAMETERS: [(&str, Parameter); 1] = [("customMetadata", Parameter::Text)];

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields)]
struct DeletionByFilter {
    filter: Value,
}

pub async fn browse(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>> {
    let request: BrowseRequest = request::query(query.as_deref(), &BROWSE_PARAMETERS, Domain::Document)?;
    node.blocking(move |queue| Ok(Json(read::browse(&queue.index(&uid)?, request)?))).await
}

pub async fn fetch(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    payload: Payload,
) -> Result<Json<Page>> {
    let request: BrowseRequest = request::body(&payload.headers, &payload.bytes, Domain::Document)?;
    node.blocking(move |queue| Ok(Json(read::browse(&queue.index(&uid)?, request)?))).await
}

pub async fn get(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Object>> {
    let request: DocumentRequest = request::query(query.as_deref(), &DOCUMENT_PARAMETERS, Domain::Document)?;
    node.blocking(move |queue| Ok(Json(read::document(&queue.index(&uid)?, &id, &request)?))).await
}

pub async fn replace(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
    payload: Payload,
) -> Result<Response> {
    add(node, uid, access, query, payload, AdditionMethod::Replace).await
}

pub async fn update(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
    payload: Payload,
) -> Result<Response> {
    add(node, uid, access, query, payload, AdditionMethod::Update).await
}

async fn add(
    node: Node,
    uid: String,
    access: Access,
    query: Option<String>,
    payload: Payload,
    method: AdditionMethod,
) -> Result<Response> {
    let Addition { primary_key, csv_delimiter, custom_metadata } =
        request::query(query.as_deref(), &ADDITION_PARAMETERS, Domain::Document)?;
    let format = PayloadFormat::of(&payload.headers, csv_delimiter)?;
    let (file, received) = node
        .blocking(move |queue| {
            let (documents, received) = format.read(&payload.bytes)?;
            let file = Uuid::new_v4();
            std::fs::File::create(queue.payload(file))?.write_all(&documents)?;
            Ok((file, received))
        })
        .await?;
    let may_create = access.may_create(&uid);
    let operation = Operation::DocumentAddition { method, payload: file, received, primary_key, may_create };
    node.enqueue(operation, Some(&uid), custom_metadata).await
}

pub async fn delete(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let Deletion { custom_metadata } =
        request::query(query.as_deref(), &DELETION_PARAMETERS, Domain::Document)?;
    node.enqueue(Operation::DocumentDeletion { ids: vec![id] }, Some(&uid), custom_metadata).await
}

pub async fn delete_batch(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    RawQuery(query): RawQuery,
    payload: Payload,
) -> Result<Response> {
    let Deletion { custom_metadata } =
        request::query(query.as_deref(), &DELETION_PARAMETERS, Domain::Document)?;
    let ids: Vec<Value> = request::json(&payload.headers, &payload.bytes)?;
    let ids = ids.into_iter().map(|id| match id {
        Value::String(id) => id,
        id => id.to_string(),
    });
    node.enqueue(Operation::DocumentDeletion { ids: ids.collect() }, Some(&uid), custom_metadata).await
}

pub async fn delete_by_filter(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    RawQuery(query): RawQuery,
    payload: Payload,
) -> Result<Response> {
    let Deletion { custom_metadata } =
        request::query(query.as_deref(), &DELETION_PARAMETERS, Domain::Document)?;
    let DeletionByFilter { filter } = request::body(&payload.headers, &payload.bytes, Domain::Document)?;
    if filter::parse(&filter, "invalid_document_filter")?.is_none() {
        return Err(ResponseError::new("invalid_document_filter", "Sending an empty filter is forbidden."));
    }
    node.enqueue(Operation::DocumentDeletionByFilter { filter }, Some(&uid), custom_metadata).await
}

pub async fn clear(
    State(node): State<Node>,
    IndexUid(uid): IndexUid,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let Deletion { custom_metadata } =
        request::query(query.as_deref(), &DELETION_PARAMETERS, Domain::Document)?;
    node.enqueue(Operation::DocumentClear, Some(&uid), custom_metadata).await
}
