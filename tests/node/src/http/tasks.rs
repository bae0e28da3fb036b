//! `/tasks…`.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::Node;
use super::invalid::Domain;
use super::request::{self, Parameter};
use crate::auth::access::Access;
use crate::error::{ResponseError, Result};
use crate::tasks::filter::{FILTER_PARAMETERS, TaskFilter};
use crate::tasks::{Operation, TaskId, view};

#[derive(deserr::Deserr)]
#[deserr(deny_unknown_fields)]
struct Window {
    #[deserr(default = 20)]
    limit: u32,
    #[deserr(default)]
    from: Option<TaskId>,
    #[deserr(default)]
    reverse: bool,
}

const WINDOW_PARAMETERS: [(&str, Parameter); 3] =
    [("limit", Parameter::Integer), ("from", Parameter::Integer), ("reverse", Parameter::Boolean)];

pub async fn list(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>> {
    let known: Vec<_> = WINDOW_PARAMETERS.into_iter().chain(FILTER_PARAMETERS).collect();
    let mut filter = request::parameters(query.as_deref(), &known, Domain::Task)?;
    let mut window = Map::new();
    for (name, _) in WINDOW_PARAMETERS {
        window.extend(filter.remove(name).map(|value| (name.to_string(), value)));
    }
    let Window { limit, from, reverse } = request::from_parameters(window, Domain::Task)?;
    let filter: TaskFilter = request::from_parameters(filter, Domain::Task)?;

    node.blocking(move |queue| {
        let mut tasks = queue.tasks()?;
        // Meilisearch counts what it then does not show.
        let total = tasks.iter().filter(|task| filter.matches(task)).count();
        tasks.retain(|task| filter.shows(task, &access));
        if !reverse {
            tasks.reverse();
        }
        let is_in_window =
            |uid: TaskId| from.is_none_or(|from| if reverse { uid >= from } else { uid <= from });
        let mut tasks = tasks.iter().filter(|task| is_in_window(task.uid));
        let results: Vec<_> = tasks.by_ref().take(limit as usize).map(view::task).collect();
        let from = results.first().map(|task| task["uid"].clone());
        let next = tasks.next().map(|task| task.uid);
        Ok(Json(json!({ "results": results, "total": total, "limit": limit, "from": from, "next": next })))
    })
    .await
}

pub async fn get(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    Path(uid): Path<String>,
) -> Result<Json<Value>> {
    let uid: TaskId = uid.parse().map_err(|_| {
        let message = format!("Task uid `{uid}` is invalid. It should only contain numeric characters.");
        ResponseError::new("invalid_task_uids", message)
    })?;
    let task = node.blocking(move |queue| queue.task(uid)).await?;
    let task = task.filter(|task| TaskFilter::default().shows(task, &access));
    let task =
        task.ok_or_else(|| ResponseError::new("task_not_found", format!("Task `{uid}` not found.")))?;
    Ok(Json(view::task(&task)))
}

pub async fn cancel(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let (query, tasks) = choose(&node, &access, query, "cancel").await?;
    enqueue(&node, Operation::TaskCancelation { query, tasks }).await
}

pub async fn delete(
    State(node): State<Node>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let (query, tasks) = choose(&node, &access, query, "delete").await?;
    enqueue(&node, Operation::TaskDeletion { query, tasks }).await
}

/// Meilisearch answers these two with 200.
async fn enqueue(node: &Node, operation: Operation) -> Result<Response> {
    let mut response = node.enqueue(operation, None, None).await?.into_response();
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

/// The tasks that the query string means, which has to mean some in particular.
async fn choose(
    node: &Node,
    access: &Access,
    query: Option<String>,
    action: &str,
) -> Result<(String, Vec<TaskId>)> {
    let parameters = request::parameters(query.as_deref(), &FILTER_PARAMETERS, Domain::Task)?;
    if parameters.is_empty() {
        let message = format!(
            "Query parameters to filter the tasks to {action} are missing. Available query parameters are: `uids`, \
             `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, \
             `beforeStartedAt`, `afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`."
        );
        return Err(ResponseError::new("missing_task_filters", message));
    }
    let filter: TaskFilter = request::from_parameters(parameters, Domain::Task)?;
    let tasks = node.blocking(|queue| queue.tasks()).await?;
    let tasks = tasks.iter().filter(|task| filter.shows(task, access)).map(|task| task.uid).collect();
    Ok((format!("?{}", query.unwrap_or_default()), tasks))
}
