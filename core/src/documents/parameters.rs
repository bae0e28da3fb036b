//! The parameters of writes.

use std::sync::Arc;

use crate::any_node::{AnyNode, Expect};
use crate::exchange::{Answer, CallId, Exchange, Report, RequestHead, Step};
use crate::routing::Routing;

/// What the query string of a write says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `primaryKey`.
    pub primary_key: Option<String>,
    /// `csvDelimiter`.
    pub csv_delimiter: Option<u8>,
    /// `customMetadata`.
    pub custom_metadata: Option<String>,
    /// `skipCreation`.
    pub skip_creation: Option<bool>,
}

/// A query string that is none of a write's: a node says best what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadParameter;

impl Parameters {
    /// The parameters of an addition or update of documents.
    ///
    /// # Errors
    /// If Meilisearch would refuse them.
    pub fn of_addition(query: &str) -> Result<Parameters, BadParameter> {
        let mut parameters = Parameters::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "primaryKey" => parameters.primary_key = Some(value.into_owned()),
                "csvDelimiter" => parameters.csv_delimiter = Some(delimiter(&value)?),
                "customMetadata" => parameters.custom_metadata = Some(value.into_owned()),
                "skipCreation" if value.eq_ignore_ascii_case("true") => {
                    parameters.skip_creation = Some(true);
                }
                "skipCreation" if value.eq_ignore_ascii_case("false") => {
                    parameters.skip_creation = Some(false);
                }
                _ => return Err(BadParameter),
            }
        }
        Ok(parameters)
    }

    /// The parameters of all other writes: `customMetadata` alone.
    ///
    /// # Errors
    /// If Meilisearch would refuse them.
    pub fn of_change(query: &str) -> Result<Parameters, BadParameter> {
        let mut parameters = Parameters::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "customMetadata" => parameters.custom_metadata = Some(value.into_owned()),
                _ => return Err(BadParameter),
            }
        }
        Ok(parameters)
    }
}

fn delimiter(value: &str) -> Result<u8, BadParameter> {
    match value.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(BadParameter),
    }
}

/// Has a node say what is wrong with the parameters of a request. The node doesn't get the client's body: should it
/// find nothing wrong, it must have nothing to do.
#[derive(Debug)]
pub struct RefusedHead {
    node: AnyNode,
    body: &'static str,
}

impl RefusedHead {
    /// The exchange before the body, for a route on which `body` does nothing.
    pub fn new(routing: Arc<Routing>, head: RequestHead, body: &'static str) -> RefusedHead {
        RefusedHead { node: AnyNode::new(routing, head, Expect::Refusal), body }
    }
}

impl Exchange for RefusedHead {
    fn body(&mut self, _: &[u8], end: bool) -> Step {
        if end { self.node.begin(self.body.into()) } else { Step::Wait }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        self.node.answered(call, answer)
    }

    fn report(&self) -> Report {
        self.node.report()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn parameters_are_what_meilisearch_takes_for_them() {
        let expected = Parameters {
            primary_key: Some("a b".into()),
            csv_delimiter: Some(b';'),
            custom_metadata: Some("x&y".into()),
            skip_creation: Some(true),
        };
        let query = "primaryKey=a+b&csvDelimiter=%3B&customMetadata=x%26y&skipCreation=True";
        assert_eq!(Parameters::of_addition(query), Ok(expected));
        for query in ["csvDelimiter=", "csvDelimiter=ab", "csvDelimiter=é", "skipCreation=1", "primarykey=x"]
        {
            assert_eq!(Parameters::of_addition(query), Err(BadParameter), "{query}");
        }
        assert_eq!(Parameters::of_change("primaryKey=x"), Err(BadParameter));
    }
}
