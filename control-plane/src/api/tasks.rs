//! `/tasks`, `/tasks/{uid}` and `/tasks/cancel`.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use miroir_core::error::{ApiError, ErrorType, is_index_uid};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::auth::{Access, action};
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::aliases;
use crate::store::{TaskQuery, TaskRecord, TaskStatus};
use crate::tasks::{on_tasks, view};

/// Every type of task that Meilisearch has.
const KINDS: [&str; 18] = [
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
    "indexCompaction",
    "networkTopologyChange",
    "dsrUpdate",
    "dsrClear",
];

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/tasks", get(get_many).delete(delete))
        .route("/tasks/cancel", post(cancel))
        .route("/tasks/{uid}", get(get_one))
}

/// A page of tasks, or of batches.
pub(super) struct Page {
    /// As the client sees them.
    pub results: Vec<Value>,
    /// The uid of the first.
    pub from: Option<u64>,
    /// How many there are in all.
    pub total: u64,
    /// The uid from which the next page begins.
    pub next: Option<u64>,
}

/// Lists what the client asked for and its key may see.
pub(super) async fn list<P: Future<Output = Result<Page, Failure>>>(
    api: Api,
    request: ClientRequest,
    read: fn(Api, TaskQuery) -> P,
) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&request.headers, action::TASKS_GET, None).await?;
    let Some(query) = query(request.parameters()) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let query = TaskQuery { visible_indexes: access.indexes, ..of_indexes(&api, query) };
    let page = read(api.clone(), query.clone()).await?;
    let total = match query.visible_indexes {
        None => page.total,
        // Meilisearch counts those too that a key doesn't see.
        Some(_) => read(api, TaskQuery { visible_indexes: None, limit: 0, ..query.clone() }).await?.total,
    };
    Ok(Json(json!({
        "results": page.results,
        "total": total,
        "limit": query.limit,
        "from": page.from,
        "next": page.next,
    })))
}

async fn get_many(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    list(api, request, read).await
}

async fn read(api: Api, query: TaskQuery) -> Result<Page, Failure> {
    let page = api.cluster.store.tasks(&query).await?;
    Ok(Page {
        results: page.tasks.iter().map(view::task).collect(),
        from: page.tasks.first().map(|task| task.uid),
        total: page.total,
        next: page.next,
    })
}

async fn get_one(
    State(api): State<Api>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&headers, action::TASKS_GET, None).await?;
    let Ok(number) = uid.parse::<u32>() else {
        let message = format!("Task uid `{uid}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(400, "invalid_task_uids", ErrorType::InvalidRequest, message).into());
    };
    let task = api.cluster.store.task(number.into()).await?;
    let visible = task.filter(|task| is_visible(task, &access));
    match visible {
        Some(task) => Ok(Json(view::task(&task))),
        None => {
            let message = format!("Task `{number}` not found.");
            Err(ApiError::new(404, "task_not_found", ErrorType::InvalidRequest, message).into())
        }
    }
}

pub(super) fn is_visible(task: &TaskRecord, access: &Access) -> bool {
    match &task.index_uid {
        Some(index) => access.covers(index),
        None => access.indexes.is_none(),
    }
}

async fn cancel(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    let (query, filter) = choice(&api, request, action::TASKS_CANCEL, "cancel").await?;
    Ok(Json(view::summary(&on_tasks::cancel(&api.cluster, &query, &filter).await?)))
}

async fn delete(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    let (query, filter) = choice(&api, request, action::TASKS_DELETE, "delete").await?;
    Ok(Json(view::summary(&on_tasks::delete(&api.cluster, &query, &filter).await?)))
}

/// Which tasks are to be canceled or deleted, and how the client chose them.
async fn choice(
    api: &Api,
    request: ClientRequest,
    action: &str,
    verb: &str,
) -> Result<(TaskQuery, String), Failure> {
    let access = api.authorize(&request.headers, action, None).await?;
    if request.parameters().next().is_none() {
        let message = format!(
            "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, \
             `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, \
             `beforeStartedAt`, `afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`."
        );
        return Err(ApiError::new(400, "missing_task_filters", ErrorType::InvalidRequest, message).into());
    }
    let is_page = |(name, _): (String, String)| ["limit", "from", "reverse"].contains(&&*name);
    let Some(query) = query(request.parameters()).filter(|_| !request.parameters().any(is_page)) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let filter = format!("?{}", request.uri.query().unwrap_or_default());
    Ok((TaskQuery { visible_indexes: access.indexes, ..of_indexes(api, query) }, filter))
}

/// The query with the indexes that aliases stand for in their place: tasks are of indexes.
fn of_indexes(api: &Api, query: TaskQuery) -> TaskQuery {
    let indexes =
        |named: Vec<String>| named.iter().flat_map(|name| aliases::indexes_of(&api.cluster, name)).collect();
    TaskQuery { index_uids: query.index_uids.map(indexes), ..query }
}

