//! Whether a client's key allows what it asks for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use miroir_core::error::{ApiError, ErrorType, no_quorum};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use tracing::warn;

use super::{Api, Failure};

/// The actions that the routes here need, by Meilisearch's names.
pub mod action {
    pub const INDEXES_CREATE: &str = "indexes.create";
    pub const INDEXES_GET: &str = "indexes.get";
    pub const INDEXES_UPDATE: &str = "indexes.update";
    pub const INDEXES_DELETE: &str = "indexes.delete";
    pub const SETTINGS_GET: &str = "settings.get";
    pub const SETTINGS_UPDATE: &str = "settings.update";
    pub const INDEXES_SWAP: &str = "indexes.swap";
    pub const INDEXES_COMPACT: &str = "indexes.compact";
    pub const FIELDS_POST: &str = "fields.post";
    pub const TASKS_GET: &str = "tasks.get";
    pub const TASKS_CANCEL: &str = "tasks.cancel";
    pub const TASKS_DELETE: &str = "tasks.delete";
    pub const STATS_GET: &str = "stats.get";
}

/// How long a key is believed to be what it was, and how many are remembered.
const KEEP: Duration = Duration::from_secs(5);
const MOST_KEYS: usize = 10_000;

/// The keys that nodes were asked for lately; `None` for those that they don't know.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, (Instant, Option<Key>)>>);

/// An API key, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    actions: Vec<String>,
    indexes: Vec<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// What a client may see and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The indexes that it may see, as patterns; `None` for all.
    pub indexes: Option<Vec<String>>,
    /// Whether it may create indexes by changing their settings or adding documents.
    pub may_create: bool,
}

impl Access {
    const ALL: Access = Access { indexes: None, may_create: true };

    /// Whether it covers an index.
    pub fn covers(&self, index: &str) -> bool {
        self.indexes.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, index)))
    }
}

impl Api {
    /// Checks that the request's key allows `action`, on `index` if the request is about one.
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        action: &str,
        index: Option<&str>,
    ) -> Result<Access, Failure> {
        let master_key = self.cluster.config.master_key.expose();
        if master_key.is_empty() {
            return Ok(Access::ALL);
        }
        let token = bearer(headers)?;
        if token.as_bytes().ct_eq(master_key.as_bytes()).into() {
            return Ok(Access::ALL);
        }
        let key =
            self.key(token).await?.ok_or_else(|| invalid_api_key("The provided API key is invalid."))?;
        Ok(check(&key, action, index, OffsetDateTime::now_utc())?)
    }

    async fn key(&self, token: &str) -> Result<Option<Key>, Failure> {
        if let Some(key) = self.keys.get(token) {
            return Ok(key);
        }
        for (node, client) in &self.cluster.clients {
            match client.key(token).await {
                Ok(key) => {
                    let key = key.and_then(|key| serde_json::from_value(key).ok());
                    self.keys.keep(token, key.clone());
                    return Ok(key);
                }
                Err(error) => warn!(node, %error, "a node could not be asked for a key"),
            }
        }
        Err(no_quorum("no node could be asked whether the key is valid").into())
    }
}

impl Keys {
    fn get(&self, token: &str) -> Option<Option<Key>> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(token).filter(|(asked, _)| asked.elapsed() < KEEP).map(|(_, key)| key.clone())
    }

    fn keep(&self, token: &str, key: Option<Key>) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(token.to_owned(), (Instant::now(), key));
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || {
        let message = "The Authorization header is missing. It must use the bearer authorization method.";
        ApiError::new(401, "missing_authorization_header", ErrorType::Auth, message)
    };
    let header = headers.get(AUTHORIZATION).ok_or_else(missing)?.to_str().unwrap_or_default();
    match header.split_once(' ') {
        Some(("Bearer", token)) => Ok(token),
        None if header == "Bearer" => Err(invalid_api_key("The provided API key is invalid.")),
        _ => Err(missing()),
    }
}

pub fn invalid_api_key(message: impl Into<String>) -> ApiError {
    ApiError::new(403, "invalid_api_key", ErrorType::Auth, message)
}

