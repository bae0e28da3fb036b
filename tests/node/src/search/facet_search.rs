//! Searching among the values of a facet.

use std::time::Instant;

use milli_core::{Index, PatternMatch, SearchForFacetValues};
use serde::Serialize;
use serde_json::{Value, json};

use super::filter;
use super::query::time_budget;
use super::request::{Hybrid, MatchingStrategy, RankingScoreThreshold};
use crate::error::{ResponseError, Result};
use crate::http::invalid::Reason;
use crate::settings::values::Locale;

/// The body of a facet search. Other parameters of a search are ignored.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct FacetSearchRequest {
    #[deserr(default)]
    pub facet_query: Option<String>,
    pub facet_name: String,
    #[deserr(default)]
    pub q: Option<String>,
    #[deserr(default)]
    pub hybrid: Option<Hybrid>,
    #[deserr(default)]
    pub filter: Option<Value>,
    #[deserr(default)]
    pub matching_strategy: MatchingStrategy,
    #[deserr(default)]
    pub attributes_to_search_on: Option<Vec<String>>,
    #[deserr(default)]
    pub ranking_score_threshold: Option<RankingScoreThreshold>,
    #[deserr(default)]
    pub locales: Option<Vec<Locale>>,
    #[deserr(default)]
    pub exhaustive_facet_count: Option<bool>,
}

/// The values found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FacetSearchResponse {
    facet_hits: Vec<Value>,
    facet_query: Option<String>,
    processing_time_ms: u128,
}

/// Searches among the values of a facet.
pub fn search(index: &Index, request: FacetSearchRequest) -> Result<FacetSearchResponse> {
    let begun = Instant::now();
    let rtxn = index.read_txn()?;
    if !index.facet_search(&rtxn)? {
        let message = "The facet search is disabled for this index";
        return Err(ResponseError::new("facet_search_disabled", message));
    }
    let filter =
        request.filter.as_ref().map(|filter| filter::parse(filter, "invalid_search_filter")).transpose()?;

    let mut search = index.search(&rtxn);
    search
        .time_budget(time_budget(index, &rtxn)?)
        .terms_matching_strategy(request.matching_strategy.into())
        .exhaustive_number_hits(request.exhaustive_facet_count.unwrap_or(false));
    if let Some(q) = &request.q {
        search.query(q);
    }
    if let Some(filter) = filter.flatten() {
        search.filter(filter);
    }
    if let Some(attributes) = &request.attributes_to_search_on {
        search.searchable_attributes(attributes);
    }
    if let Some(threshold) = request.ranking_score_threshold {
        search.ranking_score_threshold(threshold.0);
    }
    if let Some(locales) = &request.locales {
        search.locales(locales.iter().map(|locale| locale.language).collect());
    }

    let mut facet_search =
        SearchForFacetValues::new(request.facet_name.clone(), search, request.hybrid.is_some());
    if let Some(query) = &request.facet_query {
        facet_search.query(query);
    }
    if let Some(max) = index.max_values_per_facet(&rtxn)? {
        facet_search.max_values(max as usize);
    }
    // The languages of the facet count, narrowed to those of the request.
    let rules = index.localized_attributes_rules(&rtxn)?.unwrap_or_default();
    if let Some(rule) =
        rules.into_iter().find(|rule| rule.match_str(&request.facet_name) == PatternMatch::Match)
    {
        let asked = request.locales.as_ref();
        let is_asked =
            |language: &_| asked.is_none_or(|asked| asked.iter().any(|locale| locale.language == *language));
        facet_search.locales(rule.locales.into_iter().filter(is_asked).collect());
    }
    let values = facet_search.execute()?;
    Ok(FacetSearchResponse {
        facet_hits: values.into_iter().map(|hit| json!({ "value": hit.value, "count": hit.count })).collect(),
        facet_query: request.facet_query,
        processing_time_ms: begun.elapsed().as_millis(),
    })
}
