//! The values by which Meilisearch compares hits of different searches: those of a hybrid search's two halves, and
//! those of the queries of a federated one.
//!
//! Ranking rules that follow one another count as one score; sorts, distances and similarities stand for themselves.

use std::cmp::Ordering;

use crate::search::rank::{Rule, compare_distances, compare_values};

/// The values of a hit, the weightiest first, each as a rule of its own. `rules` are those of its
/// `_rankingScoreDetails`, `score` is its `_rankingScore`.
pub fn of_rules(rules: &[Rule], score: f64) -> Vec<Rule> {
    let known: Vec<&Rule> = rules.iter().filter(|rule| !matches!(rule, Rule::Unknown)).collect();
    let is_score = |rule: &Rule| matches!(rule, Rule::Score { .. });
    let groups = known.chunk_by(|a, b| is_score(a) && is_score(b));
    let scores = groups.clone().filter(|group| group.first().is_some_and(|rule| is_score(rule))).count();
    let values = groups.filter_map(|group| match group {
        // The ranking score knows of no other value, and is exact.
        [Rule::Score { .. }, ..] if scores == 1 => Some(Rule::Score { score, ranks: 1.0 }),
        group => group.iter().copied().cloned().reduce(tie_broken_by),
    });
    values.collect()
}

/// The one rule that two amount to of which the second breaks the ties of the first.
fn tie_broken_by(outer: Rule, inner: Rule) -> Rule {
    match (outer, inner) {
        (Rule::Score { score, ranks }, Rule::Score { score: inner, ranks: inner_ranks }) => {
            Rule::Score { score: score - (1.0 - inner) / ranks, ranks: ranks * inner_ranks }
        }
        (outer, _) => outer,
    }
}

/// What counts of a rule where hits are weighed against each other.
fn number(rule: &Rule) -> Option<f64> {
    match *rule {
        Rule::Score { score, .. } => Some(score),
        Rule::Similarity(similarity) => Some(similarity.unwrap_or(0.0)),
        _ => None,
    }
}

fn compare_numbers(a: f64, b: f64) -> Ordering {
    if (a - b).abs() <= f64::EPSILON { Ordering::Equal } else { a.total_cmp(&b) }
}

/// Which of two hits of a hybrid search is better ([`Ordering::Greater`] for the first); each comes with the ratio by
/// which its half of the search counts.
pub fn compare_halves(a: (&[Rule], f64), b: (&[Rule], f64)) -> Ordering {
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
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// Its values.
    pub values: &'a [Rule],
    /// The weight of its query.
    pub weight: f64,
    /// `_federation.weightedRankingScore`.
    pub score: f64,
}

impl Weighted<'_> {
    /// Which of two hits is better: [`Ordering::Greater`] if this one is.
    pub fn compare(&self, other: &Weighted) -> Ordering {
        let (mut left, mut right) = (self.values.iter(), other.values.iter());
        loop {
            let (a, b) = match (left.next(), right.next()) {
                (Some(a), Some(b)) => (a, b),
                (a, b) => return a.is_some().cmp(&b.is_some()),
            };
            let order = match (number(a), number(b)) {
                (Some(a), Some(b)) => Some(compare_numbers(a * self.weight, b * other.weight)),
                _ => compare_federated(a, b),
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

fn compare_federated(a: &Rule, b: &Rule) -> Option<Ordering> {
    match (a, b) {
        // Meilisearch takes the farther of two for the better here, whatever the direction.
        (
            Rule::Distance { distance: Some(a), ascending },
            Rule::Distance { distance: Some(b), ascending: same },
        ) if ascending == same => Some(compare_numbers(*a, *b)),
        (a, b) => compare_like(a, b),
    }
}

/// Which of two sorts or distances is better; `None` if they are not of one kind and direction.
fn compare_like(a: &Rule, b: &Rule) -> Option<Ordering> {
    use Rule::{Distance, Sort};
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
    use serde_json::{Value, json};

    use super::*;
    use crate::search::rank::RankKey;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn values(details: Value, score: f64) -> Vec<Rule> {
        match RankKey::from_details(details.to_string().as_bytes()).unwrap() {
            RankKey::Rules(rules) => of_rules(&rules, score),
            key => panic!("{key:?}"),
        }
    }

    fn scored(score: f64) -> Rule {
        Rule::Score { score, ranks: 1.0 }
    }

    fn sorted(value: Value) -> Rule {
        Rule::Sort { value, ascending: true }
    }

    #[test]
    fn rules_in_a_row_are_one_score() {
        let details = json!({
            "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
            "typo": {"order": 1, "typoCount": 1, "maxTypoCount": 2, "score": 2.0 / 3.0},
            "year:asc": {"order": 2, "value": 7},
        });
        assert_eq!(values(details, 5.0 / 6.0), [scored(5.0 / 6.0), sorted(json!(7))]);
    }

    #[test]
    fn scores_around_a_sort_are_told_apart() {
        let details = json!({
            "words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 2, "score": 0.5},
            "typo": {"order": 1, "typoCount": 0, "maxTypoCount": 1, "score": 1.0},
            "year:asc": {"order": 2, "value": 7},
            "exactness": {"order": 3, "matchType": "exactMatch", "score": 1.0},
        });
        let expected = [
            Rule::Score { score: 0.5, ranks: 4.0 },
            sorted(json!(7)),
            Rule::Score { score: 1.0, ranks: 3.0 },
        ];
        assert_eq!(values(details, 0.5), expected);
    }

    #[test]
    fn a_vector_is_its_similarity() {
        let details = json!({"vectorSort": {"order": 0, "similarity": 0.25}});
        assert_eq!(values(details, 0.25), [Rule::Similarity(Some(0.25))]);
        let none = json!({"vectorSort": {"order": 0, "similarity": null}});
        assert_eq!(values(none, 0.0), [Rule::Similarity(None)]);
    }

    #[test]
    fn halves_are_weighed_against_each_other() {
        let keyword = [scored(0.8)];
        let semantic = [Rule::Similarity(Some(0.9))];
        let order = |ratio: f64| compare_halves((&semantic, ratio), (&keyword, 1.0 - ratio));
        assert_eq!(order(0.5), Ordering::Greater);
        assert_eq!(order(0.4), Ordering::Less);
    }

    #[test]
    fn weights_count_and_then_the_sort() {
        let compare = |a: (f64, f64, u64), b: (f64, f64, u64)| {
            let values = [a, b].map(|(score, _, year)| [scored(score), sorted(json!(year))]);
            let weighted = |(score, weight, _), values| Weighted { values, weight, score: score * weight };
            weighted(a, &values[0]).compare(&weighted(b, &values[1]))
        };
        assert_eq!(compare((0.5, 2.0, 9), (0.9, 1.0, 1)), Ordering::Greater);
        assert_eq!(compare((0.5, 2.0, 9), (1.0, 1.0, 1)), Ordering::Less);
        assert_eq!(compare((0.5, 1.0, 9), (0.5, 1.0, 9)), Ordering::Equal);
    }

    #[test]
    fn a_hit_with_scores_is_before_one_without() {
        let none = Weighted { values: &[], weight: 1.0, score: 1.0 };
        let some = Weighted { values: &[scored(0.1)], weight: 1.0, score: 0.1 };
        assert_eq!(some.compare(&none), Ordering::Greater);
        assert_eq!(none.compare(&some), Ordering::Less);
    }
}
