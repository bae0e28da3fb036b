//! What a search can be asked.

use std::collections::{BTreeSet, HashSet};

use milli_core::{AttributePatterns, TermsMatchingStrategy};
use serde_json::Value;

use crate::error::{ResponseError, Result};
use crate::http::invalid::{Domain, Reason};
use crate::http::request::{self, Parameter};
use crate::settings::values::Locale;

/// The body of a search.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct SearchRequest {
    #[deserr(default)]
    pub q: Option<String>,
    #[deserr(default)]
    pub offset: usize,
    #[deserr(default = 20)]
    pub limit: usize,
    #[deserr(default)]
    pub page: Option<usize>,
    #[deserr(default)]
    pub hits_per_page: Option<usize>,
    #[deserr(default)]
    pub attributes_to_retrieve: Option<BTreeSet<String>>,
    #[deserr(default)]
    pub attributes_to_crop: Option<Vec<String>>,
    #[deserr(default = 10)]
    pub crop_length: usize,
    #[deserr(default = "…".to_string())]
    pub crop_marker: String,
    #[deserr(default)]
    pub attributes_to_highlight: Option<HashSet<String>>,
    #[deserr(default = "<em>".to_string())]
    pub highlight_pre_tag: String,
    #[deserr(default = "</em>".to_string())]
    pub highlight_post_tag: String,
    #[deserr(default)]
    pub show_matches_position: bool,
    #[deserr(default)]
    pub filter: Option<Value>,
    #[deserr(default)]
    pub sort: Option<Vec<String>>,
    #[deserr(default)]
    pub distinct: Option<String>,
    #[deserr(default)]
    pub facets: Option<AttributePatterns>,
    #[deserr(default)]
    pub matching_strategy: MatchingStrategy,
    #[deserr(default)]
    pub attributes_to_search_on: Option<Vec<String>>,
    #[deserr(default)]
    pub ranking_score_threshold: Option<RankingScoreThreshold>,
    #[deserr(default)]
    pub locales: Option<Vec<Locale>>,
    #[deserr(default)]
    pub hybrid: Option<Hybrid>,
    #[deserr(default)]
    pub vector: Option<Vec<f32>>,
    #[deserr(default)]
    pub retrieve_vectors: bool,
    #[deserr(default)]
    pub media: Option<Value>,
    #[deserr(default)]
    pub personalize: Option<Value>,
    #[deserr(default)]
    pub use_network: Option<bool>,
    #[deserr(default)]
    pub show_ranking_score: bool,
    #[deserr(default)]
    pub show_ranking_score_details: bool,
    /// Taken and not served: the engine does not measure its steps.
    #[deserr(default)]
    pub show_performance_details: bool,
}

/// What happens to the words of a query that too few documents hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, deserr::Deserr)]
#[deserr(rename_all = camelCase)]
pub enum MatchingStrategy {
    /// The last ones are given up first.
    #[default]
    Last,
    /// None is given up.
    All,
    /// The commonest are given up first.
    Frequency,
}

impl From<MatchingStrategy> for TermsMatchingStrategy {
    fn from(strategy: MatchingStrategy) -> Self {
        match strategy {
            MatchingStrategy::Last => Self::Last,
            MatchingStrategy::All => Self::All,
            MatchingStrategy::Frequency => Self::Frequency,
        }
    }
}

/// The score below which documents are left out.
#[derive(Debug, Clone, Copy, PartialEq, deserr::Deserr)]
#[deserr(try_from(f64) = RankingScoreThreshold::new -> Reason)]
pub struct RankingScoreThreshold(pub f64);

impl RankingScoreThreshold {
    fn new(score: f64) -> Result<Self, Reason> {
        between_0_and_1("rankingScoreThreshold", score).map(Self)
    }
}

/// A search by meaning, alone or mixed with words.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
pub struct Hybrid {
    /// The share of the meaning: 0 for words alone, 1 for meaning alone.
    #[deserr(default = SemanticRatio(0.5))]
    pub semantic_ratio: SemanticRatio,
    /// The embedder whose vectors are compared.
    pub embedder: String,
}

/// The share of the meaning in a hybrid search.
#[derive(Debug, Clone, Copy, PartialEq, deserr::Deserr)]
#[deserr(try_from(f32) = SemanticRatio::new -> Reason)]
pub struct SemanticRatio(pub f32);

impl SemanticRatio {
    fn new(ratio: f32) -> Result<Self, Reason> {
        between_0_and_1("semanticRatio", ratio.into()).map(|_| Self(ratio))
    }
}

