//! Reading requests: JSON bodies, query strings, index uids.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use deserr::{DeserializeError, Deserr, ErrorKind, MergeWithError, ValuePointerRef, take_cf_content};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::invalid::{Body, Domain, Invalid, QueryString, Reason};
use crate::error::{ResponseError, Result};

/// Reads a JSON body.
pub fn body<T: Deserr<Invalid<Body>>>(headers: &HeaderMap, bytes: &Bytes, domain: Domain) -> Result<T> {
    deserr::deserialize::<T, _, Invalid<Body>>(json::<Value>(headers, bytes)?)
        .map_err(|invalid| invalid.into_error(domain))
}

/// Reads a JSON body whose fields need no names of their own in errors.
pub fn json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &Bytes) -> Result<T> {
    const ACCEPTED: &str = "Accepted values for the Content-Type header are: `application/json`";

    match headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default()) {
        None => {
            let message = format!("A Content-Type header is missing. {ACCEPTED}");
            return Err(ResponseError::new("missing_content_type", message));
        }
        Some(given) if given.split(';').next().map(str::trim) != Some("application/json") => {
            let message = format!("The Content-Type `{given}` is invalid. {ACCEPTED}");
            return Err(ResponseError::new("invalid_content_type", message));
        }
        Some(_) => {}
    }
    if bytes.is_empty() {
        return Err(ResponseError::new("missing_payload", "A json payload is missing."));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => ResponseError::new("bad_request", format!("Json deserialize error: {error}")),
        _ => ResponseError::new(
            "malformed_payload",
            format!("The json payload provided is malformed. `{error}`."),
        ),
    })
}

/// What the text of a query parameter stands for.
#[derive(Debug, Clone, Copy)]
pub enum Parameter {
    /// The text itself.
    Text,
    /// A whole number.
    Integer,
    /// A number between 0 and 1, which messages call by this name.
    Ratio(&'static str),
    /// `true` or `false`.
    Boolean,
    /// Values separated by commas.
    List,
    /// Whole numbers separated by commas; `*` is no list at all.
    IntegerList,
    /// Numbers separated by commas.
    FloatList,
    /// A filter: an expression, or JSON.
    Filter,
    /// Sort expressions separated by commas, of which `_geoPoint` has one of its own.
    Sort,
}

/// Reads a query string into the type that its route's JSON body has.
pub fn query<T: Deserr<Invalid<QueryString>>>(
    query: Option<&str>,
    known: &[(&str, Parameter)],
    domain: Domain,
) -> Result<T> {
    from_parameters(parameters(query, known, domain)?, domain)
}

/// Reads a query string into JSON values.
pub fn parameters(
    query: Option<&str>,
    known: &[(&str, Parameter)],
    domain: Domain,
) -> Result<Map<String, Value>> {
    let mut parameters = Map::new();
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let invalid: Invalid<QueryString> = match known.iter().find(|(known, _)| *known == name) {
            Some((_, parameter)) => match parameter.read(&text) {
                Ok(value) => {
                    parameters.insert(name.into_owned(), value);
                    continue;
                }
                Err(reason) => take_cf_content(MergeWithError::merge(
                    None,
                    reason,
                    ValuePointerRef::Origin.push_key(&name),
                )),
            },
            None => {
                let accepted: Vec<_> = known.iter().map(|(known, _)| *known).collect();
                let unknown = ErrorKind::UnknownKey { key: &name, accepted: &accepted };
                take_cf_content(Invalid::error::<Infallible>(None, unknown, ValuePointerRef::Origin))
            }
        };
        return Err(invalid.into_error(domain));
    }
    Ok(parameters)
}

/// Reads the JSON values of a query string into the type that its route's JSON body has.
pub fn from_parameters<T: Deserr<Invalid<QueryString>>>(
    parameters: Map<String, Value>,
    domain: Domain,
) -> Result<T> {
    deserr::deserialize::<T, _, Invalid<QueryString>>(Value::Object(parameters))
        .map_err(|invalid| invalid.into_error(domain))
}

impl Parameter {
    fn read(self, text: &str) -> Result<Value, Reason> {
        Ok(match self {
            Self::Text => text.into(),
            Self::Integer => integer(text)?,
            Self::Ratio(name) => match text.parse::<f64>() {
                Ok(number) => number.into(),
                Err(_) => return Err(Reason::not_a_ratio(name)),
            },
            Self::FloatList => text.split(',').map(|number| float(number.trim())).collect::<Vec<_>>().into(),
            Self::Boolean => match text {
                "true" => true.into(),
                "false" => false.into(),
                _ => {
                    let reason = "as a boolean, expected either `true` or `false`";
                    return Err(Reason(format!("could not parse `{text}` {reason}")));
                }
            },
            Self::List => text.split(',').collect::<Vec<_>>().into(),
            Self::IntegerList => match text {
                "*" => Value::Null,
                list => list
                    .split(',')
                    .map(|number| integer(number.trim()))
                    .collect::<Result<Vec<_>, _>>()?
                    .into(),
            },
            Self::Filter => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
            Self::Sort => sort_expressions(text).into(),
        })
    }
}

fn integer(text: &str) -> Result<Value, Reason> {
    let number = text.parse::<u64>();
    number.map(Value::from).map_err(|_| Reason(format!("could not parse `{text}` as a positive integer")))
}

/// A number, or the text itself, for the field's own type to refuse.
fn float(text: &str) -> Value {
    text.parse::<f64>().map_or_else(|_| text.into(), Value::from)
}

/// Splits at the commas, except at the one inside `_geoPoint(lat,lng)`.
fn sort_expressions(text: &str) -> Vec<String> {
    let mut expressions: Vec<String> = Vec::new();
    for part in text.trim_matches('"').split(',').map(str::trim) {
        match expressions.last_mut() {
            Some(last) if last.starts_with("_geoPoint(") && !last.contains(')') => {
                last.push(',');
                last.push_str(part);
            }
            _ => expressions.push(part.to_string()),
        }
    }
    expressions
}

/// An index uid that is well formed. (The limit is Meilisearch's own, whatever the message says.)
pub fn index_uid(uid: &str) -> Result<&str> {
    let well_formed = !uid.is_empty()
        && uid.len() <= 400
        && uid.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'));
    if well_formed {
        return Ok(uid);
    }
    let message = format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric \
         characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    );
    Err(ResponseError::new("invalid_index_uid", message))
}

/// An index uid in a body.
#[derive(deserr::Deserr)]
#[deserr(try_from(String) = Uid::new -> Reason)]
pub struct Uid(pub String);

impl Uid {
    fn new(uid: String) -> Result<Self, Reason> {
        index_uid(&uid).map_err(Reason::new)?;
        Ok(Self(uid))
    }
}