fn check(key: &Key, action: &str, index: Option<&str>, now: OffsetDateTime) -> Result<Access, ApiError> {
    let indexes = match key.indexes.iter().any(|pattern| pattern == "*") {
        true => None,
        false => Some(key.indexes.clone()),
    };
    let access = Access { indexes, may_create: allows(&key.actions, action::INDEXES_CREATE) };
    if let Some(index) = index.filter(|index| !access.covers(index)) {
        let mut authorized = key.indexes.clone();
        authorized.sort_unstable();
        return Err(invalid_api_key(format!(
            "The API key cannot acces the index `{index}`, authorized indexes are {authorized:?}."
        )));
    }
    let expired = key.expires_at.is_some_and(|expiry| expiry <= now);
    if expired || !allows(&key.actions, action) {
        return Err(invalid_api_key("The provided API key is invalid."));
    }
    Ok(access)
}

/// Whether one of a key's actions covers `action`: itself, `*`, its group as `indexes.*`, or `*.get` for what only
/// reads.
fn allows(actions: &[String], action: &str) -> bool {
    let (group, verb) = action.split_once('.').unwrap_or((action, ""));
    actions.iter().any(|allowed| match allowed.as_str() {
        "*" => true,
        "*.get" => verb == "get" && group != "keys",
        allowed => allowed == action || allowed.strip_suffix(".*") == Some(group),
    })
}

/// Whether an index matches a key's pattern: its uid, or the start of it followed by `*`.
fn matches(pattern: &str, index: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => index.starts_with(start),
        None => pattern == index,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2025-01-01 00:00:00 UTC);

    fn key(actions: &[&str], indexes: &[&str]) -> Key {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Key { actions: owned(actions), indexes: owned(indexes), expires_at: None }
    }

    #[test]
    fn a_key_allows_its_actions() {
        let allowed = |actions, action| check(&key(actions, &["*"]), action, Some("movies"), NOW).is_ok();
        assert!(allowed(&["*"], "indexes.create"));
        assert!(allowed(&["indexes.*"], "indexes.create"));
        assert!(allowed(&["search", "indexes.create"], "indexes.create"));
        assert!(allowed(&["*.get"], "settings.get"));
        assert!(!allowed(&["*.get"], "settings.update"));
        assert!(!allowed(&["*.get"], "keys.get"));
        assert!(!allowed(&["search"], "indexes.create"));
        assert!(!allowed(&["documents.*"], "indexes.create"));
    }

    #[test]
    fn a_key_allows_its_indexes() {
        let movies = key(&["*"], &["movies", "books_*"]);
        assert!(check(&movies, "indexes.get", Some("movies"), NOW).is_ok());
        assert!(check(&movies, "indexes.get", Some("books_fr"), NOW).is_ok());
        assert!(check(&movies, "indexes.get", None, NOW).is_ok());
        let error = check(&movies, "indexes.get", Some("movies2"), NOW).map_err(|error| error.message);
        let message =
            "The API key cannot acces the index `movies2`, authorized indexes are [\"books_*\", \"movies\"].";
        assert_eq!(error, Err(message.to_owned()));
    }

    #[test]
    fn a_key_expires() {
        let expiring = |expiry| Key { expires_at: Some(expiry), ..key(&["*"], &["*"]) };
        assert!(check(&expiring(datetime!(2025-01-01 00:00:01 UTC)), "stats.get", None, NOW).is_ok());
        assert!(check(&expiring(NOW), "stats.get", None, NOW).is_err());
    }

    #[test]
    fn a_header_carries_a_token() {
        let header = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
            bearer(&headers).map(str::to_owned).map_err(|error| error.code.into_owned())
        };
        assert_eq!(header("Bearer abc"), Ok("abc".into()));
        assert_eq!(header("Bearer"), Err("invalid_api_key".into()));
        assert_eq!(header("Basic abc"), Err("missing_authorization_header".into()));
        assert_eq!(bearer(&HeaderMap::new()).map_err(|error| error.status), Err(401));
    }
}
