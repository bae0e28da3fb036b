//! `/dynamic-search-rules` and `/dynamic-search-rules/{uid}`.

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use miroir_core::error::is_index_uid;
use serde_json::Value;

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::aliases;
use crate::instance::rules::{self, Change};
use crate::tasks::view;

type Answer = Result<Json<Value>, Failure>;
type Accepted = Result<(StatusCode, Json<Value>), Failure>;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/dynamic-search-rules", post(list).delete(clear))
        .route("/dynamic-search-rules/{uid}", get(get_one).patch(update).delete(delete))
}

async fn list(State(api): State<Api>, request: ClientRequest) -> Answer {
    api.authorize(&request.headers, action::DYNAMIC_SEARCH_RULES_GET, None).await?;
    let Some(body) = request.json() else { return Err(request.refusal(&api.cluster).await) };
    Ok(Json(rules::read(&api.cluster, Method::POST, request.uri.path(), Some(&body)).await?))
}

async fn get_one(State(api): State<Api>, request: ClientRequest) -> Answer {
    api.authorize(&request.headers, action::DYNAMIC_SEARCH_RULES_GET, None).await?;
    Ok(Json(rules::read(&api.cluster, Method::GET, request.uri.path(), None).await?))
}

async fn update(State(api): State<Api>, Path(uid): Path<String>, request: ClientRequest) -> Accepted {
    api.authorize(&request.headers, action::DYNAMIC_SEARCH_RULES_UPDATE, None).await?;
    let Some(mut rule) = request.json().filter(|_| is_index_uid(&uid)) else {
        return Err(request.refusal(&api.cluster).await);
    };
    for action in rule.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
        action.get_mut("selector").map_or(Ok(()), |selector| aliases::put_index(&api.cluster, selector))?;
    }
    change(&api, Change::Update { uid: &uid, rule: &rule }, &request).await
}

async fn delete(State(api): State<Api>, Path(uid): Path<String>, request: ClientRequest) -> Accepted {
    api.authorize(&request.headers, action::DYNAMIC_SEARCH_RULES_DELETE, None).await?;
    if !is_index_uid(&uid) {
        return Err(request.refusal(&api.cluster).await);
    }
    change(&api, Change::Delete { uid: &uid }, &request).await
}

async fn clear(State(api): State<Api>, request: ClientRequest) -> Accepted {
    api.authorize(&request.headers, action::DYNAMIC_SEARCH_RULES_DELETE, None).await?;
    change(&api, Change::Clear, &request).await
}

async fn change(api: &Api, change: Change<'_>, request: &ClientRequest) -> Accepted {
    let query = request.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let task = rules::change(&api.cluster, change, &query).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}
