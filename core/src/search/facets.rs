//! Adding up facet counts of several nodes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use crate::error::{ApiError, ErrorType};
use crate::settings::FEW_CANDIDATES;
use crate::table::{FacetOrder, IndexFacts};
use crate::tag::TAG_FIELD;

/// `facetDistribution`: per facet the count of each value, in order.
pub type Distribution = BTreeMap<String, Map<String, Value>>;

/// `facetStats`: the range of the numbers of each facet.
pub type Stats = BTreeMap<String, Range>;

/// The smallest and largest number of a facet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// The first of the facets that are asked of an index without filterable attributes, taken out of the request: nodes
/// have the tag among those attributes, so that they might give what Meilisearch refuses.
pub fn take_unfilterable(facets: Option<&mut Value>, facts: &IndexFacts) -> Option<String> {
    let facets = facets.filter(|_| !facts.has_filterable_attributes)?;
    let first = match facets.as_array()?[..] {
        [Value::String(ref first), ..] => first.clone(),
        _ => return None,
    };
    facets.as_array()?.iter().all(Value::is_string).then(|| {
        *facets = Value::Null;
        first
    })
}

/// What Meilisearch says to a facet that it can't give, of an index without filterable attributes.
pub fn unfilterable(facet: &str, place: &str) -> ApiError {
    let message = format!(
        "{place}Invalid facet distribution: Pattern `{facet}` is not filterable. This index does not have configured \
         filterable attributes."
    );
    ApiError::new(400, "invalid_search_facets", ErrorType::InvalidRequest, message)
}

/// Adds up the distributions of several nodes, given in the order of the plan.
///
/// `stats` tells which facets hold numbers; `candidates` is how many documents match. `distinct` is the facet of which
/// one document at most counts for each value, as on each node so over all.
pub fn merge(
    nodes: &[&Distribution],
    stats: &Stats,
    candidates: u64,
    facts: &IndexFacts,
    distinct: Option<&str>,
) -> Distribution {
    let mut merged: BTreeMap<&str, HashMap<Cow<str>, (&str, u64)>> = BTreeMap::new();
    for (facet, values) in nodes.iter().flat_map(|node| node.iter()) {
        if facet == TAG_FIELD {
            continue;
        }
        let counts = merged.entry(facet).or_default();
        for (value, count) in values {
            // Of values that differ in case alone the engine shows one; so do we: the first node's.
            let (_, sum) = counts.entry(normalize(value)).or_insert((value, 0));
            let count = count.as_u64().unwrap_or(0);
            *sum = if distinct == Some(facet.as_str()) { count.max(*sum) } else { *sum + count };
        }
    }
    let ordered = |(facet, counts): (&str, HashMap<Cow<str>, (&str, u64)>)| {
        let values = order_values(counts, stats.get(facet), facts.facet_order(facet), candidates);
        let kept = values.into_iter().take(facts.max_values_per_facet);
        (facet.to_string(), kept.map(|(value, count)| (value.to_string(), count.into())).collect())
    };
    merged.into_iter().map(ordered).collect()
}

/// How often values of a facet were given by one node more: what the nodes count too often if each counts a value once.
pub fn repeats(nodes: &[&Distribution], facet: &str) -> u64 {
    let mut seen = HashSet::new();
    let values = nodes.iter().filter_map(|node| node.get(facet)).flat_map(Map::keys);
    values.filter(|value| !seen.insert(normalize(value))).count() as u64
}

/// The distribution of a node that answers alone: its own, as far as the client may see it.
pub fn cut(node: &Distribution, facts: &IndexFacts) -> Distribution {
    let cut = |values: &Map<String, Value>| {
        let kept = values.iter().take(facts.max_values_per_facet);
        kept.map(|(value, count)| (value.clone(), count.clone())).collect()
    };
    let shown = node.iter().filter(|(facet, _)| *facet != TAG_FIELD);
    shown.map(|(facet, values)| (facet.clone(), cut(values))).collect()
}