fn between_0_and_1(field: &str, number: f64) -> Result<f64, Reason> {
    if (0.0..=1.0).contains(&number) {
        return Ok(number);
    }
    Err(Reason::not_a_ratio(field))
}

impl SearchRequest {
    /// Whether the answer tells exact totals and pages.
    pub fn is_paged(&self) -> bool {
        self.page.is_some() || self.hits_per_page.is_some()
    }

    /// Reads the query string of a search by GET.
    pub fn from_query(query: Option<&str>) -> Result<Self> {
        const PARAMETERS: [(&str, Parameter); 30] = [
            ("q", Parameter::Text),
            ("offset", Parameter::Integer),
            ("limit", Parameter::Integer),
            ("page", Parameter::Integer),
            ("hitsPerPage", Parameter::Integer),
            ("attributesToRetrieve", Parameter::List),
            ("attributesToCrop", Parameter::List),
            ("cropLength", Parameter::Integer),
            ("cropMarker", Parameter::Text),
            ("attributesToHighlight", Parameter::List),
            ("highlightPreTag", Parameter::Text),
            ("highlightPostTag", Parameter::Text),
            ("showMatchesPosition", Parameter::Boolean),
            ("filter", Parameter::Filter),
            ("sort", Parameter::Sort),
            ("distinct", Parameter::Text),
            ("facets", Parameter::List),
            ("matchingStrategy", Parameter::Text),
            ("attributesToSearchOn", Parameter::List),
            ("rankingScoreThreshold", Parameter::Ratio("rankingScoreThreshold")),
            ("locales", Parameter::List),
            ("hybridEmbedder", Parameter::Text),
            ("hybridSemanticRatio", Parameter::Ratio("semanticRatio")),
            ("vector", Parameter::FloatList),
            ("retrieveVectors", Parameter::Boolean),
            ("personalizeUserContext", Parameter::Text),
            ("useNetwork", Parameter::Boolean),
            ("showRankingScore", Parameter::Boolean),
            ("showRankingScoreDetails", Parameter::Boolean),
            ("showPerformanceDetails", Parameter::Boolean),
        ];
        let mut parameters = request::parameters(query, &PARAMETERS, Domain::Search)?;
        match (parameters.remove("hybridEmbedder"), parameters.remove("hybridSemanticRatio")) {
            (None, None) => {}
            (None, Some(_)) => {
                let message = "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present";
                return Err(ResponseError::new("invalid_search_hybrid_query", message));
            }
            (Some(embedder), ratio) => {
                let mut hybrid = serde_json::Map::from_iter([("embedder".to_string(), embedder)]);
                hybrid.extend(ratio.map(|ratio| ("semanticRatio".to_string(), ratio)));
                parameters.insert("hybrid".to_string(), hybrid.into());
            }
        }
        if parameters.contains_key("vector") && !parameters.contains_key("hybrid") {
            let message = "`hybridEmbedder` is mandatory when `vector` is present";
            return Err(ResponseError::new("missing_search_hybrid", message));
        }
        if let Some(user_context) = parameters.remove("personalizeUserContext") {
            parameters.insert("personalize".to_string(), user_context);
        }
        request::from_parameters(parameters, Domain::Search)
    }

    /// Refuses what Meilisearch only serves once an experimental feature is enabled.
    pub fn check_features(&self) -> Result<()> {
        if self.use_network.is_some() {
            return Err(network_is_disabled());
        }
        if self.media.is_some() {
            let (code, message) = match (&self.vector, &self.hybrid) {
                (Some(_), _) => (
                    "invalid_search_media_and_vector",
                    "Invalid request: both `media` and `vector` parameters are present.",
                ),
                (None, None) => ("missing_search_hybrid", MISSING_HYBRID),
                (None, Some(_)) => (
                    "feature_not_enabled",
                    "passing `media` in a search query requires enabling the `multimodal` experimental feature. See \
                     https://github.com/orgs/meilisearch/discussions/846",
                ),
            };
            return Err(ResponseError::new(code, message));
        }
        if self.personalize.is_some() {
            let message = "reranking search results requires enabling the `personalization` experimental feature. \
                           See https://github.com/orgs/meilisearch/discussions/866";
            return Err(ResponseError::new("feature_not_enabled", message));
        }
        Ok(())
    }
}

/// What is said about a vector that no embedder is named for.
pub const MISSING_HYBRID: &str =
    "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.";

/// Refuses `useNetwork`.
pub fn network_is_disabled() -> ResponseError {
    let message = "passing `useNetwork` in a search query requires enabling the `network` experimental feature. See \
                   https://github.com/orgs/meilisearch/discussions/805";
    ResponseError::new("feature_not_enabled", message)
}
