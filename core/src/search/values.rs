//! The values by which Meilisearch compares hits of different searches: those of a hybrid search's two halves, and
//! those of the queries of a federated one.
//!
//! Ranking rules that follow one another count as one score; sorts, distances and similarities stand for themselves.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::Value;

use crate::json::{self, NotJson};
use crate::search::rank::{compare_distances, compare_values, direction};

/// One of the values of a hit, the weightiest first.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreValue {
    /// Of ranking rules that follow one another: from 0 to 1.
    Score(f64),
    /// Of vectors: from 0 to 1.
    Similarity(f64),
    /// Of a sort, or of a custom ranking rule.
    Sort {
        /// Number, string or null.
        value: Value,
        /// Whether smaller is better.
        ascending: bool,
    },
    /// To a point, in metres; `None` for a document without a place.
    Distance {
        /// In metres.
        distance: Option<f64>,
        /// Whether nearer is better.
        ascending: bool,
    },
}

/// The score of a ranking rule as a fraction of its worst.
#[derive(Clone, Copy)]
struct Rank {
    score: f64,
    /// How many ranks the rule has.
    ranks: f64,
}

impl Rank {
    /// The rank of two rules of which the second breaks the ties of the first.
    fn then(self, inner: Rank) -> Rank {
        Rank { score: self.score - (1.0 - inner.score) / self.ranks, ranks: self.ranks * inner.ranks }
    }
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
    max_matching_words: Option<f64>,
    max_typo_count: Option<f64>,
    attribute_ranking_order_score: Option<f64>,
    query_word_distance_score: Option<f64>,
}

enum Part {
    Rank(String, Detail),
    Value(ScoreValue),
}

/// Reads the values out of a hit's `_rankingScoreDetails` and `_rankingScore`.
///
/// # Errors
/// [`NotJson`] if the details are not what Meilisearch writes.
pub fn read(details: &[u8], score: f64) -> Result<Vec<ScoreValue>, NotJson> {
    let mut rules: Vec<(String, Detail)> = Vec::with_capacity(8);
    let mut failed = false;
    json::for_each_member(details, |member| match serde_json::from_slice(member.value) {
        Ok(detail) => rules.push((String::from_utf8_lossy(member.key).into_owned(), detail)),
        Err(_) => failed = true,
    })?;
    if failed {
        return Err(NotJson);
    }
    rules.sort_by_key(|(_, detail)| detail.order);
    // Every word may be as far as 7 from the one before, and as far as 10 from where the query has it.
    let words = rules.iter().find_map(|(_, detail)| detail.max_matching_words).unwrap_or(1.0).max(1.0);
    let parts: Vec<Part> = rules.into_iter().map(|(name, detail)| part(name, detail)).collect();
    let groups = parts.chunk_by(|a, b| matches!((a, b), (Part::Rank(..), Part::Rank(..))));
    let scores = groups.clone().filter(|group| matches!(group.first(), Some(Part::Rank(..)))).count();
    let values = groups.filter_map(|group| match group {
        [Part::Value(value)] => Some(value.clone()),
        // The ranking score knows of no other value, and is exact.
        _ if scores == 1 => Some(ScoreValue::Score(score)),
        ranks => {
            let ranks = ranks.iter().filter_map(|part| match part {
                Part::Rank(name, detail) => Some(rank(name, detail, words)),
                Part::Value(_) => None,
            });
            ranks.reduce(Rank::then).map(|rank| ScoreValue::Score(rank.score))
        }
    });
    Ok(values.collect())
}

fn part(name: String, detail: Detail) -> Part {
    match direction(&name) {
        Some(ascending) if name.starts_with("_geoPoint(") => {
            Part::Value(ScoreValue::Distance { distance: detail.distance, ascending })
        }
        Some(ascending) => {
            Part::Value(ScoreValue::Sort { value: detail.value.unwrap_or_default(), ascending })
        }
        None if name == "vectorSort" => Part::Value(ScoreValue::Similarity(detail.similarity.unwrap_or(0.0))),
        None => Part::Rank(name, detail),
    }
}