fn order_values<'v>(
    counts: HashMap<Cow<str>, (&'v str, u64)>,
    numbers: Option<&Range>,
    order: FacetOrder,
    candidates: u64,
) -> Vec<(&'v str, u64)> {
    let number = |value: &str| {
        let number: f64 = value.parse().ok()?;
        numbers.filter(|range| (range.min..=range.max).contains(&number)).map(|_| number)
    };
    let mut values: Vec<(Option<f64>, Cow<str>, &str, u64)> = counts
        .into_iter()
        .map(|(normalized, (value, count))| (number(value), normalized, value, count))
        .collect();
    let by_number = order == FacetOrder::Count || candidates > FEW_CANDIDATES;
    let by_value =
        |a: &(Option<f64>, Cow<str>, &str, u64), b: &(Option<f64>, Cow<str>, &str, u64)| match (a.0, b.0) {
            (Some(x), Some(y)) if by_number => x.total_cmp(&y),
            (Some(_), Some(_)) | (None, None) => a.1.cmp(&b.1),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
    values.sort_unstable_by(|a, b| match order {
        FacetOrder::Alpha => by_value(a, b),
        // Numbers are listed before strings here too, and of equal counts the engine takes the larger value first.
        FacetOrder::Count => {
            let class = a.0.is_none().cmp(&b.0.is_none());
            class.then(b.3.cmp(&a.3)).then_with(|| by_value(b, a))
        }
    });
    values.into_iter().map(|(_, _, value, count)| (value, count)).collect()
}

/// Joins the ranges of several nodes.
pub fn merge_stats(nodes: &[&Stats]) -> Stats {
    let mut merged = Stats::new();
    for (facet, range) in nodes.iter().flat_map(|node| node.iter()) {
        merged
            .entry(facet.clone())
            .and_modify(|known| {
                known.min = known.min.min(range.min);
                known.max = known.max.max(range.max);
            })
            .or_insert(*range);
    }
    merged
}

/// The form in which Meilisearch compares facet values: those that differ in case alone are equal.
pub fn normalize(value: &str) -> Cow<'_, str> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(value);
    }
    if value.is_ascii() {
        return Cow::Owned(value.to_ascii_lowercase());
    }
    // Character by character: marks are not put into order.
    let decomposed: String = value.chars().flat_map(|character| character.nfkd()).collect();
    Cow::Owned(decomposed.to_lowercase())
}

