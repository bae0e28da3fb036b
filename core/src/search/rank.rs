//! The key by which hits of several nodes are put in one order.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::Value;

use crate::json;

/// Where a hit stands in the ranking. Smaller is better.
#[derive(Clone, Debug, PartialEq)]
pub enum RankKey {
    /// `_rankingScore`, which orders alone where no rule sorts by a value.
    Score(f64),
    /// The ranking rules in their order, from `_rankingScoreDetails`.
    Rules(Vec<Rule>),
    /// A search rule pins it to this place, counted from 0, whatever its rank.
    Pin(usize),
}

/// What one ranking rule says of a hit.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// As a fraction of the rule's best: larger is better.
    Score {
        /// From 0 to 1.
        score: f64,
        /// How many ranks the rule has.
        ranks: f64,
    },
    /// Of vectors: larger is better. `None` for a document without one.
    Similarity(Option<f64>),
    /// The value of a sort, or of a custom ranking rule.
    Sort {
        /// Number, string or null.
        value: Value,
        /// Whether smaller is better.
        ascending: bool,
    },
    /// The distance to a point, in metres; `None` for a document without a place.
    Distance {
        /// In metres.
        distance: Option<f64>,
        /// Whether nearer is better.
        ascending: bool,
    },
    /// A rule that we don't know: all hits are equal to it.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    order: u64,
    score: Option<f64>,
    similarity: Option<f64>,
    distance: Option<f64>,
    value: Option<Value>,
    position: Option<usize>,
    matching_words: Option<f64>,
    max_matching_words: Option<f64>,
    max_typo_count: Option<f64>,
    attribute_ranking_order_score: Option<f64>,
    query_word_distance_score: Option<f64>,
}

impl RankKey {
    /// Reads a hit's `_rankingScoreDetails`.
    ///
    /// # Errors
    /// [`json::NotJson`] if they are not what Meilisearch writes.
    pub fn from_details(details: &[u8]) -> Result<RankKey, json::NotJson> {
        let mut rules: Vec<(String, Detail)> = Vec::with_capacity(8);
        let mut failed = false;
        json::for_each_member(details, |member| match serde_json::from_slice(member.value) {
            Ok(detail) => rules.push((String::from_utf8_lossy(member.key).into_owned(), detail)),
            Err(_) => failed = true,
        })?;
        if failed {
            return Err(json::NotJson);
        }
        if let Some((_, Detail { position: Some(place), .. })) = rules.iter().find(|(name, _)| name == "pin")
        {
            return Ok(RankKey::Pin(*place));
        }
        rules.sort_by_key(|(_, detail)| detail.order);
        // Of the words that are left each may be as far as 3 from the one before, and as far as 10 from its place.
        let left = |(name, detail): &(String, Detail)| detail.matching_words.filter(|_| name == "words");
        let words = rules.iter().find_map(left).unwrap_or(1.0).max(1.0);
        Ok(RankKey::Rules(rules.into_iter().map(|(name, detail)| rule(&name, detail, words)).collect()))
    }
}

fn rule(name: &str, detail: Detail, words: f64) -> Rule {
    match (direction(name), detail) {
        (Some(ascending), Detail { distance, .. }) if name.starts_with("_geoPoint(") => {
            Rule::Distance { distance, ascending }
        }
        (Some(ascending), Detail { value, .. }) => Rule::Sort { value: value.unwrap_or_default(), ascending },
        (None, detail @ Detail { score: Some(score), .. }) => {
            Rule::Score { score, ranks: ranks(name, &detail, words) }
        }
        (None, Detail { similarity, .. }) if name == "vectorSort" => Rule::Similarity(similarity),
        // There was no time left for this rule and those after it.
        (None, _) if name == "skipped" => Rule::Score { score: 0.0, ranks: 1.0 },
        (None, _) => Rule::Unknown,
    }
}

/// How many ranks a rule has.
fn ranks(rule: &str, detail: &Detail, words: f64) -> f64 {
    let ranks = match rule {
        "words" => detail.max_matching_words.unwrap_or(1.0),
        "typo" => detail.max_typo_count.unwrap_or(0.0) + 1.0,
        "proximity" => 3.0 * (words - 1.0) + 1.0,
        "attribute" => attribute_ranks(detail) * (10.0 * words + 1.0),
        "wordPosition" => 10.0 * words + 1.0,
        "exactness" => 3.0 * detail.max_matching_words.map_or(1.0, |words| words + 1.0),
        _ => 1.0,
    };
    ranks.max(1.0)
}

/// How many ranks the order of attributes has, as far as it takes part in the score of the `attribute` rule.
fn attribute_ranks(detail: &Detail) -> f64 {
    let (Some(score), Some(attribute), Some(position)) =
        (detail.score, detail.attribute_ranking_order_score, detail.query_word_distance_score)
    else {
        return 1.0;
    };
    if position < 1.0 && attribute > score { ((1.0 - position) / (attribute - score)).round() } else { 1.0 }
}

