//! `/batches…`.

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Node;
use super::tasks::{Window, filter_and_window};
use crate::auth::access::Access;
use crate::error::{ResponseError, Result};
use crate::tasks::batches;
use crate::tasks::filter::TaskFilter;

pub async fn list(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>> {
    let (filter, Window { limit, from, reverse }) = filter_and_window(query.as_deref())?;
    node.blocking(move |queue| {
        let mut batches = batches::group(queue.tasks()?);
        // Meilisearch counts what it then does not show.
        let total = batches.values().filter(|tasks| tasks.iter().any(|task| filter.matches(task))).count();
        batches.retain(|_, tasks| tasks.iter().any(|task| filter.shows(task, &access)));
        let is_in_window =
            |uid: &u32| from.is_none_or(|from| if reverse { *uid >= from } else { *uid <= from });
        let mut uids: Vec<_> = batches.keys().copied().filter(is_in_window).collect();
        if !reverse {
            uids.reverse();
        }
        let next = uids.get(limit as usize).copied();
        uids.truncate(limit as usize);
        let results: Vec<_> = uids.iter().map(|uid| batches::batch(*uid, &batches[uid])).collect();
        let from = uids.first();
        Ok(Json(json!({ "results": results, "total": total, "limit": limit, "from": from, "next": next })))
    })
    .await
}

pub async fn get(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    Path(uid): Path<String>,
) -> Result<Json<Value>> {
    let uid: u32 = uid.parse().map_err(|_| {
        let message = format!("Batch uid `{uid}` is invalid. It should only contain numeric characters.");
        ResponseError::new("invalid_batch_uids", message)
    })?;
    let batch = node.blocking(move |queue| Ok(batches::group(queue.tasks()?).remove(&uid))).await?;
    let is_shown = |tasks: &Vec<_>| tasks.iter().any(|task| TaskFilter::default().shows(task, &access));
    let tasks = batch
        .filter(is_shown)
        .ok_or_else(|| ResponseError::new("batch_not_found", format!("Batch `{uid}` not found.")))?;
    Ok(Json(batches::batch(uid, &tasks)))
}
