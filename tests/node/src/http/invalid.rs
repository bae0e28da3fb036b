//! What is wrong with a request, in Meilisearch's words and under its codes.
//!
//! Meilisearch names the code of an invalid field after the field, so the place where deserialization
//! stopped is enough to tell it: `.attributesToCrop[2]` of a search is `invalid_search_attributes_to_crop`.

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use deserr::errors::{JsonError, QueryParamError};
use deserr::{DeserializeError, ErrorKind, IntoValue, MergeWithError, ValuePointerRef, take_cf_content};

use crate::error::ResponseError;

/// A field of a request that could not be understood.
pub struct Invalid<F> {
    message: String,
    fault: Fault,
    path: Vec<String>,
    format: PhantomData<F>,
}

/// A JSON body, whose errors read `Invalid value at `.limit``.
pub struct Body;

/// A query string, whose errors read `Invalid value in parameter `limit``.
pub struct QueryString;

/// How a format words its errors.
pub trait Format {
    /// deserr's own wording for the format.
    fn message<V: IntoValue>(error: ErrorKind<V>, location: ValuePointerRef) -> String;
}

impl Format for Body {
    fn message<V: IntoValue>(error: ErrorKind<V>, location: ValuePointerRef) -> String {
        take_cf_content(JsonError::error(None, error, location)).to_string()
    }
}

impl Format for QueryString {
    fn message<V: IntoValue>(error: ErrorKind<V>, location: ValuePointerRef) -> String {
        // To the user a list is one parameter.
        let parameter = match location {
            ValuePointerRef::Index { prev, .. } => *prev,
            location => location,
        };
        take_cf_content(QueryParamError::error(None, error, parameter)).to_string()
    }
}

enum Fault {
    UnknownField,
    ImmutableField(String),
    MissingField(String),
    Value,
}

/// The part of the API a request belongs to; it names the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `/indexes` and `/indexes/{uid}`.
    Index,
    /// `/stats` and `/indexes/{uid}/stats`.
    Stats,
    /// `/indexes/{uid}/documents…`.
    Document,
    /// `/indexes/{uid}/settings…`.
    Settings,
    /// `/indexes/{uid}/search` and `/multi-search`.
    Search,
    /// `/indexes/{uid}/facet-search`.
    FacetSearch,
    /// `/swap-indexes`.
    Swap,
    /// `/tasks…`.
    Task,
    /// `/keys…`.
    Key,
}

impl<F: Format> Invalid<F> {
    /// The error to answer with in this part of the API.
    pub fn into_error(self, domain: Domain) -> ResponseError {
        ResponseError::new(self.code(domain), self.message)
    }

    /// A field that the type does not have; the immutable ones are told as such.
    pub fn unknown_field(
        immutable: &[&str],
        field: &str,
        accepted: &[&str],
        location: ValuePointerRef,
    ) -> Self {
        if immutable.contains(&field) {
            let accepted: Vec<_> = accepted.iter().map(|field| format!("`{field}`")).collect();
            let message = format!("Immutable field `{field}`: expected one of {}", accepted.join(", "));
            let fault = Fault::ImmutableField(field.to_string());
            return Self { message, fault, path: keys(location), format: PhantomData };
        }
        take_cf_content(Self::error::<Infallible>(
            None,
            ErrorKind::UnknownKey { key: field, accepted },
            location,
        ))
    }

