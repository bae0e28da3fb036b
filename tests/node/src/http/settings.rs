//! `/indexes/{uid}/settings` and its subroutes, one for each setting.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{Extension, Json, Router};
use serde_json::{Map, Value};

use super::invalid::{Body, Domain, Invalid};
use super::request;
use super::{IndexUid, Node, Payload};
use crate::auth::access::Access;
use crate::error::Result;
use crate::settings::{self, Settings};
use crate::tasks::Operation;

/// The subroutes, the settings they are about, and the verbs that change them.
const SETTINGS: [(&str, &str, MethodFilter); 20] = [
    ("displayed-attributes", "displayedAttributes", MethodFilter::PUT),
    ("searchable-attributes", "searchableAttributes", MethodFilter::PUT),
    ("filterable-attributes", "filterableAttributes", MethodFilter::PUT),
    ("sortable-attributes", "sortableAttributes", MethodFilter::PUT),
    ("ranking-rules", "rankingRules", MethodFilter::PUT),
    ("stop-words", "stopWords", MethodFilter::PUT),
    ("non-separator-tokens", "nonSeparatorTokens", MethodFilter::PUT),
    ("separator-tokens", "separatorTokens", MethodFilter::PUT),
    ("dictionary", "dictionary", MethodFilter::PUT),
    ("synonyms", "synonyms", MethodFilter::PUT),
    ("distinct-attribute", "distinctAttribute", MethodFilter::PUT),
    ("proximity-precision", "proximityPrecision", MethodFilter::PUT),
    ("typo-tolerance", "typoTolerance", MethodFilter::PATCH),
    ("faceting", "faceting", MethodFilter::PATCH),
    ("pagination", "pagination", MethodFilter::PATCH),
    ("embedders", "embedders", MethodFilter::PATCH),
    ("search-cutoff-ms", "searchCutoffMs", MethodFilter::PUT),
    ("localized-attributes", "localizedAttributes", MethodFilter::PUT),
    ("facet-search", "facetSearch", MethodFilter::PUT),
    ("prefix-search", "prefixSearch", MethodFilter::PUT),
];

/// The routes of the settings.
pub fn routes() -> Router<Node> {
    let all = get(read_all).patch(update_all).delete(reset_all);
    let routes = Router::new().route("/indexes/{uid}/settings", all);
    SETTINGS.into_iter().fold(routes, |routes, (subroute, setting, verb)| {
        routes.route(&format!("/indexes/{{uid}}/settings/{subroute}"), one(setting, verb))
    })
}

fn one(setting: &'static str, verb: MethodFilter) -> MethodRouter<Node> {
    get(async move |State(node): State<Node>, uid: IndexUid| -> Result<Json<Value>> {
        let mut settings = read(&node, uid).await?;
        Ok(Json(settings.remove(setting).unwrap_or_default()))
    })
    .merge(on(
        verb,
        async move |State(node): State<Node>, uid: IndexUid, access: Extension<Access>, payload: Payload| {
            let value = request::json(&payload.headers, &payload.bytes)?;
            let object = Value::Object(Map::from_iter([(setting.to_string(), value)]));
            let settings = parse(object).map_err(|mut error| {
                // The user wrote the value alone.
                let prefix = format!(".{setting}");
                error.message = error
                    .message
                    .replace(&format!(" at `{prefix}`"), "")
                    .replace(&format!(" inside `{prefix}`"), "")
                    .replace(&prefix, "");
                error
            })?;
            let may_create = access.may_create(&uid.0);
            update(&node, uid, settings, may_create).await
        },
    ))
    .delete(async move |State(node): State<Node>, uid: IndexUid| {
        let object = Value::Object(Map::from_iter([(setting.to_string(), Value::Null)]));
        update(&node, uid, parse(object)?, false).await
    })
}

async fn read_all(State(node): State<Node>, uid: IndexUid) -> Result<Json<Map<String, Value>>> {
    Ok(Json(read(&node, uid).await?))
}

async fn update_all(
    State(node): State<Node>,
    uid: IndexUid,
    Extension(access): Extension<Access>,
    payload: Payload,
) -> Result<Response> {
    let settings = parse(request::json(&payload.headers, &payload.bytes)?)?;
    let may_create = access.may_create(&uid.0);
    update(&node, uid, settings, may_create).await
}

async fn reset_all(State(node): State<Node>, uid: IndexUid) -> Result<Response> {
    update(&node, uid, Settings::reset(), false).await
}

async fn read(node: &Node, IndexUid(uid): IndexUid) -> Result<Map<String, Value>> {
    node.blocking(move |queue| {
        let index = queue.index(&uid)?;
        let rtxn = index.read_txn()?;
        match serde_json::to_value(settings::read(&index, &rtxn)?)? {
            Value::Object(settings) => Ok(settings),
            _ => Ok(Map::new()),
        }
    })
    .await
}

async fn update(
    node: &Node,
    IndexUid(uid): IndexUid,
    settings: Settings,
    may_create: bool,
) -> Result<Response> {
    let settings = Box::new(settings.checked()?);
    node.enqueue(Operation::SettingsUpdate { settings, may_create }, Some(&uid), None).await
}

fn parse(settings: Value) -> Result<Settings> {
    deserr::deserialize::<Settings, _, Invalid<Body>>(settings)
        .map_err(|invalid| invalid.into_error(Domain::Settings))
}