/// The letters of a [normalized](normalize) value without what marks them.
pub fn fold(normalized: &str) -> Cow<'_, str> {
    let is_mark = |character: &char| unicode_normalization::char::is_combining_mark(*character);
    match normalized.is_ascii() {
        true => Cow::Borrowed(normalized),
        false => Cow::Owned(normalized.chars().filter(|character| !is_mark(character)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn distribution(value: Value) -> Distribution {
        serde_json::from_value(value).unwrap()
    }

    fn merged(a: Value, b: Value, stats: Value, facts: &IndexFacts) -> String {
        merged_of(10, a, b, stats, facts)
    }

    fn merged_of(candidates: u64, a: Value, b: Value, stats: Value, facts: &IndexFacts) -> String {
        let stats: Stats = serde_json::from_value(stats).unwrap();
        let (a, b) = (distribution(a), distribution(b));
        serde_json::to_string(&merge(&[&a, &b], &stats, candidates, facts, None)).unwrap()
    }

    #[test]
    fn values_that_nodes_have_in_common_are_repeats() {
        let (a, b) = (json!({"g": {"a": 1, "B": 1}}), json!({"g": {"b": 1, "c": 1}, "h": {"c": 1}}));
        let (a, b) = (distribution(a), distribution(b));
        assert_eq!(
            (repeats(&[&a, &b], "g"), repeats(&[&a, &b, &b], "g"), repeats(&[&a, &b], "x")),
            (1, 3, 0)
        );
    }

    #[test]
    fn counts_add_up_per_value_in_alphabetical_order() {
        let facts = IndexFacts::default();
        let found = merged(json!({"g": {"a": 1, "c": 2}}), json!({"g": {"b": 5, "C": 1}}), json!({}), &facts);
        assert_eq!(found, r#"{"g":{"a":1,"b":5,"c":3}}"#);
    }

    #[test]
    fn a_distinct_value_counts_one_document() {
        let (a, b) = (json!({"d": {"x": 1, "y": 1}, "g": {"x": 1}}), json!({"d": {"x": 1}, "g": {"x": 1}}));
        let (a, b) = (distribution(a), distribution(b));
        let merged = merge(&[&a, &b], &Stats::new(), 3, &IndexFacts::default(), Some("d"));
        assert_eq!(merged, distribution(json!({"d": {"x": 1, "y": 1}, "g": {"x": 2}})));
    }

    #[test]
    fn ordered_by_count_the_most_frequent_survive_the_cut() {
        let mut facts = IndexFacts { max_values_per_facet: 2, ..IndexFacts::default() };
        facts.sort_facet_values_by.insert("*".into(), FacetOrder::Count);
        let found = merged(json!({"g": {"a": 3, "b": 2}}), json!({"g": {"c": 4, "b": 2}}), json!({}), &facts);
        assert_eq!(found, r#"{"g":{"c":4,"b":4}}"#);
    }

    #[test]
    fn numbers_come_before_strings() {
        let facts = IndexFacts::default();
        let stats = json!({"g": {"min": 2.0, "max": 10.0}});
        let found = merged(json!({"g": {"10": 1, "a": 1}}), json!({"g": {"2": 1, " ": 1}}), stats, &facts);
        assert_eq!(found, r#"{"g":{"10":1,"2":1," ":1,"a":1}}"#);
    }

    #[test]
    fn numbers_come_by_value_where_many_documents_match() {
        let facts = IndexFacts::default();
        let stats = json!({"g": {"min": 2.0, "max": 10.0}});
        let (a, b) = (json!({"g": {"10": 1}}), json!({"g": {"2": 1}}));
        let few = merged_of(3_000, a.clone(), b.clone(), stats.clone(), &facts);
        assert_eq!(few, r#"{"g":{"10":1,"2":1}}"#);
        assert_eq!(merged_of(3_001, a, b, stats, &facts), r#"{"g":{"2":1,"10":1}}"#);
    }

    #[test]
    fn a_node_alone_orders_its_values_itself() {
        let facts = IndexFacts { max_values_per_facet: 2, ..IndexFacts::default() };
        let node = distribution(json!({"g": {"9": 1, "10": 2, "11": 3}, "_miroir_shard": {"⸀": 9}}));
        assert_eq!(serde_json::to_string(&cut(&node, &facts)).unwrap(), r#"{"g":{"9":1,"10":2}}"#);
    }

    #[test]
    fn the_tag_is_no_facet() {
        let facts = IndexFacts::default();
        let found = merged(json!({"_miroir_shard": {"⸀": 9}}), json!({}), json!({}), &facts);
        assert_eq!(found, "{}");
    }

    #[test]
    fn ranges_join() {
        let a = Stats::from([("x".to_string(), Range { min: 1.0, max: 3.0 })]);
        let b = Stats::from([("x".to_string(), Range { min: 0.5, max: 2.0 })]);
        assert_eq!(merge_stats(&[&a, &b])["x"], Range { min: 0.5, max: 3.0 });
    }

    #[test]
    fn case_makes_no_new_value_but_accents_do() {
        assert_eq!(normalize(" ÉLAN Vital"), "e\u{301}lan vital");
        assert_eq!(normalize("élan vital"), normalize("Élan Vital"));
        assert_eq!(normalize("plain"), "plain");
        let facts = IndexFacts::default();
        let found = merged(json!({"g": {"Adrià G": 1}}), json!({"g": {"Adrian B": 1}}), json!({}), &facts);
        assert_eq!(found, r#"{"g":{"Adrian B":1,"Adrià G":1}}"#);
    }
}