/// `None` if a parameter is wrong or unknown.
pub(super) fn query(parameters: impl Iterator<Item = (String, String)>) -> Option<TaskQuery> {
    let mut query = TaskQuery { limit: 20, ..TaskQuery::default() };
    let dates = &mut query.dates;
    for (name, value) in parameters {
        match name.as_str() {
            "limit" => query.limit = value.parse::<u32>().ok()? as usize,
            "from" => query.from = Some(value.parse::<u32>().ok()?.into()),
            "reverse" => query.reverse = value.parse().ok()?,
            "uids" => query.uids = list_of(&value, number)?,
            "batchUids" => query.batch_uids = list_of(&value, number)?,
            "canceledBy" => query.canceled_by = list_of(&value, number)?,
            "types" => query.types = list_of(&value, kind)?,
            "statuses" => query.statuses = list_of(&value, status)?,
            "indexUids" => {
                query.index_uids = list_of(&value, |uid| is_index_uid(uid).then(|| uid.to_owned()))?
            }
            "beforeEnqueuedAt" => dates.before_enqueued_at = date(&value, Duration::ZERO)?,
            "afterEnqueuedAt" => dates.after_enqueued_at = date(&value, Duration::DAY)?,
            "beforeStartedAt" => dates.before_started_at = date(&value, Duration::ZERO)?,
            "afterStartedAt" => dates.after_started_at = date(&value, Duration::DAY)?,
            "beforeFinishedAt" => dates.before_finished_at = date(&value, Duration::ZERO)?,
            "afterFinishedAt" => dates.after_finished_at = date(&value, Duration::DAY)?,
            _ => return None,
        }
    }
    Some(query)
}

/// A list of values, or `None` for `*`: all.
fn list_of<T>(value: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<Vec<T>>> {
    match value {
        "*" => Some(None),
        "" => Some(Some(Vec::new())),
        list => list.split(',').map(parse).collect::<Option<_>>().map(Some),
    }
}

fn number(value: &str) -> Option<u64> {
    value.parse::<u32>().ok().map(u64::from)
}

fn kind(value: &str) -> Option<String> {
    KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(value)).map(|kind| kind.to_string())
}

fn status(value: &str) -> Option<TaskStatus> {
    TaskStatus::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(value))
}

/// A date and time, or a day: the moment `into_day` after it begins. `None` inside for `*`: any.
fn date(value: &str, into_day: Duration) -> Option<Option<OffsetDateTime>> {
    if value == "*" {
        return Some(None);
    }
    if let Ok(date) = OffsetDateTime::parse(value, &Rfc3339) {
        return Some(Some(date));
    }
    let day = Date::parse(value, format_description!("[year]-[month]-[day]")).ok()?;
    let midnight = day.midnight().assume_utc();
    Some(Some(midnight.checked_add(into_day).unwrap_or(midnight)))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn parse(text: &str) -> Option<TaskQuery> {
        let parameters = url::form_urlencoded::parse(text.as_bytes()).into_owned();
        query(parameters)
    }

    #[test]
    fn filters_are_read_as_meilisearch_reads_them() {
        let query =
            parse("limit=2&from=7&reverse=true&uids=1,2&types=IndexCreation&statuses=failed,canceled")
                .unwrap();
        assert_eq!((query.limit, query.from, query.reverse), (2, Some(7), true));
        assert_eq!(query.uids, Some(vec![1, 2]));
        assert_eq!(query.types, Some(vec!["indexCreation".to_owned()]));
        assert_eq!(query.statuses, Some(vec![TaskStatus::Failed, TaskStatus::Canceled]));
        assert_eq!(parse("uids=*").unwrap().uids, None);
        assert_eq!(parse("uids=").unwrap().uids, Some(vec![]));
        assert_eq!(parse("batchUids=1,2").unwrap().batch_uids, Some(vec![1, 2]));
        assert_eq!(parse("").unwrap().limit, 20);
    }

    #[test]
    fn a_day_is_over_before_what_comes_after_it() {
        let query = parse("afterEnqueuedAt=2024-02-29&beforeStartedAt=2024-02-29").unwrap();
        assert_eq!(query.dates.after_enqueued_at, Some(datetime!(2024-03-01 00:00 UTC)));
        assert_eq!(query.dates.before_started_at, Some(datetime!(2024-02-29 00:00 UTC)));
        let query = parse("afterEnqueuedAt=2024-02-29T10:00:00%2B02:00").unwrap();
        assert_eq!(query.dates.after_enqueued_at, Some(datetime!(2024-02-29 08:00 UTC)));
    }

    #[test]
    fn what_is_wrong_or_unknown_is_refused() {
        for text in [
            "limit=x",
            "from=-1",
            "uids=1,x",
            "types=foo",
            "statuses=x",
            "indexUids=a!",
            "foo=1",
            "afterEnqueuedAt=yesterday",
            "reverse=1",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
