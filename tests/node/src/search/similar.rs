//! Documents whose vectors are near that of another document.

use std::collections::BTreeSet;
use std::time::Instant;

use milli_core::documents::validate_document_id_value;
use milli_core::{Index, Similar, UserError};
use serde_json::{Value, json};

use super::request::{RankingScoreThreshold, SearchRequest};
use super::{embedders, filter, hits};
use crate::auth::access::Access;
use crate::error::{ResponseError, Result};
use crate::http::invalid::{Domain, Reason};
use crate::http::request::{self, Parameter};

/// The body of `/similar`.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct SimilarRequest {
    pub id: Value,
    #[deserr(default)]
    pub offset: usize,
    #[deserr(default = 20)]
    pub limit: usize,
    #[deserr(default)]
    pub filter: Option<Value>,
    pub embedder: String,
    #[deserr(default)]
    pub attributes_to_retrieve: Option<BTreeSet<String>>,
    #[deserr(default)]
    pub retrieve_vectors: bool,
    #[deserr(default)]
    pub show_ranking_score: bool,
    #[deserr(default)]
    pub show_ranking_score_details: bool,
    /// Taken and not served: the engine does not measure its steps.
    #[deserr(default)]
    pub show_performance_details: bool,
    #[deserr(default)]
    pub ranking_score_threshold: Option<RankingScoreThreshold>,
}

impl SimilarRequest {
    /// Reads a query string.
    pub fn from_query(query: Option<&str>) -> Result<Self> {
        const PARAMETERS: [(&str, Parameter); 11] = [
            ("id", Parameter::Text),
            ("embedder", Parameter::Text),
            ("offset", Parameter::Integer),
            ("limit", Parameter::Integer),
            ("attributesToRetrieve", Parameter::List),
            ("retrieveVectors", Parameter::Boolean),
            ("filter", Parameter::Filter),
            ("showRankingScore", Parameter::Boolean),
            ("showRankingScoreDetails", Parameter::Boolean),
            ("showPerformanceDetails", Parameter::Boolean),
            ("rankingScoreThreshold", Parameter::Ratio("rankingScoreThreshold")),
        ];
        request::query(query, &PARAMETERS, Domain::Similar)
    }
}

/// Finds the documents nearest to one. A document that the tenant token hides is not there.
pub fn search(uid: &str, index: &Index, request: SimilarRequest, access: &Access) -> Result<Value> {
    const CODE: &str = "invalid_similar_filter";

    let begun = Instant::now();
    let in_index = |error| ResponseError::in_index(uid, error);
    let rtxn = index.read_txn()?;
    let embedders = embedders::load(index, &rtxn)?;
    let unknown = || UserError::InvalidSimilarEmbedder(request.embedder.clone());
    let (embedder, _prompt, quantized) = embedders.get(&request.embedder).ok_or_else(unknown)?;
    let mut rule = None;
    access.restrict(uid, &mut rule);
    let mut asked = request.filter.clone();
    access.restrict(uid, &mut asked);
    let rule = rule.as_ref().map(|rule| filter::parse(rule, CODE)).transpose()?.flatten();
    let asked = asked.as_ref().map(|filter| filter::parse(filter, CODE)).transpose()?.flatten();

    let id = validate_document_id_value(request.id).map_err(|error| {
        ResponseError::new("invalid_similar_id", format!("Invalid value at `.id`: {error}"))
    })?;
    let not_found = || ResponseError::document_not_found(&id).with_code("not_found_similar_id");
    let document = index.external_documents_ids().get(&rtxn, &id)?.ok_or_else(not_found)?;
    if let Some(rule) = rule
        && !rule.evaluate(&rtxn, index).map_err(in_index)?.contains(document)
    {
        return Err(not_found());
    }

    let (offset, limit) = (request.offset, request.limit);
    let mut similar =
        Similar::new(document, offset, limit, index, &rtxn, request.embedder, embedder, quantized);
    if let Some(filter) = asked {
        similar.filter(filter);
    }
    if let Some(threshold) = request.ranking_score_threshold {
        similar.ranking_score_threshold(threshold.0);
    }
    let found = similar.execute().map_err(|error| {
        let error = in_index(error);
        if error.code == "invalid_search_filter" { error.with_code(CODE) } else { error }
    })?;
    let shown = SearchRequest {
        attributes_to_retrieve: request.attributes_to_retrieve,
        retrieve_vectors: request.retrieve_vectors,
        show_ranking_score: request.show_ranking_score,
        show_ranking_score_details: request.show_ranking_score_details,
        ..SearchRequest::from_query(None)?
    };
    let hits =
        hits::make(index, &rtxn, &shown, found.matching_words, &found.documents_ids, &found.document_scores)?;
    Ok(json!({
        "hits": hits,
        "id": id,
        "processingTimeMs": begun.elapsed().as_millis(),
        "limit": limit,
        "offset": offset,
        "estimatedTotalHits": found.candidates.len(),
    }))
}
