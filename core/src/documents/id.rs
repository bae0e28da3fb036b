//! Document ids and primary keys, by Meilisearch's rules.
//!
//! The errors here are those of failed tasks: Meilisearch finds them after it has answered 202.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{ApiError, ErrorType};
use crate::tag::RESERVED_PREFIX;

/// Ids are shorter than this, in bytes.
const ID_LIMIT: usize = 512;

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The id as text.
    pub id: Result<String, IdError>,
    /// A field that is Miroir's own.
    pub reserved: Option<String>,
}

/// Why a document has no usable id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The primary key is not in the document.
    Missing,
    /// Both `{"a": {"b": …}}` and `{"a.b": …}`.
    TooMany,
    /// This JSON is not an id.
    Invalid(String),
}

impl IdError {
    /// The error of the task.
    pub fn into_task_error(self, primary_key: &str, document: &str) -> ApiError {
        let document = || {
            let value: Result<serde_json::Value, _> = serde_json::from_str(document);
            value.map_or_else(|_| document.to_string(), |value| value.to_string())
        };
        let (code, message) = match self {
            IdError::Missing => (
                "missing_document_id",
                format!("Document doesn't have a `{primary_key}` attribute: `{}`.", document()),
            ),
            IdError::TooMany => (
                "invalid_document_id",
                format!("Document have too many matching `{primary_key}` attribute: `{}`.", document()),
            ),
            IdError::Invalid(id) => (
                "invalid_document_id",
                format!(
                    "Document identifier `{id}` is invalid. A document identifier can be of type integer or string, \
                     only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), \
                     and can not be more than 511 bytes."
                ),
            ),
        };
        ApiError::new(400, code, ErrorType::InvalidRequest, message)
    }
}

/// Whether Meilisearch takes it as a document id.
pub fn is_document_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() < ID_LIMIT
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The primary key of an index whose first document has these top-level fields.
///
/// # Errors
/// The error of the task if no field, or more than one, ends with `id` in any case.
pub fn infer_primary_key(fields: &[String]) -> Result<String, ApiError> {
    let mut candidates: Vec<&String> =
        fields.iter().filter(|field| field.to_lowercase().ends_with("id")).collect();
    candidates.sort_unstable();
    candidates.dedup();
    let hint = "Please specify the primary key manually using the `primaryKey` query parameter.";
    let (code, message) = match candidates.as_slice() {
        [only] => return Ok(only.to_string()),
        [first, second, ..] => (
            "index_primary_key_multiple_candidates_found",
            format!(
                "The primary key inference failed as the engine found {} fields ending with `id` in their names: \
                 '{first}' and '{second}'. {hint}",
                candidates.len()
            ),
        ),
        [] => (
            "index_primary_key_no_candidate_found",
            format!(
                "The primary key inference failed as the engine did not find any field ending with `id` in its name. \
                 {hint}"
            ),
        ),
    };
    Err(ApiError::new(400, code, ErrorType::InvalidRequest, message))
}

/// The error of the task if a write names another primary key than the index has.
pub fn primary_key_already_exists(primary_key: &str) -> ApiError {
    let message = format!("Index already has a primary key: `{primary_key}`.");
    ApiError::new(400, "index_primary_key_already_exists", ErrorType::InvalidRequest, message)
}

/// The top-level fields of a document, in order.
///
/// # Errors
/// What is wrong with the JSON.
pub fn fields(document: &str) -> Result<Vec<String>, serde_json::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut fields = Vec::new();
            while let Some((field, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                fields.push(field);
            }
            Ok(fields)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(document);
    let fields = deserializer.deserialize_map(Fields)?;
    deserializer.end()?;
    Ok(fields)
}

/// Checks a document's JSON in full and finds its id.
///
/// # Errors
/// What is wrong with the JSON.
pub fn inspect(document: &str, primary_key: &str) -> Result<Inspected, serde_json::Error> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_str(document);
    deserializer.deserialize_map(Level { path: primary_key, top: true, found: &mut found })?;
    deserializer.end()?;
    let id = match (found.error, found.id) {
        (Some(error), _) => Err(error),
        (None, Some(id)) => Ok(id),
        (None, None) => Err(IdError::Missing),
    };
    Ok(Inspected { id, reserved: found.reserved })
}

#[derive(Default)]
struct Found {
    id: Option<String>,
    error: Option<IdError>,
    reserved: Option<String>,
}

impl Found {
    fn add(&mut self, id: Result<String, IdError>) {
        let error = match id {
            Err(error) => error,
            Ok(_) if self.id.is_some() => IdError::TooMany,
            Ok(id) => {
                self.id = Some(id);
                return;
            }
        };
        self.error.get_or_insert(error);
    }
}

/// One level of a document on the way along the primary key's path.
struct Level<'p, 'f> {
    path: &'p str,
    top: bool,
    found: &'f mut Found,
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // A key that comes twice counts by its last value, so an id at this very level is kept until the end.
        let mut own: Option<Result<String, IdError>> = None;
        while let Some(key) = map.next_key_seed(KeySeed { path: self.path, top: self.top })? {
            match key {
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Reserved(field) => {
                    map.next_value::<IgnoredAny>()?;
                    self.found.reserved.get_or_insert(field);
                }
                Key::Here => own = Some(id_of(map.next_value::<&RawValue>()?.get())),
                Key::Above(rest) => {
                    let value: &RawValue = map.next_value()?;
                    if value.get().starts_with('{') {
                        let level = Level { path: rest, top: false, found: self.found };
                        let inner = &mut serde_json::Deserializer::from_str(value.get());
                        inner.deserialize_map(level).map_err(serde::de::Error::custom)?;
                    }
                }
            }
        }
        if let Some(id) = own {
            self.found.add(id);
        }
        Ok(())
    }
}

