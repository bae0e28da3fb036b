//! `/indexes`, `/indexes/{uid}` and `/indexes/{uid}/compact`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use miroir_core::error::is_index_uid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{action, invalid_api_key};
use super::request::ClientRequest;
use super::{Api, Failure};
use crate::store::IndexRecord;
use crate::tasks::view;
use crate::{aliases, indexes};

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/indexes", get(list).post(create))
        .route("/indexes/{uid}", get(get_one).patch(update).delete(delete))
        .route("/indexes/{uid}/compact", post(compact))
}

/// The page of a list that a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    pub offset: usize,
    pub limit: usize,
}

async fn list(State(api): State<Api>, request: ClientRequest) -> Result<Json<Value>, Failure> {
    let access = api.authorize(&request.headers, action::INDEXES_GET, None).await?;
    let Some(Window { offset, limit }) = window(request.parameters()) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let indexes = api.cluster.store.indexes().await?;
    let visible: Vec<&IndexRecord> = indexes.values().filter(|index| access.covers(&index.uid)).collect();
    let results: Vec<Value> = visible.iter().skip(offset).take(limit).map(|index| shown(index)).collect();
    Ok(Json(json!({"results": results, "offset": offset, "limit": limit, "total": visible.len()})))
}

/// `None` if a parameter is wrong or unknown.
pub fn window(parameters: impl Iterator<Item = (String, String)>) -> Option<Window> {
    let mut window = Window { offset: 0, limit: 20 };
    for (name, value) in parameters {
        match name.as_str() {
            "offset" => window.offset = value.parse().ok()?,
            "limit" => window.limit = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(window)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Creation {
    uid: String,
    #[serde(default)]
    primary_key: Option<String>,
}

async fn create(
    State(api): State<Api>,
    request: ClientRequest,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let access = api.authorize(&request.headers, action::INDEXES_CREATE, None).await?;
    let creation = request
        .json()
        .filter(Value::is_object)
        .and_then(|body| serde_json::from_value::<Creation>(body).ok());
    let Some(Creation { uid, primary_key }) = creation.filter(|creation| is_index_uid(&creation.uid)) else {
        return Err(request.refusal(&api.cluster).await);
    };
    if !access.covers(&uid) {
        return Err(invalid_api_key().into());
    }
    let task = indexes::create(&api.cluster, &uid, primary_key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}

async fn get_one(
    State(api): State<Api>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let (_, uid) = api.authorize_index(&headers, action::INDEXES_GET, &uid).await?;
    let index = api.cluster.store.index(&uid).await?.ok_or_else(|| indexes::index_not_found(&uid))?;
    Ok(Json(shown(&index)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Update {
    #[serde(default)]
    primary_key: Option<String>,
    #[serde(default)]
    uid: Option<String>,
}

async fn update(
    State(api): State<Api>,
    Path(named): Path<String>,
    request: ClientRequest,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let (_, uid) = api.authorize_index(&request.headers, action::INDEXES_UPDATE, &named).await?;
    let request = request.about(&uid);
    let update =
        request.json().filter(Value::is_object).and_then(|body| serde_json::from_value::<Update>(body).ok());
    let update = update.filter(|update| update.uid.as_deref().is_none_or(is_index_uid));
    let Some(Update { primary_key, uid: new_uid }) = update else {
        return Err(request.refusal(&api.cluster).await);
    };
    if let Some(new_uid) = &new_uid {
        api.authorize(&request.headers, action::INDEXES_UPDATE, Some(new_uid)).await?;
        aliases::check_is_none(&api.cluster.store.aliases().await?, &named)?;
    }
    let task = indexes::update(&api.cluster, &uid, new_uid.as_deref(), primary_key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}

async fn delete(
    State(api): State<Api>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Failure> {
    api.authorize_index(&headers, action::INDEXES_DELETE, &named).await?;
    // An alias is not deleted as an index is.
    let task = indexes::delete(&api.cluster, &named).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}

async fn compact(
    State(api): State<Api>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let (_, uid) = api.authorize_index(&headers, action::INDEXES_COMPACT, &uid).await?;
    let task = indexes::compact(&api.cluster, &uid).await?;
    Ok((StatusCode::ACCEPTED, Json(view::summary(&task))))
}

fn shown(index: &IndexRecord) -> Value {
    json!({
        "uid": index.uid,
        "createdAt": view::rfc_3339(index.created_at),
        "updatedAt": view::rfc_3339(index.updated_at),
        "primaryKey": index.primary_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_what_the_client_asked_for() {
        let parse = |query: &[(&str, &str)]| {
            window(query.iter().map(|(name, value)| (name.to_string(), value.to_string())))
        };
        assert_eq!(parse(&[]), Some(Window { offset: 0, limit: 20 }));
        assert_eq!(parse(&[("limit", "5"), ("offset", "2")]), Some(Window { offset: 2, limit: 5 }));
        assert_eq!(parse(&[("limit", "-1")]), None);
        assert_eq!(parse(&[("limits", "1")]), None);
    }
}
