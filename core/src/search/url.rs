//! `GET /indexes/{uid}/search`: the parameters of the query string as the body of a `POST`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fan_out::Unreadable;

/// Reads the query string of a search.
///
/// # Errors
/// [`Unreadable`] for what Meilisearch would refuse: a node should say why.
pub fn parse(query: &str) -> Result<Map<String, Value>, Unreadable> {
    let mut body = Map::new();
    for (key, value) in parameters(query) {
        match &*key {
            "hybridEmbedder" => {
                hybrid(&mut body)?.insert("embedder".into(), json!(value));
            }
            "hybridSemanticRatio" => {
                hybrid(&mut body)?.insert("semanticRatio".into(), number(&value)?);
            }
            "q" | "cropMarker" | "highlightPreTag" | "highlightPostTag" | "matchingStrategy" | "distinct" => {
                body.insert(key.into(), json!(value));
            }
            "page" | "hitsPerPage" | "cropLength" => {
                body.insert(key.into(), integer(&value)?);
            }
            "attributesToCrop" | "attributesToHighlight" | "attributesToSearchOn" | "facets" | "locales" => {
                body.insert(key.into(), list(&value));
            }
            "showMatchesPosition" => {
                body.insert(key.into(), boolean(&value)?);
            }
            "sort" => {
                body.insert(key.into(), sort(&value));
            }
            "vector" => {
                body.insert(key.into(), vector(&value)?);
            }
            _ => {
                let value = common(&key, &value)?;
                body.insert(key.into(), value);
            }
        }
    }
    Ok(body)
}

/// Reads the query string of a request for similar documents.
///
/// # Errors
/// [`Unreadable`] for what Meilisearch would refuse: a node should say why.
pub fn parse_similar(query: &str) -> Result<Map<String, Value>, Unreadable> {
    let parameter = |(key, value): (Cow<str>, Cow<str>)| {
        let value = match &*key {
            "id" | "embedder" => json!(value),
            _ => common(&key, &value)?,
        };
        Ok((key.into_owned(), value))
    };
    parameters(query).into_iter().map(parameter).collect()
}

/// Reads the query string of a request for documents.
///
/// # Errors
/// [`Unreadable`] for what Meilisearch would refuse: a node should say why.
pub fn parse_documents(query: &str) -> Result<Map<String, Value>, Unreadable> {
    let parameter = |(key, value): (Cow<str>, Cow<str>)| {
        let value = match &*key {
            "fields" if value == "*" => Value::Null,
            "fields" | "ids" => list(&value),
            "sort" => sort(&value),
            "offset" | "limit" | "retrieveVectors" | "filter" => common(&key, &value)?,
            _ => return Err(Unreadable),
        };
        Ok((key.into_owned(), value))
    };
    parameters(query).into_iter().map(parameter).collect()
}

/// Of a parameter that is there twice the last one counts.
fn parameters(query: &str) -> BTreeMap<Cow<'_, str>, Cow<'_, str>> {
    form_urlencoded::parse(query.as_bytes()).collect()
}

/// A parameter that both have.
fn common(key: &str, value: &str) -> Result<Value, Unreadable> {
    match key {
        "offset" | "limit" => integer(value),
        "attributesToRetrieve" => Ok(list(value)),
        "retrieveVectors" | "showRankingScore" | "showRankingScoreDetails" | "showPerformanceDetails" => {
            boolean(value)
        }
        "filter" => Ok(serde_json::from_str(value).unwrap_or_else(|_| json!(value))),
        "rankingScoreThreshold" => number(value),
        _ => Err(Unreadable),
    }
}

fn hybrid(body: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, Unreadable> {
    body.entry("hybrid").or_insert_with(|| json!({})).as_object_mut().ok_or(Unreadable)
}

fn integer(text: &str) -> Result<Value, Unreadable> {
    text.parse::<usize>().map(|integer| json!(integer)).map_err(|_| Unreadable)
}

fn number(text: &str) -> Result<Value, Unreadable> {
    text.parse::<f64>().map(|number| json!(number)).map_err(|_| Unreadable)
}

fn boolean(text: &str) -> Result<Value, Unreadable> {
    text.parse::<bool>().map(|flag| json!(flag)).map_err(|_| Unreadable)
}

fn vector(text: &str) -> Result<Value, Unreadable> {
    text.split(',').map(|part| number(part.trim())).collect::<Result<_, _>>().map(Value::Array)
}

fn list(text: &str) -> Value {
    text.split(',').map(|part| json!(part.trim())).collect()
}

/// Splits sort rules at commas, but not at the one inside of `_geoPoint(lat, lng)`.
fn sort(text: &str) -> Value {
    let mut depth = 0usize;
    let separates = |character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    };
    text.split(separates).map(|rule| json!(rule.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn parameters_become_a_body() {
        let body =
            parse("q=a%20b&limit=3&sort=_geoPoint(1,%202):asc,year:desc&facets=a,b&showRankingScore=true");
        let expected = json!({
            "q": "a b", "limit": 3, "sort": ["_geoPoint(1, 2):asc", "year:desc"],
            "facets": ["a", "b"], "showRankingScore": true
        });
        assert_eq!(body.map(Value::Object), Ok(expected));
        let filter = parse("filter=%5B%22a%20%3D%201%22%5D").unwrap().remove("filter");
        assert_eq!(filter, Some(json!(["a = 1"])));
        let filter = parse("filter=a%20%3D%201").unwrap().remove("filter");
        assert_eq!(filter, Some(json!("a = 1")));
    }

    #[test]
    fn what_a_node_would_refuse_is_unreadable() {
        for query in ["limit=x", "foo=1", "showRankingScore=1"] {
            assert_eq!(parse(query), Err(Unreadable), "{query}");
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        assert_eq!(parse("q=a&limit=x&limit=2&q=b"), parse("q=b&limit=2"));
    }
}
