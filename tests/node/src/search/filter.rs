//! Filters as requests write them.

use milli_core::Filter;
use serde_json::Value;

use crate::error::{ResponseError, Result};

/// Reads a filter, or says under this code why it is none. Contains no filter when it is empty.
pub fn parse<'a>(filter: &'a Value, code: &str) -> Result<Option<Filter<'a>>> {
    let filter = Filter::from_json(filter).map_err(|error| {
        let message = match &error {
            milli_core::Error::UserError(milli_core::UserError::InvalidFilterExpression(expected, found)) => {
                format!(
                    "Invalid syntax for the filter parameter: `expected {}, found: {found}`.",
                    expected.join(", ")
                )
            }
            error => error.to_string(),
        };
        ResponseError::new(code, message)
    })?;
    if let Some(token) = filter.as_ref().and_then(Filter::use_contains_operator) {
        let reason = ContainsIsExperimental;
        return Err(ResponseError::new("feature_not_enabled", token.as_external_error(reason).to_string()));
    }
    Ok(filter)
}

#[derive(Debug)]
struct ContainsIsExperimental;

impl std::fmt::Display for ContainsIsExperimental {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "Using `CONTAINS` in a filter requires enabling the `contains filter` experimental feature. \
             See https://github.com/orgs/meilisearch/discussions/763",
        )
    }
}

impl std::error::Error for ContainsIsExperimental {}
