//! What reads wait for: see [`miroir_core::fresh`].

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use miroir_core::alias;
use miroir_core::control::{AWAIT_PATH, Await, AwaitSettings, Awaited};
use miroir_core::fresh::settings_version_stale;
use miroir_core::table::RoutingTable;

use super::internal::{check_token, parse};
use super::{Api, Failure};
use crate::cluster::Cluster;
use crate::store::StoreError;
use crate::tasks::session;

/// Who asks again because its routing table was too old gets its answer after so long: by then it may have the table.
const AGAIN: Duration = Duration::from_millis(10);

pub fn routes() -> Router<Api> {
    Router::new().route(AWAIT_PATH, post(answer))
}

async fn answer(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Result<Json<Awaited>, Failure> {
    let cluster = &api.cluster;
    check_token(cluster, &headers)?;
    let question: Await = parse(&body)?;
    let longest = patience(cluster);
    let patience = question.left_ms.map_or(longest, |left| Duration::from_millis(left).min(longest));
    let deadline = Instant::now() + patience;
    if question.left_ms.is_some() {
        tokio::time::sleep(AGAIN.min(patience)).await;
    }
    let mut awaited = Awaited::default();
    if let Some(id) = &question.session
        && let Some(session) = session::wait(cluster, id, deadline).await?
    {
        awaited.table = cluster.restricting_table();
        awaited.last_task = Some(session.last);
        awaited.behind = session.unfinished.first().copied();
    }
    if let Some(wanted) = &question.settings {
        awaited.settings_version = wait_for_settings(cluster, wanted, deadline).await?;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    awaited.left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(awaited))
}

/// How long a read waits.
fn patience(cluster: &Cluster) -> Duration {
    cluster.config.wait(Duration::from_millis(cluster.config.sessions.wait_ms))
}

/// Waits until the settings of an index have a version.
///
/// # Errors
/// `miroir_settings_version_stale` if that takes too long.
pub async fn settings_of_version(cluster: &Cluster, index: &str, version: u64) -> Result<(), Failure> {
    let wanted = AwaitSettings { index: index.to_owned(), version };
    let deadline = Instant::now() + patience(cluster);
    match wait_for_settings(cluster, &wanted, deadline).await? {
        Some(version) if version < wanted.version => Err(settings_version_stale(&wanted, version).into()),
        _ => Ok(()),
    }
}

/// Waits until the settings of an index have a version. Returns what they have then; `None` if there is no such index.
async fn wait_for_settings(
    cluster: &Cluster,
    wanted: &AwaitSettings,
    deadline: Instant,
) -> Result<Option<u64>, StoreError> {
    let uid = alias::index(&cluster.table(), &wanted.index).map(str::to_owned);
    let Some(uid) = uid else { return Ok(None) };
    if cluster.store.index(&uid).await?.is_none() {
        return Ok(None);
    }
    let version = |table: &RoutingTable| {
        let uid = alias::index(table, &wanted.index).unwrap_or_default();
        table.indexes.get(uid).map_or(0, |facts| facts.settings_version)
    };
    let mut tables = cluster.subscribe();
    let is_there = tables.wait_for(|table| version(table) >= wanted.version);
    // Late or not, it is told how far they are.
    let _ = tokio::time::timeout_at(deadline.into(), is_there).await;
    Ok(Some(version(&cluster.table())))
}
