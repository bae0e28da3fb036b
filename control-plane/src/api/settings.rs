//! `/indexes/{uid}/settings` and its subroutes.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::auth::action;
use super::request::{ClientRequest, check_index_uid};
use super::{Api, Failure};
use crate::indexes::settings::{self, SETTINGS, Setting};
use crate::store::TaskRecord;
use crate::tasks::view;

type Answer = Result<Json<Value>, Failure>;
type Accepted = Result<(StatusCode, Json<Value>), Failure>;

pub fn routes() -> Router<Api> {
    let whole = routes_of(None, true);
    SETTINGS.iter().fold(Router::new().route("/indexes/{uid}/settings", whole), |router, &setting| {
        let path = format!("/indexes/{{uid}}/settings/{}", setting.route);
        router.route(&path, routes_of(Some(setting), setting.merges))
    })
}

fn routes_of(setting: Option<Setting>, merges: bool) -> axum::routing::MethodRouter<Api> {
    let update = async move |State(api): State<Api>, Path(uid): Path<String>, request: ClientRequest| {
        update(api, uid, setting, request).await
    };
    let routes = get(async move |State(api): State<Api>, Path(uid): Path<String>, headers: HeaderMap| {
        show(api, uid, setting, headers).await
    })
    .delete(async move |State(api): State<Api>, Path(uid): Path<String>, headers: HeaderMap| {
        reset(api, uid, setting, headers).await
    });
    match merges {
        true => routes.patch(update),
        false => routes.put(update),
    }
}

async fn show(api: Api, uid: String, setting: Option<Setting>, headers: HeaderMap) -> Answer {
    api.authorize(&headers, action::SETTINGS_GET, Some(&uid)).await?;
    check_index_uid(&uid)?;
    Ok(Json(match setting {
        Some(setting) => settings::get_one(&api.cluster, &uid, setting).await?,
        None => settings::get(&api.cluster, &uid).await?,
    }))
}

async fn update(api: Api, uid: String, setting: Option<Setting>, request: ClientRequest) -> Accepted {
    let access = api.authorize(&request.headers, action::SETTINGS_UPDATE, Some(&uid)).await?;
    check_index_uid(&uid)?;
    let Some(value) = request.json().filter(|value| setting.is_some() || value.is_object()) else {
        return Err(request.refusal(&api.cluster).await);
    };
    let task = settings::update(&api.cluster, &uid, setting, value, access.may_create).await;
    // A node was sent another body than the client's, so its words may be about what the client did not send.
    if let Err(Failure::OfNode { .. }) = &task {
        return Err(request.refusal(&api.cluster).await);
    }
    Ok(accepted(&task?))
}

async fn reset(api: Api, uid: String, setting: Option<Setting>, headers: HeaderMap) -> Accepted {
    api.authorize(&headers, action::SETTINGS_UPDATE, Some(&uid)).await?;
    check_index_uid(&uid)?;
    Ok(accepted(&settings::reset(&api.cluster, &uid, setting).await?))
}

fn accepted(task: &TaskRecord) -> (StatusCode, Json<Value>) {
    (StatusCode::ACCEPTED, Json(view::summary(task)))
}
