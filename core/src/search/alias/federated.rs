//! A federated search that names aliases, as one that names indexes, and its answer with the names that the client used.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{ApiError, ErrorType};
use crate::json::{self, Cursor, NotJson, ObjectWriter};
use crate::routing::Routing;

/// Where a query that nodes get is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The place of the client's query.
    pub position: usize,
    /// The name that the client is to see in place of the index's uid.
    pub shown: Option<String>,
}

/// What the client named otherwise than the nodes do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By query of the nodes.
    pub origins: Vec<Origin>,
    /// The names of indexes in `facetsByIndex`, by uid.
    facets: BTreeMap<String, String>,
}

/// The index uid of a query; empty if it has none.
pub fn index_uid(query: &Value) -> &str {
    query.get("indexUid").and_then(Value::as_str).unwrap_or_default()
}

/// Gives a query another index uid.
pub fn set_index_uid(query: &mut Value, uid: &str) {
    if let Some(query) = query.as_object_mut() {
        query.insert("indexUid".into(), uid.into());
    }
}

/// The queries of a `/multi-search`, taken out of it.
pub fn take_queries(body: &mut Map<String, Value>) -> Vec<Value> {
    match body.get_mut("queries") {
        Some(Value::Array(queries)) => std::mem::take(queries),
        _ => Vec::new(),
    }
}

/// Puts the indexes in the place of aliases: of an alias of several indexes, each query becomes as many.
///
/// # Errors
/// If two names in `facetsByIndex` stand for one index.
pub fn resolve(routing: &Routing, body: &mut Map<String, Value>) -> Result<Names, ApiError> {
    let aliases = &routing.table.aliases;
    let mut names = Names::default();
    let mut queries = Vec::new();
    for (position, query) in take_queries(body).into_iter().enumerate() {
        let named = index_uid(&query).to_owned();
        let Some(indexes) = aliases.get(&named) else {
            names.origins.push(Origin { position, shown: None });
            queries.push(query);
            continue;
        };
        for index in indexes {
            let mut query = query.clone();
            set_index_uid(&mut query, index);
            queries.push(query);
            let shown = Some(named.clone()).filter(|_| indexes.len() == 1);
            names.origins.push(Origin { position, shown });
        }
    }
    body.insert("queries".into(), Value::Array(queries));
    let federation = body.get_mut("federation");
    if let Some(Value::Object(by_name)) =
        federation.and_then(|federation| federation.get_mut("facetsByIndex"))
    {
        let mut by_index = Map::new();
        for (name, facets) in std::mem::take(by_name) {
            let itself = [name.clone()];
            let indexes = aliases.get(&name).map_or(&itself[..], Vec::as_slice);
            for index in indexes {
                if by_index.insert(index.clone(), facets.clone()).is_some() {
                    return Err(named_twice(index));
                }
            }
            if let [index] = indexes {
                names.facets.insert(index.clone(), name);
            }
        }
        *by_name = by_index;
    }
    Ok(names)
}

fn named_twice(index: &str) -> ApiError {
    let message = format!(
        "Inside `.federation.facetsByIndex`: Index `{index}` is named twice, by its uid and by an alias, or by two aliases."
    );
    ApiError::new(400, "invalid_multi_search_facets_by_index", ErrorType::InvalidRequest, message)
}

impl Names {
    /// Of queries alone.
    pub fn of(origins: Vec<Origin>) -> Names {
        Names { origins, ..Names::default() }
    }

    /// The place of the client's query that a query of the nodes is from.
    pub fn position(&self, query: usize) -> usize {
        self.origins.get(query).map_or(query, |origin| origin.position)
    }

    /// The answer in the client's words.
    ///
    /// # Errors
    /// [`NotJson`] if it is none.
    pub fn put_into(&self, answer: &[u8]) -> Result<Vec<u8>, NotJson> {
        let mut body = ObjectWriter::new(Vec::with_capacity(answer.len()));
        let mut whole = Ok(());
        json::for_each_member(answer, |member| match member.key {
            b"hits" => {
                let hits = body.key("hits");
                whole = whole.and(self.write_hits(member.value, hits));
            }
            b"facetsByIndex" => {
                let by_index: Map<String, Value> = serde_json::from_slice(member.value).unwrap_or_default();
                let renamed = |(index, facets)| (self.facets.get(&index).cloned().unwrap_or(index), facets);
                let by_name: Map<String, Value> = by_index.into_iter().map(renamed).collect();
                body.value("facetsByIndex", &by_name);
            }
            b"queryVectors" => {
                let vectors: BTreeMap<usize, Value> =
                    serde_json::from_slice(member.value).unwrap_or_default();
                let moved = vectors.into_iter().map(|(query, vector)| (self.position(query), vector));
                body.value("queryVectors", &moved.collect::<BTreeMap<_, _>>());
            }
            _ => body.member(member.text),
        })?;
        whole.map(|()| body.finish())
    }

