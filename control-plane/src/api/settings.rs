//! `/indexes/{uid}/settings` and its subroutes.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::AppendHeaders;
use axum::routing::get;
use axum::{Json, Router};
use miroir_core::fresh::{MIN_SETTINGS_VERSION_HEADER, SETTINGS_VERSION_HEADER, min_settings_version};
use serde_json::Value;

use super::auth::action;
use super::request::ClientRequest;
use super::{Api, Failure, awaiting};
use crate::indexes::settings::{self, SETTINGS, Setting};
use crate::store::TaskRecord;
use crate::tasks::view;

type Answer = Result<(Version, Json<Value>), Failure>;
type Accepted = Result<(StatusCode, Version, Json<Value>), Failure>;
/// The header that tells a version of the settings, or none.
type Version = AppendHeaders<Option<(&'static str, String)>>;

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
    let (_, uid) = api.authorize_index(&headers, action::SETTINGS_GET, &uid).await?;
    let wanted = min_version(&headers)?;
    if wanted > 0 {
        awaiting::settings_of_version(&api.cluster, &uid, wanted).await?;
    }
    // Asked for first: the settings are of this version or a later one.
    let known = api.cluster.store.index(&uid).await?.map(|index| index.settings_version);
    let settings = match setting {
        Some(setting) => settings::get_one(&api.cluster, &uid, setting).await?,
        None => settings::get(&api.cluster, &uid).await?,
    };
    Ok((version(known), Json(settings)))
}

async fn update(api: Api, uid: String, setting: Option<Setting>, request: ClientRequest) -> Accepted {
    let (access, uid) = api.authorize_index(&request.headers, action::SETTINGS_UPDATE, &uid).await?;
    let request = request.about(&uid);
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
    let (_, uid) = api.authorize_index(&headers, action::SETTINGS_UPDATE, &uid).await?;
    Ok(accepted(&settings::reset(&api.cluster, &uid, setting).await?))
}

fn accepted(task: &TaskRecord) -> (StatusCode, Version, Json<Value>) {
    (StatusCode::ACCEPTED, version(task.settings_version), Json(view::summary(task)))
}

/// The header that tells a version of the settings.
pub fn version(version: Option<u64>) -> Version {
    AppendHeaders(version.map(|version| (SETTINGS_VERSION_HEADER, version.to_string())))
}

/// The version that a request asks for; 0 if it asks for none.
fn min_version(headers: &HeaderMap) -> Result<u64, Failure> {
    let Some(value) = headers.get(MIN_SETTINGS_VERSION_HEADER) else { return Ok(0) };
    Ok(min_settings_version(value.to_str().unwrap_or_default())?)
}
