//! Whether a client's key allows what it asks for.
//!
//! Meilisearch takes tenant tokens for searches alone, which are none of the routes here: to these a tenant token
//! is no key. Nodes check those of searches themselves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use miroir_core::error::{ApiError, ErrorType};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use uuid::Uuid;

use super::request::check_index_uid;
use super::{Api, Failure};
use crate::store::{KeyRecord, StoreError};
use crate::{aliases, keys};

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
    pub const KEYS_CREATE: &str = "keys.create";
    pub const KEYS_GET: &str = "keys.get";
    pub const KEYS_UPDATE: &str = "keys.update";
    pub const KEYS_DELETE: &str = "keys.delete";
    pub const DUMPS_CREATE: &str = "dumps.create";
    pub const SNAPSHOTS_CREATE: &str = "snapshots.create";
    pub const EXPERIMENTAL_FEATURES_GET: &str = "experimental.get";
    pub const EXPERIMENTAL_FEATURES_UPDATE: &str = "experimental.update";
    pub const WEBHOOKS_CREATE: &str = "webhooks.create";
    pub const WEBHOOKS_GET: &str = "webhooks.get";
    pub const WEBHOOKS_UPDATE: &str = "webhooks.update";
    pub const WEBHOOKS_DELETE: &str = "webhooks.delete";
    pub const DYNAMIC_SEARCH_RULES_GET: &str = "dynamicSearchRules.get";
    pub const DYNAMIC_SEARCH_RULES_UPDATE: &str = "dynamicSearchRules.update";
    pub const DYNAMIC_SEARCH_RULES_DELETE: &str = "dynamicSearchRules.delete";
}

/// The actions that a key limited to some indexes may use on routes that name no index: those show it no more than
/// these indexes.
const CHECKED_BY_ROUTE: [&str; 10] = [
    "search",
    "documents.get",
    "indexes.create",
    "indexes.get",
    "indexes.swap",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.get",
    "stats.get",
];

/// How many tokens are remembered.
const MOST_TOKENS: usize = 10_000;

/// The uids of the keys that clients sent lately, which follow from their values but take long to find.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, Uuid>>);

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
    /// Checks that the request's key allows `action`, on `index` if the request's path names one.
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        action: &str,
        index: Option<&str>,
    ) -> Result<Access, Failure> {
        let master_key = self.cluster.config.master_key.expose();
        let token = bearer(headers);
        if master_key.is_empty() {
            token?;
            return match action.starts_with("keys.") {
                true => Err(missing_master_key().into()),
                false => Ok(Access::ALL),
            };
        }
        let token = token?.ok_or_else(missing_header)?;
        if token.as_bytes().ct_eq(master_key.as_bytes()).into() {
            return Ok(Access::ALL);
        }
        let key = self.key(token).await?.ok_or_else(invalid_api_key)?;
        Ok(check(&key, action, index, OffsetDateTime::now_utc())?)
    }

    /// The same for an index that the request's path names, perhaps by an alias. Gives the index's uid, too.
    pub async fn authorize_index(
        &self,
        headers: &HeaderMap,
        action: &str,
        named: &str,
    ) -> Result<(Access, String), Failure> {
        let uids = aliases::indexes_of(&self.cluster, named);
        let mut access = Access::ALL;
        for uid in &uids {
            access = self.authorize(headers, action, Some(uid)).await?;
        }
        check_index_uid(named)?;
        match <[String; 1]>::try_from(uids) {
            Ok([uid]) => Ok((access, uid)),
            Err(uids) => Err(aliases::several(named, &uids, !only_reads(action)).into()),
        }
    }

    async fn key(&self, token: &str) -> Result<Option<KeyRecord>, StoreError> {
        let uid = match self.keys.get(token) {
            Some(uid) => uid,
            None => {
                let Some(uid) = keys::uid_of_value(&self.cluster, token).await? else { return Ok(None) };
                self.keys.remember(token, uid);
                uid
            }
        };
        self.cluster.store.key(uid).await
    }
}

impl Keys {
    fn get(&self, token: &str) -> Option<Uuid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).copied()
    }

    fn remember(&self, token: &str, uid: Uuid) {
        let mut uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.len() >= MOST_TOKENS {
            uids.clear();
        }
        uids.insert(token.to_owned(), uid);
    }
}

/// The bearer token, if there is an `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let header = header.to_str().unwrap_or_default();
    match header.split_once(' ') {
        Some(("Bearer", token)) => Ok(Some(token)),
        None if header == "Bearer" => Err(invalid_api_key()),
        _ => Err(missing_header()),
    }
}

