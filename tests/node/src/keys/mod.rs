//! API keys.

pub mod action;
pub mod store;

use deserr::ValuePointerRef;
use hmac::{Hmac, Mac};
use milli_core::update::Setting;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use self::action::{Action, is_checked_by_route};
use crate::error::{ResponseError, Result};
use crate::http::invalid::{Body, Invalid, Reason};
use crate::http::request;
use crate::tasks::view;

/// An API key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Key {
    pub name: Option<String>,
    pub description: Option<String>,
    pub uid: Uuid,
    pub actions: Vec<Action>,
    pub indexes: Vec<IndexPattern>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// The uids that a pattern stands for: one, or those that begin with what is before the `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, deserr::Deserr)]
#[deserr(try_from(String) = IndexPattern::parse -> Reason)]
pub struct IndexPattern(pub String);

impl IndexPattern {
    fn parse(pattern: String) -> Result<Self, Reason> {
        let uid = pattern.strip_suffix('*').unwrap_or(&pattern);
        if pattern == "*" || request::index_uid(uid).is_ok() {
            return Ok(Self(pattern));
        }
        // Without its star, as Meilisearch names it.
        Err(Reason(format!(
            "`{uid}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only \
             alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
        )))
    }

    /// Whether it stands for all indexes.
    pub fn is_all(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it stands for this index.
    pub fn matches(&self, uid: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => uid.starts_with(start),
            None => self.0 == uid,
        }
    }
}

/// The body that makes a key.
#[derive(Debug, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct KeyCreation {
    #[deserr(default)]
    pub description: Option<String>,
    #[deserr(default)]
    pub name: Option<String>,
    #[deserr(default = KeyUid(Uuid::new_v4()))]
    pub uid: KeyUid,
    pub actions: Vec<Action>,
    pub indexes: Vec<IndexPattern>,
    pub expires_at: Expiry,
}

/// The uid that a client gives to a key.
#[derive(Debug, deserr::Deserr)]
#[deserr(try_from(String) = KeyUid::parse -> Reason)]
pub struct KeyUid(Uuid);

impl KeyUid {
    fn parse(uid: String) -> Result<Self, Reason> {
        uid.parse().map(Self).map_err(Reason::new)
    }
}

/// When a key stops being valid, if ever.
#[derive(Debug, deserr::Deserr)]
#[deserr(try_from(Option<String>) = Expiry::parse -> Reason)]
pub struct Expiry(Option<OffsetDateTime>);

impl Expiry {
    fn parse(text: Option<String>) -> Result<Self, Reason> {
        let Some(text) = text else { return Ok(Self(None)) };
        match moment(&text) {
            Some(moment) if moment > OffsetDateTime::now_utc() => Ok(Self(Some(moment))),
            _ => Err(Reason(format!(
                "`{text}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime \
                 in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
            ))),
        }
    }
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    let with_t = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let with_space = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let day = format_description!("[year]-[month]-[day]");
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, with_t).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| PrimitiveDateTime::parse(text, with_space).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, day).map(|day| day.midnight().assume_utc()))
        .ok()
}

/// The body that changes a key.
#[derive(Debug, deserr::Deserr)]
#[deserr(error = Invalid<Body>, rename_all = camelCase, deny_unknown_fields = refuse)]
#[allow(missing_docs)]
pub struct KeyUpdate {
    #[deserr(default)]
    pub description: Setting<String>,
    #[deserr(default)]
    pub name: Setting<String>,
}

fn refuse(field: &str, accepted: &[&str], location: ValuePointerRef) -> Invalid<Body> {
    let immutable = ["uid", "actions", "indexes", "expiresAt", "createdAt", "updatedAt"];
    Invalid::unknown_field(&immutable, field, accepted, location)
}

