//! `/webhooks` and `/webhooks/{uuid}`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::webhooks::{self, Change, parse_uuid, shown};

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/webhooks", get(list).post(create))
        .route("/webhooks/{uuid}", get(get_one).patch(update).delete(delete))
}

async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    api.authorize(&headers, action::WEBHOOKS_GET, None).await?;
    let webhooks = api.cluster.store.webhooks().await?;
    let results: Vec<Value> = webhooks.iter().map(|(&uuid, webhook)| shown(uuid, webhook)).collect();
    Ok(Json(json!({"results": results})))
}

async fn create(
    State(api): State<Api>,
    request: ClientRequest,
) -> Result<(StatusCode, Json<Value>), Failure> {
    api.authorize(&request.headers, action::WEBHOOKS_CREATE, None).await?;
    let Some(change) = read(&request) else { return Err(refusal(request, &api).await) };
    let (uuid, webhook) = webhooks::create(&api.cluster, change).await?;
    Ok((StatusCode::CREATED, Json(shown(uuid, &webhook))))
}

async fn get_one(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    api.authorize(&headers, action::WEBHOOKS_GET, None).await?;
    let uuid = parse_uuid(&uuid)?;
    Ok(Json(shown(uuid, &webhooks::find(&api.cluster, uuid).await?)))
}

async fn update(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    request: ClientRequest,
) -> Result<Json<Value>, Failure> {
    api.authorize(&request.headers, action::WEBHOOKS_UPDATE, None).await?;
    let Some(change) = read(&request) else { return Err(refusal(request, &api).await) };
    let uuid = parse_uuid(&uuid)?;
    Ok(Json(shown(uuid, &webhooks::update(&api.cluster, uuid, change).await?)))
}

async fn delete(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    api.authorize(&headers, action::WEBHOOKS_DELETE, None).await?;
    webhooks::delete(&api.cluster, parse_uuid(&uuid)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(request: &ClientRequest) -> Option<Change> {
    request.json().and_then(|body| Change::read(&body))
}

/// A node's own words about a body that Meilisearch does not take. It is asked to change a webhook that it does not
/// have, lest it register one.
async fn refusal(mut request: ClientRequest, api: &Api) -> Failure {
    request.method = Method::PATCH;
    request.uri = format!("/webhooks/{}", Uuid::new_v4()).parse().unwrap_or(Uri::from_static("/webhooks/-"));
    request.refusal(&api.cluster).await
}