/// Whether a rule sorts ascending; `None` if it doesn't sort by a value.
pub fn direction(rule: &str) -> Option<bool> {
    match rule.rsplit_once(':') {
        Some((_, "asc")) => Some(true),
        Some((_, "desc")) => Some(false),
        _ => None,
    }
}

impl RankKey {
    /// The place that the hit is pinned to.
    pub fn pin(&self) -> Option<usize> {
        match self {
            RankKey::Pin(position) => Some(*position),
            _ => None,
        }
    }

    /// Whether the hit was found by its vector.
    pub fn is_semantic(&self) -> bool {
        let rules = match self {
            RankKey::Rules(rules) => &rules[..],
            RankKey::Score(_) | RankKey::Pin(_) => &[],
        };
        rules.iter().any(|rule| matches!(rule, Rule::Similarity(_)))
    }

    /// Which of two hits comes first; [`Ordering::Equal`] for a tie.
    pub fn compare(&self, other: &RankKey) -> Ordering {
        match (self, other) {
            (RankKey::Score(a), RankKey::Score(b)) => b.total_cmp(a),
            (RankKey::Rules(a), RankKey::Rules(b)) => a
                .iter()
                .zip(b)
                .map(|(a, b)| a.compare(b))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
            _ => Ordering::Equal,
        }
    }
}

impl Rule {
    fn compare(&self, other: &Rule) -> Ordering {
        match (self, other) {
            (Rule::Score { score: a, .. }, Rule::Score { score: b, .. }) => b.total_cmp(a),
            (Rule::Sort { value: a, ascending }, Rule::Sort { value: b, .. }) => {
                compare_values(a, b, *ascending)
            }
            (Rule::Distance { distance: a, ascending }, Rule::Distance { distance: b, .. }) => {
                compare_distances(*a, *b, *ascending)
            }
            (Rule::Similarity(a), Rule::Similarity(b)) => compare_distances(*a, *b, false),
            _ => Ordering::Equal,
        }
    }
}

/// The order of distances: a missing one is last, in both directions.
pub fn compare_distances(a: Option<f64>, b: Option<f64>, ascending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => directed(a.total_cmp(&b), ascending),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// Meilisearch's order of sort values: numbers before strings, and missing ones last, in both directions.
pub fn compare_values(a: &Value, b: &Value, ascending: bool) -> Ordering {
    let class = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        _ => 2,
    };
    let within = || match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            directed(a.total_cmp(&b), ascending)
        }
        (Value::String(a), Value::String(b)) => directed(a.cmp(b), ascending),
        _ => Ordering::Equal,
    };
    class(a).cmp(&class(b)).then_with(within)
}

fn directed(order: Ordering, ascending: bool) -> Ordering {
    if ascending { order } else { order.reverse() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn key(details: Value) -> RankKey {
        RankKey::from_details(details.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn rules_count_in_their_order_not_as_written() {
        let a = key(json!({"year:desc": {"order": 1, "value": 2000}, "words": {"order": 0, "score": 0.5}}));
        let b = key(json!({"words": {"order": 0, "score": 1.0}, "year:desc": {"order": 1, "value": 1990}}));
        assert_eq!(a.compare(&b), Ordering::Greater);
    }

    #[test]
    fn numbers_come_before_strings_and_missing_values_last_in_both_directions() {
        let values = [json!(1), json!(2.5), json!("a"), json!("b"), json!(null)];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(compare_values(a, b, true), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare_values(&json!(1), &json!(2), false), Ordering::Greater);
        assert_eq!(compare_values(&json!(1), &json!("a"), false), Ordering::Less);
        assert_eq!(compare_values(&json!("a"), &json!(null), false), Ordering::Less);
    }

    #[test]
    fn places_are_ordered_by_distance() {
        let at = |distance: Value| {
            key(json!({"_geoPoint(1,2):asc": {"order": 0, "value": {}, "distance": distance}}))
        };
        assert_eq!(at(json!(10)).compare(&at(json!(20.5))), Ordering::Less);
        assert_eq!(at(json!(10)).compare(&at(json!(null))), Ordering::Less);
    }

    #[test]
    fn documents_without_a_vector_come_last() {
        let at = |similarity: Value| key(json!({"vectorSort": {"order": 0, "similarity": similarity}}));
        assert_eq!(at(json!(0.9)).compare(&at(json!(0.1))), Ordering::Less);
        assert_eq!(at(json!(0.0)).compare(&at(json!(null))), Ordering::Less);
        assert!(at(json!(null)).is_semantic());
    }

    #[test]
    fn details_that_are_none_are_refused() {
        assert!(RankKey::from_details(b"{\"words\":1}").is_err());
        assert!(RankKey::from_details(b"[]").is_err());
    }
}
