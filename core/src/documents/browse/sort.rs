//! The order of documents by the values of their fields, as nodes order them.

use std::cmp::Ordering;

use serde_json::Value;

use crate::json::NotJson;
use crate::search::facets::normalize;
use crate::search::rank::{RankKey, Rule, compare_values};

/// The mean radius of the earth, in metres: distances are only compared.
const EARTH_RADIUS: f64 = 6_371_000.0;

/// A sort rule.
#[derive(Clone, Debug, PartialEq)]
pub struct SortRule {
    by: By,
    ascending: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum By {
    Field(String),
    /// The distance to a latitude and a longitude.
    Point(f64, f64),
}

/// Reads sort rules; nodes have found them right.
pub fn rules(sort: &[String]) -> Vec<SortRule> {
    sort.iter().filter_map(|rule| read(rule)).collect()
}

fn read(rule: &str) -> Option<SortRule> {
    let (by, direction) = rule.trim().rsplit_once(':')?;
    let by = match point(by) {
        Some((latitude, longitude)) => By::Point(latitude, longitude),
        None => By::Field(by.to_owned()),
    };
    Some(SortRule { by, ascending: direction == "asc" })
}

fn point(by: &str) -> Option<(f64, f64)> {
    let (latitude, longitude) = by.strip_prefix("_geoPoint(")?.strip_suffix(')')?.split_once(',')?;
    Some((latitude.trim().parse().ok()?, longitude.trim().parse().ok()?))
}

/// The field whose value a sort rule is about.
pub fn field(rule: &str) -> String {
    match read(rule) {
        Some(SortRule { by: By::Field(field), .. }) => field,
        _ => "_geo".into(),
    }
}

/// Where a document stands.
pub fn key(rules: &[SortRule], document: &[u8]) -> Result<RankKey, NotJson> {
    let document: Value = serde_json::from_slice(document).map_err(|_| NotJson)?;
    let rule = |rule: &SortRule| {
        let ascending = rule.ascending;
        match &rule.by {
            By::Field(field) => Rule::Sort { value: best(&document, field, ascending), ascending },
            By::Point(latitude, longitude) => {
                let distance = distance(&document["_geo"], *latitude, *longitude);
                Rule::Distance { distance, ascending }
            }
        }
    };
    Ok(RankKey::Rules(rules.iter().map(rule).collect()))
}

/// Of several values the one that comes first counts.
fn best(document: &Value, field: &str, ascending: bool) -> Value {
    let mut best = Value::Null;
    visit(document, field, &mut |value| {
        let value = match value {
            Value::Bool(flag) => Value::String(flag.to_string()),
            Value::String(text) => Value::String(normalize(text).into_owned()),
            Value::Number(number) => Value::Number(number.clone()),
            _ => return,
        };
        if compare_values(&value, &best, ascending) == Ordering::Less {
            best = value;
        }
    });
    best
}

/// Visits the values at a path, of which each step may hold dots itself.
fn visit(value: &Value, path: &str, visitor: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match path.strip_prefix(&**key) {
                    Some("") => each(value, visitor),
                    Some(rest) if rest.starts_with('.') => {
                        visit(value, rest.trim_start_matches('.'), visitor)
                    }
                    _ => {}
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, path, visitor)),
        _ => {}
    }
}

fn each(value: &Value, visitor: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| each(value, visitor)),
        value => visitor(value),
    }
}

/// The distance on a sphere between a document's `_geo` and a point.
fn distance(geo: &Value, latitude: f64, longitude: f64) -> Option<f64> {
    let degrees =
        |value: &Value| value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse::<f64>().ok()));
    let [from_latitude, from_longitude, latitude, longitude] =
        [degrees(&geo["lat"])?, degrees(&geo["lng"])?, latitude, longitude].map(f64::to_radians);
    let half_chord = ((latitude - from_latitude) / 2.0).sin().powi(2)
        + from_latitude.cos() * latitude.cos() * ((longitude - from_longitude) / 2.0).sin().powi(2);
    Some(2.0 * EARTH_RADIUS * half_chord.sqrt().min(1.0).asin())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ordered(sort: &[&str], mut documents: Vec<Value>) -> Vec<Value> {
        let sort: Vec<String> = sort.iter().map(|rule| rule.to_string()).collect();
        let rules = rules(&sort);
        documents.sort_by(|a, b| {
            let [a, b] = [a, b].map(|document| key(&rules, document.to_string().as_bytes()).unwrap());
            a.compare(&b)
        });
        documents.into_iter().map(|document| document["id"].clone()).collect()
    }

    #[test]
    fn values_are_ordered_as_nodes_order_them() {
        let documents = vec![
            json!({"id": 1, "a": {"b": "Beta"}}),
            json!({"id": 2, "a.b": [9, 2]}),
            json!({"id": 3, "a": [{"b": "alpha"}]}),
            json!({"id": 4, "a": null}),
            json!({"id": 5, "a": {"b": 3}}),
            json!({"id": 6, "a": {"b": true}}),
        ];
        assert_eq!(ordered(&["a.b:asc"], documents.clone()), [2, 5, 3, 1, 6, 4]);
        assert_eq!(ordered(&["a.b:desc"], documents), [2, 5, 6, 1, 3, 4]);
    }

    #[test]
    fn places_are_ordered_by_distance() {
        let documents = vec![
            json!({"id": 1, "_geo": {"lat": 48.85, "lng": 2.35}}),
            json!({"id": 2}),
            json!({"id": 3, "_geo": {"lat": "45.46", "lng": "9.19"}}),
        ];
        assert_eq!(ordered(&["_geoPoint(45, 9):asc"], documents.clone()), [3, 1, 2]);
        assert_eq!(ordered(&["_geoPoint(45,9):desc"], documents), [1, 3, 2]);
    }

    proptest! {
        #[test]
        fn no_rule_makes_it_panic(rule: String, document in "[{}\\[\\]\",:a.b1]{0,30}") {
            let _ = field(&rule);
            let _ = key(&rules(&[rule]), document.as_bytes());
        }
    }
}
