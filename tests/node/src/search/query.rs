//! Carrying out a search and shaping its answer.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use milli_core::heed::RoTxn;
use milli_core::score_details::ScoringStrategy;
use milli_core::{AscDesc, Index, Search, SortError, TimeBudget, UserError};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::facets::{self, FacetStats, Facets};
use super::request::{MISSING_HYBRID, SearchRequest};
use super::{embedders, filter, hits};
use crate::error::{ResponseError, Result};

/// How far one can page unless the settings say otherwise.
pub const DEFAULT_MAX_TOTAL_HITS: usize = 1000;

/// The answer to a search.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchResponse {
    hits: Vec<Map<String, Value>>,
    query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_vector: Option<Vec<f32>>,
    processing_time_ms: u128,
    #[serde(flatten)]
    page: Page,
    #[serde(skip_serializing_if = "Option::is_none")]
    facet_distribution: Option<BTreeMap<String, IndexMap<String, u64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facet_stats: Option<BTreeMap<String, FacetStats>>,
    request_uid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    semantic_hit_count: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Page {
    #[serde(rename_all = "camelCase")]
    Numbered { hits_per_page: usize, page: usize, total_pages: usize, total_hits: usize },
    #[serde(rename_all = "camelCase")]
    Window { limit: usize, offset: usize, estimated_total_hits: usize },
}

/// What `Meili-Include-Metadata` asks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    query_uid: Uuid,
    index_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_key: Option<String>,
}

impl Metadata {
    /// What there is to know of a search.
    pub fn new(request: &SearchRequest, uid: &str, primary_key: Option<String>) -> Self {
        Self { query: request.q.clone(), query_uid: Uuid::now_v7(), index_uid: uid.to_string(), primary_key }
    }
}

/// The part of what a search finds that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// How many to skip.
    pub offset: usize,
    /// How many to give.
    pub limit: usize,
    /// Whether all are counted exactly.
    pub is_exhaustive: bool,
}

/// What the HTTP request around a search says about it.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The request, which a multi-search shares among its searches.
    pub request_uid: Uuid,
    /// Whether the client asked for metadata (`Meili-Include-Metadata`).
    pub with_metadata: bool,
}

/// Searches an index.
pub fn search(uid: &str, index: &Index, request: &SearchRequest, context: Context) -> Result<SearchResponse> {
    let begun = Instant::now();
    let rtxn = index.read_txn()?;
    let window = window(request, max_total_hits(index, &rtxn)?);
    let (found, semantic_hit_count) = find(uid, index, &rtxn, request, window, scoring_strategy(request))?;
    let total = found.candidates.len() as usize;
    let hits = hits::make(
        index,
        &rtxn,
        request,
        found.matching_words,
        &found.documents_ids,
        &found.document_scores,
    )?;
    let facets = request.facets.as_ref().map(|facets| facets::count(index, &rtxn, facets, found.candidates));
    let (facet_distribution, facet_stats) =
        facets.transpose()?.map(|Facets { distribution, stats }| (distribution, stats)).unzip();
    let primary_key = index.primary_key(&rtxn)?.map(String::from);

    Ok(SearchResponse {
        hits,
        query: request.q.clone().unwrap_or_default(),
        query_vector: request
            .vector
            .clone()
            .filter(|_| request.retrieve_vectors && semantic_hit_count.is_some()),
        processing_time_ms: begun.elapsed().as_millis(),
        page: page(request, total),
        facet_distribution,
        facet_stats,
        request_uid: context.request_uid,
        metadata: context.with_metadata.then(|| Metadata::new(request, uid, primary_key)),
        semantic_hit_count,
    })
}

/// Finds documents.
pub fn find(
    uid: &str,
    index: &Index,
    rtxn: &RoTxn,
    request: &SearchRequest,
    window: Window,
    scoring: ScoringStrategy,
) -> Result<(milli_core::SearchResult, Option<u32>)> {
    request.check_features()?;
    let in_index = |error| ResponseError::in_index(uid, error);
    let filter =
        request.filter.as_ref().map(|filter| filter::parse(filter, "invalid_search_filter")).transpose()?;
    let mut search = index.search(rtxn);
    search
        .time_budget(time_budget(index, rtxn)?)
        .terms_matching_strategy(request.matching_strategy.into())
        .exhaustive_number_hits(window.is_exhaustive)
        .scoring_strategy(scoring)
        .offset(window.offset)
        .limit(window.limit);
    if let Some(filter) = filter.flatten() {
        search.filter(filter);
    }
    if let Some(threshold) = request.ranking_score_threshold {
        search.ranking_score_threshold(threshold.0);
    }
    if let Some(distinct) = &request.distinct {
        search.distinct(distinct.clone());
    }
    if let Some(attributes) = &request.attributes_to_search_on {
        search.searchable_attributes(attributes);
    }
    if let Some(locales) = &request.locales {
        search.locales(locales.iter().map(|locale| locale.language).collect());
    }
    if let Some(sort) = &request.sort {
        let sort: Result<_, _> = sort.iter().map(|expression| AscDesc::from_str(expression)).collect();
        search.sort_criteria(sort.map_err(SortError::from)?);
    }
    let ratio = semantic_ratio(request)?;
    if ratio < 1.0
        && let Some(q) = &request.q
    {
        search.query(q);
    }
    if ratio > 0.0 {
        compare_vectors(&mut search, index, rtxn, request, ratio)?;
    }
    if ratio == 0.0 {
        Ok((search.execute().map_err(in_index)?, None))
    } else if ratio == 1.0 {
        let found = search.execute().map_err(in_index)?;
        let hits = found.document_scores.len() as u32;
        Ok((found, Some(hits)))
    } else {
        search.execute_hybrid(ratio).map_err(in_index)
    }
}

