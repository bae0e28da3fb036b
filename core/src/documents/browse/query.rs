//! What a client asks for.

use serde_json::{Map, Value, json};

use crate::documents::id::is_document_id;
use crate::fan_out::Unreadable;
use crate::search::url;

/// How many documents come if nobody says how many.
const DEFAULT_LIMIT: u64 = 20;

/// A request for documents, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub offset: u64,
    pub limit: u64,
    /// `None` for all.
    pub fields: Option<Vec<String>>,
    pub ids: Option<Vec<String>>,
    pub filter: Option<Value>,
    pub sort: Option<Vec<String>>,
    /// What is passed on as it is.
    pub rest: Map<String, Value>,
}

impl Query {
    /// Reads the query string of a `GET`.
    pub fn of_url(query: &str) -> Result<Query, Unreadable> {
        Query::of_body(url::parse_documents(query)?)
    }

    /// Reads the body of a `POST`.
    pub fn of_body(body: Map<String, Value>) -> Result<Query, Unreadable> {
        let mut query = Query {
            offset: 0,
            limit: DEFAULT_LIMIT,
            fields: None,
            ids: None,
            filter: None,
            sort: None,
            rest: Map::new(),
        };
        for (key, value) in body {
            match &*key {
                "offset" => query.offset = value.as_u64().ok_or(Unreadable)?,
                "limit" => query.limit = value.as_u64().ok_or(Unreadable)?,
                "fields" if value.is_null() => {}
                "fields" => query.fields = Some(texts(value)?),
                "ids" if value.is_null() => {}
                "ids" => query.ids = Some(ids(value)?),
                "filter" => query.filter = Some(value).filter(|filter| !filter.is_null()),
                "sort" if value.is_null() => {}
                "sort" => query.sort = Some(texts(value)?),
                "retrieveVectors" if value.is_boolean() => {
                    query.rest.insert(key, value);
                }
                // The nodes are no network of their own.
                "useNetwork" if value.is_null() || value == json!(false) => {}
                _ => return Err(Unreadable),
            }
        }
        Ok(query)
    }

    /// Up to which place documents are asked for.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.limit)
    }
}

fn texts(value: Value) -> Result<Vec<String>, Unreadable> {
    let Value::Array(texts) = value else { return Err(Unreadable) };
    let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(Unreadable) };
    texts.into_iter().map(text).collect()
}

fn ids(value: Value) -> Result<Vec<String>, Unreadable> {
    let Value::Array(ids) = value else { return Err(Unreadable) };
    let id = |value| match value {
        Value::String(id) if is_document_id(&id) => Ok(id),
        Value::Number(id) if !id.is_f64() => Ok(id.to_string()),
        _ => Err(Unreadable),
    };
    ids.into_iter().map(id).collect()
}