fn missing_header() -> ApiError {
    let message = "The Authorization header is missing. It must use the bearer authorization method.";
    ApiError::new(401, "missing_authorization_header", ErrorType::Auth, message)
}

fn missing_master_key() -> ApiError {
    let message = "Meilisearch is running without a master key. To access this API endpoint, you must have set a \
                   master key at launch.";
    ApiError::new(401, "missing_master_key", ErrorType::Auth, message)
}

/// The key is none, or allows less than is asked for.
pub fn invalid_api_key() -> ApiError {
    ApiError::new(403, "invalid_api_key", ErrorType::Auth, "The provided API key is invalid.")
}

fn check(
    key: &KeyRecord,
    action: &str,
    index: Option<&str>,
    now: OffsetDateTime,
) -> Result<Access, ApiError> {
    let indexes = match key.indexes.iter().any(|pattern| pattern == "*") {
        true => None,
        false => Some(key.indexes.clone()),
    };
    let access = Access { indexes, may_create: allows(&key.actions, action::INDEXES_CREATE) };
    if let Some(index) = index.filter(|index| !access.covers(index)) {
        let mut authorized = key.indexes.clone();
        authorized.sort_unstable();
        let message =
            format!("The API key cannot acces the index `{index}`, authorized indexes are {authorized:?}.");
        return Err(ApiError { message, ..invalid_api_key() });
    }
    let limited = index.is_none() && access.indexes.is_some();
    let expired = key.expires_at.is_some_and(|expiry| expiry <= now);
    if expired || limited && !CHECKED_BY_ROUTE.contains(&action) || !allows(&key.actions, action) {
        return Err(invalid_api_key());
    }
    Ok(access)
}

/// Whether one of a key's actions covers `action`: itself, `*`, its group as `indexes.*`, or `*.get` for what only
/// reads. Keys are left out there, so that nobody gets more rights by reading them.
fn allows(actions: &[String], action: &str) -> bool {
    let (group, verb) = action.split_once('.').unwrap_or((action, ""));
    actions.iter().any(|allowed| match allowed.as_str() {
        "*" => true,
        "*.get" => only_reads(action) && group != "keys",
        // As in Meilisearch, what asks for all of `documents.*` is allowed by `*` alone.
        _ if verb == "*" => false,
        allowed => allowed == action || allowed.strip_suffix(".*") == Some(group),
    })
}

fn only_reads(action: &str) -> bool {
    matches!(action, "search" | "export" | "version" | "fields.post") || action.ends_with(".get")
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

    fn key(actions: &[&str], indexes: &[&str]) -> KeyRecord {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        KeyRecord {
            name: None,
            description: None,
            uid: Uuid::nil(),
            actions: owned(actions),
            indexes: owned(indexes),
            expires_at: None,
            created_at: NOW,
            updated_at: NOW,
        }
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
        assert!(allowed(&["*.get"], "fields.post"));
        assert!(!allowed(&["search"], "indexes.create"));
        assert!(!allowed(&["documents.*"], "indexes.create"));
        assert!(!allowed(&["documents.*"], "documents.*") && allowed(&["*"], "documents.*"));
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
    fn a_key_of_some_indexes_allows_less_where_no_index_is_named() {
        let allowed = |indexes, action| check(&key(&["*"], indexes), action, None, NOW).is_ok();
        for action in ["indexes.get", "tasks.get", "stats.get"] {
            assert!(allowed(&["movies"], action), "{action}");
        }
        for action in ["keys.get", "webhooks.create", "dumps.create", "experimental.update"] {
            assert!(!allowed(&["movies"], action), "{action}");
            assert!(allowed(&["movies", "*"], action), "{action}");
        }
    }

    #[test]
    fn a_key_expires() {
        let expiring = |expiry| KeyRecord { expires_at: Some(expiry), ..key(&["*"], &["*"]) };
        assert!(check(&expiring(datetime!(2025-01-01 00:00:01 UTC)), "stats.get", None, NOW).is_ok());
        assert!(check(&expiring(NOW), "stats.get", None, NOW).is_err());
    }

    #[test]
    fn a_header_carries_a_token() {
        let header = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
            bearer(&headers).map(|token| token.map(str::to_owned)).map_err(|error| error.code.into_owned())
        };
        assert_eq!(header("Bearer abc"), Ok(Some("abc".into())));
        assert_eq!(header("Bearer"), Err("invalid_api_key".into()));
        assert_eq!(header("Basic abc"), Err("missing_authorization_header".into()));
        assert_eq!(bearer(&HeaderMap::new()), Ok(None));
    }
}
