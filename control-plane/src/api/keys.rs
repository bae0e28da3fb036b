//! `/keys` and `/keys/{key}`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::auth::action;
use super::indexes::{Window, window};
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::keys::{self, Description};
use crate::store::KeyRecord;
use crate::tasks::view;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/keys", get(list).post(create))
        .route("/keys/{key}", get(get_one).patch(update).delete(delete))
}

async fn list(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    api.authorize(&request.headers, action::KEYS_GET, None).await?;
    let Some(Window { offset, limit }) = window(request.parameters()) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let keys = api.cluster.store.keys().await?;
    let page = keys.iter().skip(offset).take(limit);
    let results: Vec<Value> = page.map(|key| shown(&api, key)).collect();
    Ok(Json(json!({"results": results, "offset": offset, "limit": limit, "total": keys.len()})))
}

async fn create(
    State(api): State<Api>,
    request: ClientRequest,
) -> Result<(StatusCode, Json<Value>), Failure> {
    api.authorize(&request.headers, action::KEYS_CREATE, None).await?;
    let Some(body) = request.json() else { return Err(request.refusal(&api.cluster).await) };
    let key = keys::create(&api.cluster, body).await?;
    Ok((StatusCode::CREATED, Json(shown(&api, &key))))
}

async fn get_one(
    State(api): State<Api>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    api.authorize(&headers, action::KEYS_GET, None).await?;
    let key = keys::find(&api.cluster, &key).await?;
    Ok(Json(shown(&api, &key)))
}

async fn update(
    State(api): State<Api>,
    Path(key): Path<String>,
    request: ClientRequest,
) -> Result<Json<Value>, Failure> {
    api.authorize(&request.headers, action::KEYS_UPDATE, None).await?;
    let Some(change) = request.json().and_then(|body| description(&body)) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let key = keys::describe(&api.cluster, &key, change).await?;
    Ok(Json(shown(&api, &key)))
}

async fn delete(
    State(api): State<Api>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    api.authorize(&headers, action::KEYS_DELETE, None).await?;
    keys::delete(&api.cluster, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `None` if the body is not one that Meilisearch takes: nothing else of a key can change.
fn description(body: &Value) -> Option<Description> {
    let mut change = Description::default();
    for (name, value) in body.as_object()? {
        let value = serde_json::from_value(value.clone()).ok()?;
        match name.as_str() {
            "name" => change.name = Some(value),
            "description" => change.description = Some(value),
            _ => return None,
        }
    }
    Some(change)
}

fn shown(api: &Api, key: &KeyRecord) -> Value {
    let date = |date: OffsetDateTime| view::rfc_3339(date);
    json!({
        "name": key.name,
        "description": key.description,
        "key": keys::value(api.cluster.config.master_key.expose(), key.uid),
        "uid": key.uid,
        "actions": key.actions,
        "indexes": key.indexes,
        "expiresAt": key.expires_at.map(date),
        "createdAt": date(key.created_at),
        "updatedAt": date(key.updated_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_and_description_can_change() {
        let removed = Description { name: Some(None), description: None };
        assert_eq!(description(&json!({"name": null})), Some(removed));
        let both = Description { name: Some(Some("a".into())), description: Some(Some("b".into())) };
        assert_eq!(description(&json!({"name": "a", "description": "b"})), Some(both));
        assert_eq!(description(&json!({})), Some(Description::default()));
        for wrong in [json!({"actions": ["*"]}), json!({"name": 1}), json!([]), json!({"uid": null})] {
            assert_eq!(description(&wrong), None);
        }
    }
}