/// How long the ranking may take.
pub fn time_budget(index: &Index, rtxn: &RoTxn) -> Result<TimeBudget> {
    let cutoff = index.search_cutoff(rtxn)?;
    Ok(cutoff.map_or_else(TimeBudget::default, |cutoff| TimeBudget::new(Duration::from_millis(cutoff))))
}

/// How far one can page in an index.
pub fn max_total_hits(index: &Index, rtxn: &RoTxn) -> Result<usize> {
    Ok(index.pagination_max_total_hits(rtxn)?.map_or(DEFAULT_MAX_TOTAL_HITS, |max| max as usize))
}

/// The offset and the limit that the request asks for, within what the settings allow.
fn window(request: &SearchRequest, max_total_hits: usize) -> Window {
    let (offset, limit) = if request.is_paged() {
        let limit = request.hits_per_page.unwrap_or(20);
        // There is no page 0: it is empty.
        let before = request.page.unwrap_or(1).checked_sub(1);
        before.map_or((0, 0), |before| (limit.saturating_mul(before), limit))
    } else {
        (request.offset, request.limit)
    };
    let offset = offset.min(max_total_hits);
    Window { offset, limit: limit.min(max_total_hits - offset), is_exhaustive: request.is_paged() }
}

/// Where the hits are among all that were found, of which `maxTotalHits` hides some but uncounts none.
fn page(request: &SearchRequest, total: usize) -> Page {
    if request.is_paged() {
        let hits_per_page = request.hits_per_page.unwrap_or(20);
        let total_pages = if hits_per_page == 0 { 0 } else { total.div_ceil(hits_per_page) };
        Page::Numbered { hits_per_page, page: request.page.unwrap_or(1), total_pages, total_hits: total }
    } else {
        Page::Window { limit: request.limit, offset: request.offset, estimated_total_hits: total }
    }
}

fn scoring_strategy(request: &SearchRequest) -> ScoringStrategy {
    let needs_scores = request.show_ranking_score
        || request.show_ranking_score_details
        || request.ranking_score_threshold.is_some();
    if needs_scores { ScoringStrategy::Detailed } else { ScoringStrategy::Skip }
}

/// The share of the meaning: 0 when the search is by words alone, 1 when it is by meaning alone.
fn semantic_ratio(request: &SearchRequest) -> Result<f32> {
    let Some(hybrid) = &request.hybrid else {
        if request.vector.is_some() {
            return Err(ResponseError::new("missing_search_hybrid", MISSING_HYBRID));
        }
        return Ok(0.0);
    };
    let has_words = request.q.as_ref().is_some_and(|q| !q.trim().is_empty());
    Ok(match (hybrid.semantic_ratio.0, has_words, &request.vector) {
        (0.0, _, _) | (_, false, None) => 0.0,
        (_, false, Some(_)) => 1.0,
        (ratio, true, _) => ratio,
    })
}

fn compare_vectors<'a>(
    search: &mut Search<'a>,
    index: &Index,
    rtxn: &RoTxn,
    request: &SearchRequest,
    ratio: f32,
) -> Result<()> {
    let Some(hybrid) = &request.hybrid else { return Ok(()) };
    let embedders = embedders::load(index, rtxn)?;
    let unknown = || UserError::InvalidSearchEmbedder(hybrid.embedder.clone());
    let (embedder, _prompt, quantized) = embedders.get(&hybrid.embedder).ok_or_else(unknown)?;
    if let Some(vector) = &request.vector
        && vector.len() != embedder.dimensions()
    {
        let (expected, found) = (embedder.dimensions(), vector.len());
        return Err(UserError::InvalidVectorDimensions { expected, found }.into());
    }
    let vector = match &request.vector {
        Some(vector) => Some(vector.clone()),
        // A hybrid search embeds the words itself, when it needs to.
        None if ratio < 1.0 => None,
        None => {
            let deadline = Some(Instant::now() + Duration::from_secs(10));
            let embedded = embedder.embed_search(request.q.as_deref().unwrap_or_default(), deadline);
            Some(embedded.map_err(|error| UserError::from(milli_core::vector::Error::from(error)))?)
        }
    };
    search.semantic(hybrid.embedder.clone(), embedder, quantized, vector);
    Ok(())
}
