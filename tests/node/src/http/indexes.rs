//! `/indexes`, `/indexes/{uid}` and `/swap-indexes`.

use std::collections::BTreeSet;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::{Extension, Json};
use deserr::ValuePointerRef;
use milli_core::Index;
use serde_json::{Value, json};

use super::invalid::{Body, Domain, Invalid, Reason};
use super::request::{self, Parameter, Uid};
use super::{IndexUid, Node, Payload};
use crate::auth::access::Access;
use crate::auth::invalid_key;
use crate::error::{ResponseError, Result};
use crate::tasks::{Operation, Swap, view};

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields)]
struct Window {
    #[deserr(default)]
    offset: usize,
    #[deserr(default = 20)]
    limit: usize,
}

#[derive(deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
struct Creation {
    uid: Uid,
    #[deserr(default)]
    primary_key: Option<String>,
}

#[derive(deserr::Deserr)]
#[deserr(error = Invalid<Body>, rename_all = camelCase, deny_unknown_fields = refuse)]
struct Update {
    #[deserr(default)]
    primary_key: Option<String>,
    #[deserr(default)]
    uid: Option<String>,
}

fn refuse(field: &str, accepted: &[&str], location: ValuePointerRef) -> Invalid<Body> {
    Invalid::unknown_field(&["createdAt", "updatedAt"], field, accepted, location)
}

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
struct SwapRequest {
    indexes: Vec<Uid>,
    #[deserr(default)]
    rename: bool,
}

pub async fn list(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>> {
    const PARAMETERS: [(&str, Parameter); 2] =
        [("offset", Parameter::Integer), ("limit", Parameter::Integer)];

    let Window { offset, limit } = request::query(query.as_deref(), &PARAMETERS, Domain::Index)?;
    node.blocking(move |queue| {
        let mut indexes = queue.store.indexes(&*queue.store.read()?)?;
        indexes.retain(|uid, _| access.covers(uid));
        let total = indexes.len();
        let page = indexes.into_iter().skip(offset).take(limit);
        let results: Result<Vec<_>> =
            page.map(|(uid, folder)| index_view(&uid, &queue.indexes.open(folder)?)).collect();
        Ok(Json(json!({ "results": results?, "offset": offset, "limit": limit, "total": total })))
    })
    .await
}

pub async fn create(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Result<Response> {
    let Creation { uid, primary_key } = request::body(&payload.headers, &payload.bytes, Domain::Index)?;
    if !access.may_create(&uid.0) {
        return Err(invalid_key());
    }
    node.enqueue(Operation::IndexCreation { primary_key }, Some(&uid.0), None).await
}

pub async fn get(State(node): State<Node>, IndexUid(uid): IndexUid) -> Result<Json<Value>> {
    node.blocking(move |queue| Ok(Json(index_view(&uid, &queue.index(&uid)?)?))).await
}

pub async fn update(State(node): State<Node>, IndexUid(uid): IndexUid, payload: Payload) -> Result<Response> {
    let Update { primary_key, uid: new_uid } =
        request::body(&payload.headers, &payload.bytes, Domain::Index)?;
    if let Some(new_uid) = &new_uid {
        request::index_uid(new_uid)?;
    }
    node.enqueue(Operation::IndexUpdate { primary_key, new_uid }, Some(&uid), None).await
}

pub async fn delete(State(node): State<Node>, IndexUid(uid): IndexUid) -> Result<Response> {
    node.enqueue(Operation::IndexDeletion, Some(&uid), None).await
}

pub async fn swap(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Result<Response> {
    let requests: Vec<SwapRequest> = request::body(&payload.headers, &payload.bytes, Domain::Swap)?;
    let mut swaps = Vec::with_capacity(requests.len());
    let mut seen = BTreeSet::new();
    let mut repeated = BTreeSet::new();
    for SwapRequest { indexes, rename } in requests {
        let uids: Vec<_> = indexes.into_iter().map(|uid| uid.0).collect();
        let [left, right] = uids.as_slice() else {
            let listed: Vec<_> = uids.iter().map(|uid| format!("\"{uid}\"")).collect();
            let message = format!(
                "Two indexes must be given for each swap. The list `[{}]` contains {} indexes.",
                listed.join(", "),
                uids.len()
            );
            return Err(ResponseError::new("invalid_swap_indexes", message));
        };
        if !access.covers(left) || !access.covers(right) {
            return Err(invalid_key());
        }
        for uid in [left, right] {
            if !seen.insert(uid.clone()) {
                repeated.insert(format!("`{uid}`"));
            }
        }
        swaps.push(Swap { indexes: (left.clone(), right.clone()), rename });
    }
    if !repeated.is_empty() {
        let was = if repeated.len() == 1 { "was" } else { "were" };
        let repeated: Vec<_> = repeated.into_iter().collect();
        let message = format!(
            "Indexes must be declared only once during a swap. {} {was} specified several times.",
            repeated.join(", ")
        );
        return Err(ResponseError::new("invalid_swap_duplicate_index_found", message));
    }
    node.enqueue(Operation::IndexSwap { swaps }, None, None).await
}

fn index_view(uid: &str, index: &Index) -> Result<Value> {
    let rtxn = index.read_txn()?;
    Ok(json!({
        "uid": uid,
        "createdAt": view::date(index.created_at(&rtxn)?),
        "updatedAt": view::date(index.updated_at(&rtxn)?),
        "primaryKey": index.primary_key(&rtxn)?,
    }))
}