fn rank(name: &str, detail: &Detail, words: f64) -> Rank {
    let score = detail.score.unwrap_or(0.0);
    let ranks = match name {
        "words" => detail.max_matching_words.unwrap_or(1.0),
        "typo" => detail.max_typo_count.unwrap_or(0.0) + 1.0,
        "proximity" => 7.0 * (words - 1.0) + 1.0,
        "attribute" => attribute_ranks(detail) * (10.0 * words + 1.0),
        "wordPosition" => 10.0 * words + 1.0,
        "exactness" => 3.0 * detail.max_matching_words.map_or(1.0, |words| words + 1.0),
        _ => 1.0,
    };
    Rank { score, ranks: ranks.max(1.0) }
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

fn compare_numbers(a: f64, b: f64) -> Ordering {
    if (a - b).abs() <= f64::EPSILON { Ordering::Equal } else { a.total_cmp(&b) }
}

/// Which of two hits of a hybrid search is better ([`Ordering::Greater`] for the first); each comes with the ratio by
/// which its half of the search counts.
pub fn compare_halves(a: (&[ScoreValue], f64), b: (&[ScoreValue], f64)) -> Ordering {
    let number = |value: &ScoreValue| match *value {
        ScoreValue::Score(score) | ScoreValue::Similarity(score) => Some(score),
        _ => None,
    };
    for (left, right) in a.0.iter().zip(b.0) {
        let order = match (number(left), number(right)) {
            (Some(left), Some(right)) => compare_numbers(left * a.1, right * b.1),
            (Some(0.0), None) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, Some(0.0)) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => compare_like(left, right).unwrap_or(Ordering::Equal),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.0.len().cmp(&b.0.len())
}

/// What a federated search compares of a hit.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// Its values.
    pub values: Vec<ScoreValue>,
    /// The weight of its query.
    pub weight: f64,
    /// `_federation.weightedRankingScore`.
    pub score: f64,
}

impl Weighted {
    /// Which of two hits is better: [`Ordering::Greater`] if this one is.
    pub fn compare(&self, other: &Weighted) -> Ordering {
        let (mut left, mut right) = (self.values.iter(), other.values.iter());
        loop {
            let (a, b) = match (left.next(), right.next()) {
                (Some(a), Some(b)) => (a, b),
                (a, b) => return a.is_some().cmp(&b.is_some()),
            };
            let order = match (a, b) {
                (
                    ScoreValue::Score(a) | ScoreValue::Similarity(a),
                    ScoreValue::Score(b) | ScoreValue::Similarity(b),
                ) => Some(compare_numbers(a * self.weight, b * other.weight)),
                // Meilisearch takes the farther of two for the better here, whatever the direction.
                (
                    ScoreValue::Distance { distance: Some(a), ascending },
                    ScoreValue::Distance { distance: Some(b), ascending: same },
                ) if ascending == same => Some(compare_numbers(*a, *b)),
                (a, b) => compare_like(a, b),
            };
            match order {
                Some(Ordering::Equal) => {}
                Some(order) => return order,
                // Values that can't be compared: more of them win, and of as many the score does.
                None => return left.len().cmp(&right.len()).then(self.score.total_cmp(&other.score)),
            }
        }
    }
}

/// Which of two sorts or distances is better; `None` if they are not of one kind and direction.
fn compare_like(a: &ScoreValue, b: &ScoreValue) -> Option<Ordering> {
    use ScoreValue::{Distance, Sort};
    match (a, b) {
        (Sort { value: a, ascending }, Sort { value: b, ascending: same }) if ascending == same => {
            Some(compare_values(a, b, *ascending).reverse())
        }
        (Distance { distance: a, ascending }, Distance { distance: b, ascending: same })
            if ascending == same =>
        {
            Some(compare_distances(*a, *b, *ascending).reverse())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn values(details: Value, score: f64) -> Vec<ScoreValue> {
        read(details.to_string().as_bytes(), score).unwrap()
    }

    fn sorted(value: Value) -> ScoreValue {
        ScoreValue::Sort { value, ascending: true }
    }

    #[test]
    fn rules_in_a_row_are_one_score() {
        let details = json!({
            "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
            "typo": {"order": 1, "typoCount": 1, "maxTypoCount": 2, "score": 2.0 / 3.0},
            "year:asc": {"order": 2, "value": 7},
        });
        assert_eq!(values(details, 5.0 / 6.0), [ScoreValue::Score(5.0 / 6.0), sorted(json!(7))]);
    }

    #[test]
    fn scores_around_a_sort_are_told_apart() {
        let details = json!({
            "words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 2, "score": 0.5},
            "typo": {"order": 1, "typoCount": 0, "maxTypoCount": 1, "score": 1.0},
            "year:asc": {"order": 2, "value": 7},
            "exactness": {"order": 3, "matchType": "exactMatch", "score": 1.0},
        });
        let expected = [ScoreValue::Score(0.5), sorted(json!(7)), ScoreValue::Score(1.0)];
        assert_eq!(values(details, 0.5), expected);
    }

    #[test]
    fn a_vector_is_its_similarity() {
        let details = json!({"vectorSort": {"order": 0, "similarity": 0.25}});
        assert_eq!(values(details, 0.25), [ScoreValue::Similarity(0.25)]);
        let none = json!({"vectorSort": {"order": 0, "similarity": null}});
        assert_eq!(values(none, 0.0), [ScoreValue::Similarity(0.0)]);
    }

    #[test]
    fn halves_are_weighed_against_each_other() {
        let keyword = [ScoreValue::Score(0.8)];
        let semantic = [ScoreValue::Similarity(0.9)];
        let order = |ratio: f64| compare_halves((&semantic, ratio), (&keyword, 1.0 - ratio));
        assert_eq!(order(0.5), Ordering::Greater);
        assert_eq!(order(0.4), Ordering::Less);
    }

    #[test]
    fn weights_count_and_then_the_sort() {
        let hit = |score: f64, weight: f64, year: u64| Weighted {
            values: vec![ScoreValue::Score(score), sorted(json!(year))],
            weight,
            score: score * weight,
        };
        assert_eq!(hit(0.5, 2.0, 9).compare(&hit(0.9, 1.0, 1)), Ordering::Greater);
        assert_eq!(hit(0.5, 2.0, 9).compare(&hit(1.0, 1.0, 1)), Ordering::Less);
        assert_eq!(hit(0.5, 1.0, 9).compare(&hit(0.5, 1.0, 9)), Ordering::Equal);
    }

    #[test]
    fn a_hit_with_scores_is_before_one_without() {
        let none = Weighted { values: Vec::new(), weight: 1.0, score: 1.0 };
        let some = Weighted { values: vec![ScoreValue::Score(0.1)], weight: 1.0, score: 0.1 };
        assert_eq!(some.compare(&none), Ordering::Greater);
        assert_eq!(none.compare(&some), Ordering::Less);
    }
}