    fn write_hits(&self, hits: &[u8], out: &mut Vec<u8>) -> Result<(), NotJson> {
        out.push(b'[');
        let mut is_first = true;
        Cursor::new(hits).array(|cursor| {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            let mut hit = ObjectWriter::new(std::mem::take(out));
            let mut whole = Ok(());
            json::for_each_member(cursor.skip()?, |member| match member.key {
                b"_federation" => {
                    let written = self.origin(member.value);
                    match &written {
                        Ok(origin) => hit.key("_federation").extend_from_slice(origin),
                        Err(NotJson) => whole = Err(NotJson),
                    }
                }
                _ => hit.member(member.text),
            })?;
            *out = hit.finish();
            whole
        })?;
        out.push(b']');
        Ok(())
    }

    /// `_federation` in the client's words.
    fn origin(&self, federation: &[u8]) -> Result<Vec<u8>, NotJson> {
        let mut query = None;
        json::for_each_member(federation, |member| {
            if member.key == b"queriesPosition" {
                query = serde_json::from_slice::<usize>(member.value).ok();
            }
        })?;
        let origin = query.and_then(|query| self.origins.get(query)).ok_or(NotJson)?;
        let mut out = ObjectWriter::new(Vec::with_capacity(federation.len()));
        json::for_each_member(federation, |member| match (member.key, &origin.shown) {
            (b"queriesPosition", _) => out.value("queriesPosition", &origin.position),
            (b"indexUid", Some(shown)) => out.value("indexUid", shown),
            _ => out.member(member.text),
        })?;
        Ok(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn resolved(body: Value) -> (Value, Result<Names, ApiError>) {
        let mut table = table(4, 1, 1, 1);
        table.aliases.insert("films".into(), vec!["films_v2".into()]);
        table.aliases.insert("all".into(), vec!["books".into(), "films_v2".into()]);
        let mut body = body.as_object().cloned().unwrap();
        let names = resolve(&Routing::new(table), &mut body);
        (Value::Object(body), names)
    }

    #[test]
    fn an_alias_of_several_indexes_is_as_many_queries() {
        let (body, names) = resolved(json!({
            "queries": [{"indexUid": "all", "q": "x"}, {"indexUid": "films"}, {"indexUid": "other"}],
            "federation": {"facetsByIndex": {"all": ["g"], "other": null}},
        }));
        let indexes: Vec<&str> = body["queries"].as_array().unwrap().iter().map(index_uid).collect();
        assert_eq!(indexes, ["books", "films_v2", "films_v2", "other"]);
        assert_eq!(body["queries"][1]["q"], "x");
        let facets = json!({"books": ["g"], "films_v2": ["g"], "other": null});
        assert_eq!(body["federation"]["facetsByIndex"], facets);
        let names = names.unwrap();
        assert_eq!((0..5).map(|query| names.position(query)).collect::<Vec<_>>(), [0, 0, 1, 2, 4]);
    }

    #[test]
    fn the_answer_has_the_names_that_the_client_used() {
        let (_, names) = resolved(json!({
            "queries": [{"indexUid": "all"}, {"indexUid": "films"}],
            "federation": {"facetsByIndex": {"films": ["g"]}},
        }));
        let hit = |index: &str, query: usize| json!({"id": 1, "_federation": {"indexUid": index, "queriesPosition": query, "weightedRankingScore": 0.1}});
        let answer = json!({
            "hits": [hit("books", 0), hit("films_v2", 1), hit("films_v2", 2)],
            "facetsByIndex": {"films_v2": {"distribution": {}, "stats": {}}},
            "queryVectors": {"2": [0.5]}, "limit": 3,
        });
        let shown = names.unwrap().put_into(answer.to_string().as_bytes()).unwrap();
        let expected = json!({
            "hits": [hit("books", 0), hit("films_v2", 0), hit("films", 1)],
            "facetsByIndex": {"films": {"distribution": {}, "stats": {}}},
            "queryVectors": {"1": [0.5]}, "limit": 3,
        });
        assert_eq!(serde_json::from_slice::<Value>(&shown).unwrap(), expected);
    }

    #[test]
    fn facets_of_an_index_are_asked_for_once() {
        let (_, names) = resolved(json!({
            "queries": [{"indexUid": "films"}],
            "federation": {"facetsByIndex": {"films": ["g"], "films_v2": ["h"]}},
        }));
        assert_eq!(names.unwrap_err().code, "invalid_multi_search_facets_by_index");
    }
}