    fn code(&self, domain: Domain) -> String {
        if domain == Domain::Settings
            && let Some(setting) = self.path.first()
        {
            return format!("invalid_settings_{}", snake_case(setting));
        }
        let field = match &self.fault {
            Fault::ImmutableField(field) => {
                let thing = if domain == Domain::Key { "api_key" } else { "index" };
                return format!("immutable_{thing}_{}", snake_case(field));
            }
            Fault::UnknownField | Fault::MissingField(_)
                if self.path.last().is_some_and(|key| key == "hybrid") =>
            {
                return "invalid_search_hybrid_query".to_string();
            }
            Fault::UnknownField => return "bad_request".to_string(),
            Fault::MissingField(field) => {
                return match (domain, field.as_str()) {
                    (Domain::Index, "uid") | (Domain::Search, "indexUid") => "missing_index_uid".to_string(),
                    (Domain::FacetSearch, "facetName") => "missing_facet_search_facet_name".to_string(),
                    (Domain::Swap, "indexes") => "missing_swap_indexes".to_string(),
                    (Domain::Document, "filter") => "missing_document_filter".to_string(),
                    (Domain::Key, field) => format!("missing_api_key_{}", snake_case(field)),
                    _ => "bad_request".to_string(),
                };
            }
            Fault::Value => self.path.last(),
        };
        let Some(field) = field else { return "bad_request".to_string() };
        match (domain, field.as_str()) {
            (Domain::Search | Domain::FacetSearch, "hybrid") => "invalid_search_hybrid_query".to_string(),
            (Domain::Search | Domain::Task, "indexUid" | "indexUids") => "invalid_index_uid".to_string(),
            (Domain::FacetSearch, "facetName") => "invalid_facet_search_facet_name".to_string(),
            (Domain::FacetSearch, "facetQuery") => "invalid_facet_search_query".to_string(),
            (Domain::FacetSearch, "exhaustiveFacetCount") => {
                "invalid_facet_search_exhaustive_facet_count".to_string()
            }
            (Domain::Search, "queries") => "bad_request".to_string(),
            (Domain::Task, "batchUids") => "invalid_batch_uids".to_string(),
            (Domain::Document, "primaryKey" | "customMetadata") => {
                format!("invalid_index_{}", snake_case(field))
            }
            (Domain::Document, "skipCreation") => "invalid_skip_creation".to_string(),
            (Domain::Search | Domain::FacetSearch, field) => format!("invalid_search_{}", snake_case(field)),
            (Domain::Swap, "rename") => "invalid_swap_rename".to_string(),
            (Domain::Swap, _) => "invalid_swap_indexes".to_string(),
            (Domain::Index, field) => format!("invalid_index_{}", snake_case(field)),
            (Domain::Stats, field) => format!("invalid_stats_{}", snake_case(field)),
            (Domain::Document, field) => format!("invalid_document_{}", snake_case(field)),
            (Domain::Task, field) => format!("invalid_task_{}", snake_case(field)),
            (Domain::Key, field) => format!("invalid_api_key_{}", snake_case(field)),
            (Domain::Settings, field) => format!("invalid_settings_{}", snake_case(field)),
        }
    }
}

/// The keys that lead to a place, arrays left out.
fn keys(location: ValuePointerRef) -> Vec<String> {
    match location {
        ValuePointerRef::Origin => Vec::new(),
        ValuePointerRef::Key { key, prev } => {
            let mut keys = keys(*prev);
            keys.push(key.to_string());
            keys
        }
        ValuePointerRef::Index { prev, .. } => keys(*prev),
    }
}

fn snake_case(camel_case: &str) -> String {
    let mut snake_case = String::with_capacity(camel_case.len() + 4);
    for character in camel_case.chars() {
        if character.is_uppercase() {
            snake_case.push('_');
        }
        snake_case.extend(character.to_lowercase());
    }
    snake_case
}

impl<F: Format> DeserializeError for Invalid<F> {
    fn error<V: IntoValue>(
        _previous: Option<Self>,
        error: ErrorKind<V>,
        location: ValuePointerRef,
    ) -> ControlFlow<Self, Self> {
        let fault = match &error {
            ErrorKind::UnknownKey { .. } => Fault::UnknownField,
            ErrorKind::MissingField { field } => Fault::MissingField(field.to_string()),
            _ => Fault::Value,
        };
        let message = F::message(error, location);
        ControlFlow::Break(Self { message, fault, path: keys(location), format: PhantomData })
    }
}

/// The first error is the one that is told.
impl<F> MergeWithError<Invalid<F>> for Invalid<F> {
    fn merge(_previous: Option<Self>, other: Self, _location: ValuePointerRef) -> ControlFlow<Self, Self> {
        ControlFlow::Break(other)
    }
}

/// Why a value that has the right type is not right, in words.
#[derive(Debug)]
pub struct Reason(pub String);

impl Reason {
    /// The reason in someone else's words.
    pub fn new(reason: impl Display) -> Self {
        Self(reason.to_string())
    }

    /// The number is not between 0 and 1.
    pub fn not_a_ratio(field: &str) -> Self {
        Self(format!("the value of `{field}` is invalid, expected a float between `0.0` and `1.0`."))
    }
}

impl<F: Format> MergeWithError<Reason> for Invalid<F> {
    fn merge(_previous: Option<Self>, reason: Reason, location: ValuePointerRef) -> ControlFlow<Self, Self> {
        Self::error::<Infallible>(None, ErrorKind::Unexpected { msg: reason.0 }, location)
    }
}