/// Where a key stands to the primary key's path.
enum Key<'p> {
    /// Beside it.
    Other,
    /// It is the path.
    Here,
    /// The path goes on below it.
    Above(&'p str),
    /// It is Miroir's own.
    Reserved(String),
}

struct KeySeed<'p> {
    path: &'p str,
    top: bool,
}

impl<'de, 'p> DeserializeSeed<'de> for KeySeed<'p> {
    type Value = Key<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for KeySeed<'p> {
    type Value = Key<'p>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'p>, E> {
        let rest = self.path.strip_prefix(key);
        Ok(match rest {
            Some("") => Key::Here,
            Some(rest) if rest.starts_with('.') => Key::Above(rest.get(1..).unwrap_or_default()),
            _ if self.top && key.starts_with(RESERVED_PREFIX) => Key::Reserved(key.to_string()),
            _ => Key::Other,
        })
    }
}

fn id_of(value: &str) -> Result<String, IdError> {
    let invalid = || IdError::Invalid(value.to_string());
    if value.starts_with('"') {
        let text: String = serde_json::from_str(value).map_err(|_| invalid())?;
        return if is_document_id(&text) { Ok(text) } else { Err(invalid()) };
    }
    let number: serde_json::Number = serde_json::from_str(value).map_err(|_| invalid())?;
    if number.is_f64() { Err(invalid()) } else { Ok(number.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn id(document: &str, primary_key: &str) -> Result<String, IdError> {
        inspect(document, primary_key).unwrap().id
    }

    #[test]
    fn numbers_and_strings_are_ids_and_7_is_7() {
        assert_eq!(id(r#"{"id":7}"#, "id"), id(r#"{"id":"7"}"#, "id"));
        assert_eq!(id(r#"{"id":-7,"x":[1]}"#, "id"), Ok("-7".into()));
        assert_eq!(id(r#"{"\u0069d":"a-b_C"}"#, "id"), Ok("a-b_C".into()));
        assert_eq!(id(r#"{"id":1,"id":2}"#, "id"), Ok("2".into()));
    }

    #[test]
    fn what_meilisearch_refuses_is_no_id() {
        for value in ["1.5", "1.0", "null", "true", "[]", "{}", "\"\"", "\"a b\"", "\"é\"", "1e3"] {
            let document = format!(r#"{{"id":{value}}}"#);
            assert_eq!(id(&document, "id"), Err(IdError::Invalid(value.into())), "{value}");
        }
        assert!(id(&format!(r#"{{"id":"{}"}}"#, "a".repeat(512)), "id").is_err());
        assert!(id(&format!(r#"{{"id":"{}"}}"#, "a".repeat(511)), "id").is_ok());
        assert_eq!(id(r#"{"x":1}"#, "id"), Err(IdError::Missing));
    }

    #[test]
    fn primary_keys_may_be_nested() {
        assert_eq!(id(r#"{"a":{"b":1}}"#, "a.b"), Ok("1".into()));
        assert_eq!(id(r#"{"a.b":1}"#, "a.b"), Ok("1".into()));
        assert_eq!(id(r#"{"a":{"b.c":1}}"#, "a.b.c"), Ok("1".into()));
        assert_eq!(id(r#"{"a":5}"#, "a.b"), Err(IdError::Missing));
        assert_eq!(id(r#"{"a":{"b":1},"a.b":2}"#, "a.b"), Err(IdError::TooMany));
    }

    #[test]
    fn reserved_fields_are_named() {
        assert_eq!(
            inspect(r#"{"id":1,"_miroir_shard":2}"#, "id").unwrap().reserved,
            Some("_miroir_shard".into())
        );
        assert_eq!(inspect(r#"{"id":1,"a":{"_miroir_x":2}}"#, "id").unwrap().reserved, None);
    }

    #[test]
    fn the_primary_key_is_inferred_as_the_engine_does() {
        let infer =
            |fields: &[&str]| infer_primary_key(&fields.iter().map(|f| f.to_string()).collect::<Vec<_>>());
        assert_eq!(infer(&["title", "movieID"]), Ok("movieID".into()));
        assert_eq!(infer(&["x"]).unwrap_err().code, "index_primary_key_no_candidate_found");
        let several = infer(&["bid", "aid"]).unwrap_err();
        assert_eq!(several.code, "index_primary_key_multiple_candidates_found");
        assert!(several.message.contains("found 2 fields ending with `id` in their names: 'aid' and 'bid'"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(document: String, primary_key: String) {
            let _ = inspect(&document, &primary_key);
            let _ = fields(&document);
        }

        #[test]
        fn valid_ids_are_found(id in "[a-zA-Z0-9_-]{1,40}") {
            let document = format!(r#"{{"x":1,"id":"{id}"}}"#);
            prop_assert_eq!(inspect(&document, "id").unwrap().id, Ok(id));
        }
    }
}