impl Key {
    /// The keys that a new instance has. (Meilisearch makes them without a master key, too.)
    pub fn defaults() -> [Self; 4] {
        let key = |name: &str, description: &str, actions: &[&str]| {
            let now = OffsetDateTime::now_utc();
            Self {
                name: Some(name.to_string()),
                description: Some(description.to_string()),
                uid: Uuid::new_v4(),
                actions: actions.iter().map(|action| Action::new(action)).collect(),
                indexes: vec![IndexPattern("*".to_string())],
                expires_at: None,
                created_at: now,
                updated_at: now,
            }
        };
        [
            key(
                "Default Chat API Key",
                "Use it to chat and search from the frontend",
                &["chatCompletions", "search"],
            ),
            key(
                "Default Read-Only Admin API Key",
                "Use it to read information across the whole database. Caution! Do not expose this key on a public \
                 frontend",
                &["*.get", "keys.get"],
            ),
            key(
                "Default Admin API Key",
                "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend",
                &["*"],
            ),
            key("Default Search API Key", "Use it to search from the frontend", &["search"]),
        ]
    }

    /// The key that a request makes, unless it can't allow what it says where it says.
    pub fn create(creation: KeyCreation) -> Result<Self> {
        let KeyCreation { description, name, uid, actions, indexes, expires_at } = creation;
        let is_for_all = indexes.is_empty() || indexes.iter().any(IndexPattern::is_all);
        if let Some(action) = actions.iter().find(|action| !is_for_all && action.is_global()) {
            let action = serde_json::to_string(action)?;
            let message = format!(
                "cannot create index-scoped API key with global action `{action}`\n  - Hint: remove action `{action}` \
                 from the action list, or remove `indexes` to make the key global"
            );
            return Err(ResponseError::new("index_scoped_api_key_with_global_action", message));
        }
        let now = OffsetDateTime::now_utc();
        Ok(Self {
            name,
            description,
            uid: uid.0,
            actions,
            indexes,
            expires_at: expires_at.0,
            created_at: now,
            updated_at: now,
        })
    }

    /// Changes what can be changed about it.
    pub fn update(&mut self, update: KeyUpdate) {
        for (field, change) in [(&mut self.description, update.description), (&mut self.name, update.name)] {
            match change {
                Setting::Set(text) => *field = Some(text),
                Setting::Reset => *field = None,
                Setting::NotSet => {}
            }
        }
        self.updated_at = OffsetDateTime::now_utc();
    }

    /// Whether it allows an action now, on this index if the route is about one.
    pub fn allows(&self, action: &str, index: Option<&str>) -> bool {
        let is_expired = self.expires_at.is_some_and(|expiry| expiry <= OffsetDateTime::now_utc());
        let is_on_its_indexes = self.indexes.iter().any(|pattern| {
            pattern.is_all() || index.map_or(is_checked_by_route(action), |index| pattern.matches(index))
        });
        !is_expired && is_on_its_indexes && self.actions.iter().any(|allowed| allowed.covers(action))
    }

    /// The key as the API shows it.
    pub fn view(&self, master_key: Option<&str>) -> Value {
        json!({
            "name": self.name,
            "description": self.description,
            "key": master_key.map(|master_key| value(self.uid, master_key)).unwrap_or_default(),
            "uid": self.uid,
            "actions": self.actions,
            "indexes": self.indexes,
            "expiresAt": self.expires_at.map(view::date),
            "createdAt": view::date(self.created_at),
            "updatedAt": view::date(self.updated_at),
        })
    }
}

/// The value of the key of this uid, which follows from the master key: HMAC-SHA256 of the uid, in hexadecimal digits.
pub fn value(uid: Uuid, master_key: &str) -> String {
    hex::encode(mac(uid, master_key).finalize().into_bytes())
}

/// Whether this is the value of the key of this uid.
fn is_value(uid: Uuid, master_key: &str, value: &str) -> bool {
    hex::decode(value).is_ok_and(|value| mac(uid, master_key).verify_slice(&value).is_ok())
}

fn mac(uid: Uuid, master_key: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(master_key.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(uid.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_follows_from_the_uid_and_the_master_key() {
        let uid = Uuid::nil();
        // printf 00000000-0000-0000-0000-000000000000 | openssl dgst -sha256 -hmac masterKey
        let expected = "dd7aadbaa2d3546b18b761f262b5cc23b9304dad0f6c1d334206a231b16b82ec";
        assert_eq!(value(uid, "masterKey"), expected);
        assert!(is_value(uid, "masterKey", expected) && !is_value(uid, "another", expected));
    }
}
