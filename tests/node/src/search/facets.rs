//! Counting the values of facets.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use milli_core::heed::RoTxn;
use milli_core::is_faceted_by;
use milli_core::{
    AttributePatterns, DEFAULT_VALUES_PER_FACET, FilterableAttributesRule, Index, PatternMatch,
};
use roaring::RoaringBitmap;
use serde::Serialize;

use crate::error::{ResponseError, Result};

/// The values of the facets among the documents found.
#[derive(Debug, Serialize)]
pub struct Facets {
    /// How many documents have each value of each facet.
    pub distribution: BTreeMap<String, IndexMap<String, u64>>,
    /// The smallest and largest number of each facet that has numbers.
    pub stats: BTreeMap<String, FacetStats>,
}

/// The smallest and largest number of a facet.
#[derive(Debug, Serialize)]
pub struct FacetStats {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// Counts the values of the facets that match these patterns.
pub fn count(
    index: &Index,
    rtxn: &RoTxn,
    patterns: &AttributePatterns,
    documents: RoaringBitmap,
) -> Result<Facets> {
    let rules = index.filterable_attributes_rules(rtxn)?;
    for pattern in &patterns.patterns {
        check(pattern, &rules)?;
    }
    let order = index.sort_facet_values_by(rtxn)?;
    let fields = index.fields_ids_map(rtxn)?;
    let facets = fields.names().filter(|name| {
        let rule = rules.iter().find(|rule| rule.match_str(name) == PatternMatch::Match);
        patterns.match_str(name) == PatternMatch::Match
            && rule.is_some_and(|rule| rule.features().is_filterable())
    });

    let mut distribution = index.facets_distribution(rtxn);
    distribution
        .max_values_per_facet(
            index.max_values_per_facet(rtxn)?.map_or(DEFAULT_VALUES_PER_FACET, |max| max as usize),
        )
        .facets(facets.map(|name| (name, order.get(name))))
        .default_order_by(order.get("*"))
        .candidates(documents);
    let stats = distribution.compute_stats()?;
    Ok(Facets {
        distribution: distribution.execute()?,
        stats: stats.into_iter().map(|(facet, (min, max))| (facet, FacetStats { min, max })).collect(),
    })
}

/// Refuses a pattern that no filterable attribute can match.
fn check(pattern: &str, rules: &[FilterableAttributesRule]) -> Result<()> {
    for (number, rule) in rules.iter().enumerate() {
        if rule.features().is_filterable() {
            if intersects(pattern, rule) {
                return Ok(());
            }
        } else if rule.match_str(pattern) == PatternMatch::Match {
            return Err(ResponseError::new(
                "invalid_search_facets",
                format!(
                    "Invalid facet distribution: Attribute `{pattern}` matched rule #{number} in \
                     filterableAttributes, but this rule does not enable filtering.\nHint: enable filtering in rule \
                     #{number} by modifying the features.filter object\nHint: prepend another rule matching \
                     `{pattern}` with appropriate filter features before rule #{number}"
                ),
            ));
        }
    }
    let mut filterable: Vec<_> =
        rules.iter().filter(|rule| rule.features().is_filterable()).flat_map(names).collect();
    filterable.sort_unstable();
    filterable.dedup();
    let hint = match filterable.as_slice() {
        [] => "This index does not have configured filterable attributes.".to_string(),
        patterns => format!("Available filterable attributes patterns are: `{}`.", patterns.join(", ")),
    };
    let message = format!("Invalid facet distribution: Pattern `{pattern}` is not filterable. {hint}");
    Err(ResponseError::new("invalid_search_facets", message))
}

fn names(rule: &FilterableAttributesRule) -> Vec<&str> {
    match rule {
        FilterableAttributesRule::Field(field) => vec![field],
        FilterableAttributesRule::Pattern(rule) => {
            rule.attribute_patterns.patterns.iter().map(String::as_str).collect()
        }
    }
}

/// Whether some attribute can match both.
fn intersects(pattern: &str, rule: &FilterableAttributesRule) -> bool {
    let matches = |pattern: &str, name: &str| {
        AttributePatterns::from(vec![pattern.to_string()]).match_str(name) != PatternMatch::NoMatch
    };
    match rule {
        FilterableAttributesRule::Field(field) => {
            is_faceted_by(field, pattern) || is_faceted_by(pattern, field) || matches(pattern, field)
        }
        FilterableAttributesRule::Pattern(_) => {
            names(rule).iter().any(|name| matches(pattern, name) || matches(name, pattern))
        }
    }
}
